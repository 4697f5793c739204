-- A status line that is overwritten; silent if stderr is not a terminal.
local native <const> = require "lunerv.native"

local Progress <const> = {}
Progress.__index = Progress

function Progress.new()
  local shown = native.is_tty "stderr" and native.ranks() == 0
  return setmetatable({ shown = shown, last = -1, has_line = false }, Progress)
end

-- Whether it is time for the next update: at most five per second.
function Progress:due()
  if not self.shown then return false end
  local now = native.time()
  if now - self.last < 0.2 then return false end
  self.last = now
  return true
end

function Progress:show(text)
  if not self.shown then return end
  self.has_line = true
  native.status_line(text)
end

-- Removes the line, if there is one.
function Progress:clear()
  if not self.has_line then return end
  self.has_line = false
  native.status_line ""
end

-- "3 h 05 min", "12 min 40 s", "8.4 s".
function Progress.duration(seconds)
  if seconds < 60 then return ("%.1f s"):format(seconds) end
  local minutes = seconds // 60
  if minutes < 60 then return ("%d min %02d s"):format(minutes // 1, seconds % 60 // 1) end
  return ("%d h %02d min"):format(minutes // 60, minutes % 60)
end

return Progress
