-- Errors: objects with kind, message, where, module and data that behave like their text. The
-- host's `error` makes one from a message raised in the library, names the user's line instead of
-- the library's, and adds the path of the running module.
local bridge <const> = require "lunerv.bridge"
local names <const> = require "lunerv.names"
local native <const> = require "lunerv.native"

local errors <const> = {}

-- Raises `message`, formatted with what follows it: an error of the kind "argument".
function errors.raise(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(message, 2)
end

-- Makes an error object, which functions return after nil. Kinds: "usage" (a wrong option or
-- command), "argument" (a wrong value), "io" (a file that cannot be read or written), "data"
-- (invalid file contents, or values that a clip and the given numbers do not allow), "numeric",
-- "memory". Only "argument" blames a line of a script. `data` is a table of facts for the error's
-- handler, or nil.
function errors.new(kind, message, data) return bridge.new_error(kind, message, data) end

-- Returns nil and an error of the kind "data" with a formatted message: an expected failure.
function errors.failure(message, ...) return nil, bridge.new_error("data", message:format(...)) end

-- Raises an error of a kind with a formatted message.
function errors.fail(kind, message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(bridge.new_error(kind, message), 2)
end

-- Raises an error of the kind "usage" about a command line: it blames no line of a script.
function errors.usage(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(bridge.new_error("usage", message), 0)
end

-- Runs body(...), which does the work of `what`, the public function. Errors that name `inner` name
-- `what` instead; all errors do if `inner` is nil.
function errors.on_behalf(what, inner, body, ...)
  local results = table.pack(errors.attempt(body, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local problem = results[2]
  if not bridge.is_error(problem) then error(problem, 0) end
  local reported <const>, begins = problem.message, inner and inner .. ": " or ""
  if reported:sub(1, #what + 2) ~= what .. ": " and reported:sub(1, #begins) == begins then
    problem.message = what .. ": " .. reported:sub(#begins + 1)
  end
  error(problem, 2)
end

-- The kind of a value for messages: a type, a module's class, "tensor".
function errors.type_of(value)
  if type(value) == "table" and type(value.class_name) == "string" then return value.class_name end
  if type(value) == "userdata" and native.is_tensor(value) then return "tensor" end
  return type(value)
end

-- A value for messages: quoted text, plain numbers, and the kind of everything else.
function errors.show(value)
  if type(value) == "string" then return "'" .. value .. "'" end
  -- The sign of nan means nothing.
  if value ~= value then return "nan" end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return errors.type_of(value)
end

-- Raises an error of the kind "data".
function errors.data(message, ...) errors.fail("data", message, ...) end

-- Like pcall, but does not catch an interrupt.
function errors.attempt(body, ...)
  local results = table.pack(pcall(body, ...))
  if not results[1] and bridge.interrupted() then error(results[2], 0) end
  return table.unpack(results, 1, results.n)
end

-- Returns `value`; if it is nil, raises the problem after it, prefixed by `what`.
function errors.must(value, problem, what)
  if value then return value end
  local known = bridge.is_error(problem)
  if what or not known then
    local text = (what and what .. ": " or "") .. errors.reason(problem)
    problem = bridge.new_error(known and problem.kind or "data", text, known and problem.data)
  end
  error(problem, 2)
end

-- The message alone, without the place in a script.
function errors.reason(problem)
  if not bridge.is_error(problem) then return tostring(problem) end
  return problem.module and problem.module .. ": " .. problem.message or problem.message
end

-- Whether a problem is an error of that kind.
function errors.is(problem, kind) return bridge.is_error(problem) and problem.kind == kind end

-- A fact that an error carries, or nil.
function errors.fact(problem, name)
  local data = bridge.is_error(problem) and rawget(problem, "data")
  return data and data[name]
end

-- Raises unless `given` is a list and the only argument: named fields and further arguments would
-- be ignored silently. `what` names the caller.
function errors.check_list(what, given, ...)
  if select("#", ...) > 0 then
    error(("%s: expected one list, got %d more values: put them in { }"):format(what,
      select("#", ...)), 2)
  end
  if type(given) ~= "table" or given.class_name then
    error(("%s: expected a list, got %s"):format(what, errors.type_of(given)), 2)
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
function errors.list(list)
  local sorted = {}
  for i, name in ipairs(list) do sorted[i] = tostring(name) end
  table.sort(sorted)
  return table.concat(sorted, ", ")
end

local warned <const> = {}

-- Warns once, on standard error and with the user's line, that `old` has a new name. Programs
-- inside files, which may always use old names, get no warning.
function errors.renamed(old, new)
  if warned[old] or not debug then return end
  warned[old] = true
  local level, where = 2, ""
  while true do
    local frame = debug.getinfo(level, "Sl")
    if not frame then break end
    if frame.currentline > 0 and frame.source:sub(1, 8) ~= "@lunerv:" then
      where = ("%s:%d: "):format(frame.short_src, frame.currentline)
      break
    end
    level = level + 1
  end
  native.stderr(("%s%s is now %s\n"):format(where, old, new))
end

-- The suggestion for an unknown name: the nearest known names, or all.
function errors.meant(name, known)
  local meant = names.meant(tostring(name), known)
  if meant ~= "" then return meant end
  return (" (known: %s)"):format(errors.list(known))
end

-- Makes the access to a missing key of `fields`, called `name`, an error with a suggestion. `more`
-- lists known names in addition to the keys.
function errors.refuse_unknown(fields, name, more)
  local meta = getmetatable(fields) or {}
  meta.__index = function(_, key)
    local known = table.move(more or {}, 1, #(more or {}), 1, {})
    for field in next, fields do
      if type(field) == "string" then known[#known + 1] = field end
    end
    errors.raise("%s has no '%s'%s", name, tostring(key), errors.meant(key, known))
  end
  return setmetatable(fields, meta)
end

return errors
