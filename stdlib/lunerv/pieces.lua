-- Pieces of work that several processes share: ranks of mpirun, or jobs of a scheduler with the
-- same folder. A process takes the next free piece by a claim (claims.lua); `is_done` says which
-- pieces are done, usually by their files.
--
-- A process that works on pieces itself loops over `each`. If it starts other processes for them,
-- those call `take`, and it calls `free` for the next ones.
local bridge <const> = require "lunerv.bridge"
local claims <const> = require "lunerv.claims"
local native <const> = require "lunerv.native"

local Pieces <const> = {}
Pieces.__index = Pieces

local pieces <const> = {}

-- Seconds between two checks of the other processes: the first and the longest pause.
local first_pause <const>, longest_pause <const> = 0.1, 0.5

-- The pieces `names`, whose claims are in the existing `folder`. is_done(i): whether any process
-- has finished piece i. `order` lists the indices to work on, in order (all). A process that makes
-- no progress for `deadline` seconds loses its piece.
function pieces.open(folder, deadline, names, is_done, order)
  local waiting = {}
  for k = 1, order and #order or #names do waiting[k] = order and order[k] or k end
  return setmetatable({ claims = claims.open(folder, deadline), names = names, is_done = is_done,
    waiting = waiting, pass = waiting, place = 0, settled = {}, dead = {} }, Pieces)
end

-- Marks piece i as done or given up: `free` does not return it again.
function Pieces:settle(i) self.settled[i] = true end

-- Takes piece i: its claim and the claim's number; nil if another process has it or has finished
-- it. `dead` is as in claims.
function Pieces:take(i, dead)
  if self.is_done(i) then return nil end
  local claim, number = self.claims:take(self.names[i], dead or self.dead[i])
  if not claim then return nil end
  -- Another process may have finished it between the two calls.
  if not self.is_done(i) then return claim, number end
  claim:release()
  return nil
end

-- Releases a claim that `take` returned. If the piece is finished, claims of dead processes are
-- removed too.
function Pieces:release(i, claim)
  claim:release()
  if self.is_done(i) then self.claims:clear(self.names[i]) end
end

-- The pieces that no process is working on, in order. Waits while other processes have all the
-- remaining ones; nil when all are done.
function Pieces:free()
  local pause, is_announced = first_pause, false
  while true do
    local left, free = {}, {}
    for _, i in ipairs(self.waiting) do
      if not self.settled[i] and not self.is_done(i) then
        left[#left + 1] = i
        local is_free, last = self.claims:is_free(self.names[i])
        if is_free then free[#free + 1], self.dead[i] = i, last end
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
-- the loop asks for the next piece, before the claim is released. Leaving the loop early releases
-- the claim.
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

-- Calls body(i) for each piece of `each`. Releases the claim after Ctrl-C too, which would skip the
-- loop's own closing.
function Pieces:run(body)
  bridge.on_error(function()
    for i in self:each() do body(i) end
  end, function() give_up(self) end)
end

-- Whether this process still has the piece that `each` returned last. If it made no progress for
-- too long, another process has taken it.
function Pieces:is_held()
  return self.claims:newest(self.names[self.index]) == self.number
end

return pieces
