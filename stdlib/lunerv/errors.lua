-- Raising errors. The host's `error` names the user's line in place of the library's, and the
-- path of the module being computed.
local bridge <const> = require "lunerv.bridge"

local errors <const> = {}

-- Raises `message`, formatted with what follows it.
function errors.raise(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(message, 2)
end

-- Fails because of what a file holds, or what a clip and the numbers given do not allow: no line of
-- a script is wrong, so one line says it.
function errors.data(message, ...)
  bridge.fail("data", message:format(...))
end

-- A list of names for a message, sorted: "a, b, c".
function errors.list(names)
  local sorted = {}
  for i, name in ipairs(names) do sorted[i] = tostring(name) end
  table.sort(sorted)
  return table.concat(sorted, ", ")
end

return errors
