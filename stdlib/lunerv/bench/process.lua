-- Programs that `lunerv bench` starts, so that memory and time are measured separately.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"

local process <const> = {}

process.quoted = require "lunerv.quoted"

-- Runs a command to its end; `on_line` gets each line as soon as it is printed. Returns the exit
-- code. If reading stops early, also by Ctrl-C, the program is ended.
function process.run(command, on_line)
  local pipe <close> = assert(io.popen("echo $$; exec " .. command))
  local id = pipe:read "l"
  bridge.on_error(function()
    for line in pipe:lines() do on_line(line) end
    native.time() -- notices a Ctrl-C that ended the reading
  end, function() os.execute(("kill %s 2>/dev/null"):format(id)) end)
  local _, _, code = pipe:close()
  return code
end

-- The total seconds that all processors have worked so far, for any program, and the number of
-- processors; nil if the system does not say.
function process.busy()
  local text = native.read_file "/proc/stat"
  local line = text and text:match "^cpu ([^\n]*)"
  if not line then return nil end
  local ticks, column, count = 0, 0, 0
  for number in line:gmatch "%d+" do
    column = column + 1
    -- user, nice, system, idle, waiting, interrupts (2), stolen; guests count as users.
    if column <= 8 and column ~= 4 and column ~= 5 then ticks = ticks + tonumber(number) end
  end
  for _ in text:gmatch "\ncpu%d" do count = count + 1 end
  return ticks / 100, math.max(count, 1)
end

return process
