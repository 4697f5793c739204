-- Programs that `lunerv bench` starts, so that their memory and their clock are their own.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"

local process <const> = {}

-- `text` as one word for the shell.
function process.quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Runs a command to its end; `on_line` gets each line that it prints, at the moment it comes.
-- Returns the exit code. Whatever ends the reading early, Ctrl-C too, ends the program.
function process.run(command, on_line)
  local pipe <close> = assert(io.popen("echo $$; exec " .. command))
  local id = pipe:read "l"
  bridge.on_error(function()
    for line in pipe:lines() do on_line(line) end
    native.time() -- where a Ctrl-C that ended the reading is noticed
  end, function() os.execute(("kill %s 2>/dev/null"):format(id)) end)
  local _, _, code = pipe:close()
  return code
end

return process
