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

-- Raises unless `given` is a list and came alone: what it holds by name, or what follows it, would
-- be left out in silence. `what` names who takes it.
function errors.check_list(what, given, ...)
  if select("#", ...) > 0 then
    error(("%s: expected one list, got %d values more: put them in { }"):format(what,
      select("#", ...)), 2)
  end
  local class = type(given) == "table" and given.class_name
  if type(given) ~= "table" or class then
    error(("%s: expected a list, got %s"):format(what, class or type(given)), 2)
  end
  for i = 1, #given do
    if given[i] == nil then
      error(("%s: expected a list, got one with nothing at %d"):format(what, i), 2)
    end
  end
  for key in next, given do
    if math.type(key) ~= "integer" or key < 1 or key > #given then
      error(("%s: expected a list, got a table with the key '%s'"):format(what, tostring(key)), 2)
    end
  end
end

-- A list of names for a message, sorted: "a, b, c".
function errors.list(names)
  local sorted = {}
  for i, name in ipairs(names) do sorted[i] = tostring(name) end
  table.sort(sorted)
  return table.concat(sorted, ", ")
end

-- Makes what `fields`, called `name`, does not hold an error, and names what is written nearly so.
function errors.refuse_unknown(fields, name)
  return setmetatable(fields, { __index = function(_, key)
    local meant = ""
    for known in pairs(fields) do
      if type(key) == "string" and known:lower() == key:lower() then
        meant = (" (it is %s.%s)"):format(name, known)
      end
    end
    errors.raise("%s has no '%s'%s", name, tostring(key), meant)
  end })
end

return errors
