-- A function's options, declared once: the declaration checks and completes a table of options, and
-- serves help, annotations and completion.
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"

local Takes <const> = {}
Takes.__index = Takes

-- All declarations, by the name of their function.
local declared <const> = {}

local function is_of_type(value, kind)
  if kind == "any" then return true end
  if kind == "integer" then return math.type(value) == "integer" end
  if kind == "module" then return type(value) == "table" and value.class_name ~= nil end
  if kind == "list" then return type(value) == "table" end
  if kind == "tensor" or kind == "clip" then
    return type(value) == "userdata" or type(value) == "table"
  end
  return type(value) == kind
end

local function is_of_types(value, types)
  for kind in types:gmatch "[^|]+" do
    if is_of_type(value, kind) then return true end
  end
  return false
end

-- options.takes("nn.Conv2d", { { name, default, sentence, type = "integer" }, … })
local function declare(of, list)
  local self = { of = of, list = {}, by_name = {}, known = {} }
  for i, entry in ipairs(list) do
    local name, default, doc = entry[1], entry[2], entry[3]
    local option = { name = name, default = default, doc = doc,
      type = entry.type or type(default) }
    self.list[i], self.by_name[name], self.known[i] = option, option, name
  end
  declared[of] = setmetatable(self, Takes)
  return self
end

-- Checks `given` and fills in its defaults. The result is a new table.
function Takes:__call(given)
  if given ~= nil and (type(given) ~= "table" or given.class_name) then
    errors.raise("%s: expected a table of options, got %s", self.of, errors.type_of(given))
  end
  local result = {}
  for _, option in ipairs(self.list) do result[option.name] = option.default end
  for key, value in next, given or {} do
    local option = self.by_name[key]
    if not option then
      errors.raise("%s: unknown option '%s'%s (known: %s)", self.of, tostring(key),
        names.meant(tostring(key), self.known), errors.list(self.known))
    end
    -- A function is accepted instead of a name: the called function checks it further.
    if not is_of_types(value, option.type) and type(value) ~= "function" then
      errors.raise("%s: option '%s': expected %s, got %s", self.of, key,
        option.type:gsub("|", " or "), errors.type_of(value))
    end
    result[key] = value
  end
  return result
end

-- `declared[name]` is the result of options.takes for the function of that name.
return setmetatable({ declared = declared }, {
  __call = function(_, of, list) return declare(of, list) end,
})
