-- Pieces of work that several processes share: ranks of mpirun, or jobs of a scheduler that are
-- given the same folder. A process takes the next piece that no one has (claims.lua); files, or
-- whatever else `is_done` looks at, say which are done.
--
-- A process that takes pieces itself loops over `each`. One that starts processes for them lets
-- those `take` theirs, and asks for what is `free` next.
local bridge <const> = require "lunerv.bridge"
local claims <const> = require "lunerv.claims"
local native <const> = require "lunerv.native"

local Pieces <const> = {}
Pieces.__index = Pieces

local pieces <const> = {}

-- Seconds between two looks at what the others do: the first, and the longest.
local first_pause <const>, longest_pause <const> = 0.1, 0.5

-- The pieces `names`, whose claims are in `folder`, which exists. is_done(i) says whether piece i
-- is done, by any process. `order` lists the numbers of those that are wanted, first to be taken
-- first (all). A process that stands still for `deadline` seconds loses its piece.
function pieces.open(folder, deadline, names, is_done, order)
  local waiting = {}
  for k = 1, order and #order or #names do waiting[k] = order and order[k] or k end
  return setmetatable({ claims = claims.open(folder, deadline), names = names, is_done = is_done,
    waiting = waiting, pass = waiting, place = 0, settled = {}, still = {} }, Pieces)
end

-- Says that piece i is done or given up: `free` does not return it again.
function Pieces:settle(i) self.settled[i] = true end

-- Piece i for this process: its claim and the claim's number; nil where another has it, or has done
-- it. `still` is as in claims.
function Pieces:take(i, still)
  if self.is_done(i) then return nil end
  local claim, number = self.claims:take(self.names[i], still or self.still[i])
  if not claim then return nil end
  -- It may have been finished between the two looks.
  if not self.is_done(i) then return claim, number end
  claim:release()
  return nil
end

-- Gives up a claim that `take` returned. What dead processes left of a finished piece goes too.
function Pieces:release(i, claim)
  claim:release()
  if self.is_done(i) then self.claims:clear(self.names[i]) end
end

-- The pieces that no one is working on, in order. Waits while others have all that are left; nil
-- once all are done.
function Pieces:free()
  local pause, is_announced = first_pause, false
  while true do
    local left, free = {}, {}
    for _, i in ipairs(self.waiting) do
      if not self.settled[i] and not self.is_done(i) then
        left[#left + 1] = i
        local is_free, last = self.claims:is_free(self.names[i])
        if is_free then free[#free + 1], self.still[i] = i, last end
      end
    end
    self.waiting = left
    if #left == 0 then
      native.ranks_rejoin()
      return nil
    end
    if #free > 0 then return free end
    if self.on_wait and not is_announced then self.on_wait(#left) end
    is_announced = true
    native.sleep(pause)
    pause = math.min(longest_pause, 1.5 * pause)
  end
end

local function next_piece(self)
  while true do
    while self.place < #self.pass do
      self.place = self.place + 1
      local i = self.pass[self.place]
      local claim, number = self:take(i)
      if claim then return i, claim, number end
    end
    self.pass, self.place = self:free(), 0
    if not self.pass then return nil end
  end
end

local function give_up(self)
  if self.claim then self.claim:release() end
  self.claim = nil
end

-- An iterator over the pieces that this process gets, until all are done. finish(i) is called when
-- the loop asks for the next one, before the claim is given up. A loop that is left gives up its
-- claim.
function Pieces:each(finish)
  local function next_one()
    if self.claim then
      if finish then finish(self.index) end
      self:release(self.index, self.claim)
      self.claim = nil
    end
    self.index, self.claim, self.number = next_piece(self)
    return self.index
  end
  return next_one, nil, nil, setmetatable({}, { __close = function() give_up(self) end })
end

-- body(i) for each of them. After Ctrl-C too, which a loop's own end does not outlast, the claim is
-- given up.
function Pieces:run(body)
  bridge.on_error(function()
    for i in self:each() do body(i) end
  end, function() give_up(self) end)
end

-- Whether the piece that `each` gave is still this process's: not where it stood still for so long
-- that another has taken it.
function Pieces:is_held()
  return self.claims:newest(self.names[self.index]) == self.number
end

return pieces
