-- Which process works on which item, among processes on any machines that share a folder.
--
--   NAME.claim-1   the process that created this file has the item, while the number in it grows
--   NAME.claim-2   the next claim: the number in the first stopped, so its process counts as dead
--
-- A claim file is never taken over: if two processes see it stop, only one of them creates the next
-- one. A process that was only slow, and finishes after all, writes the same complete file.
local native <const> = require "lunerv.native"

local Claims <const> = {}
Claims.__index = Claims

local claims <const> = {}

-- Claims in the existing `folder`. A claim whose file does not change for `deadline` seconds is
-- dead.
function claims.open(folder, deadline)
  return setmetatable({ folder = folder, deadline = deadline, seen = {} }, Claims)
end

-- The number of the newest claim for a piece; 0 for none.
function Claims:newest(name)
  local prefix, last = name .. ".claim-", 0
  for _, file in ipairs(native.list_dir(self.folder)) do
    if file:sub(1, #prefix) == prefix then
      local number = file:sub(#prefix + 1):match "^%d+$"
      last = math.max(last, number and math.tointeger(tonumber(number)) or 0)
    end
  end
  return last
end

local function path_of(self, name, number)
  return ("%s/%s.claim-%d"):format(self.folder, name, number)
end

-- Whether the process that wrote `text` ran on this machine and has ended.
local function is_gone(text)
  local host, pid, start = text:match "^(%S+) (%d+) (%d+)\n"
  local own = native.process_name()
  return host == own and native.process_start(math.tointeger(tonumber(pid)))
    ~= math.tointeger(tonumber(start))
end

-- Whether claim `number` is dead.
local function is_dead(self, name, number)
  local text = native.read_file(path_of(self, name, number))
  if not text then return false end -- just released
  if is_gone(text) then return true end
  local seen, now = self.seen[name], native.time()
  if not seen or seen.number ~= number or seen.text ~= text then
    self.seen[name] = { number = number, text = text, since = now }
    return false
  end
  return now - seen.since > self.deadline
end

-- Whether no live process has the item, and the number of its newest claim.
function Claims:is_free(name)
  local last = self:newest(name)
  return last == 0 or is_dead(self, name, last), last
end

-- Claims the item `name`: the claim, with a method `release`, and its number; nil if another
-- process has it. `dead` is the number of a claim that is known to be dead.
function Claims:take(name, dead)
  local is_free, last = self:is_free(name)
  if not is_free and last ~= dead then return nil end
  local host, pid, start = native.process_name()
  local claim = native.claim(path_of(self, name, last + 1), ("%s %d %d"):format(host, pid, start))
  if claim then return claim, last + 1 end
end

-- Removes the claims that ended processes left for a finished item.
function Claims:clear(name)
  for number = 1, self:newest(name) do
    local path = path_of(self, name, number)
    if native.exists(path) then pcall(native.remove, path) end
  end
end

return claims
