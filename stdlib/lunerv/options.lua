-- Options: for the command line, for Lua and for what files record.
--
--   lv.options(given, defaults, optional)   checks and completes an options table
--   lv.options.parse(arg, spec)             reads a command line
--   lv.options.for_model(kind, given)       the options of a model, with its kind's defaults
local catalogue <const> = require "lunerv.options.catalogue"
local command_line <const> = require "lunerv.options.command_line"
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local takes <const> = require "lunerv.options.takes"
local values <const> = require "lunerv.options.values"

local options <const> = {
  kinds = catalogue.kinds, catalogue = catalogue.list, default = catalogue.default,
  parse = command_line.parse, help = command_line.help, takes = takes,
}

-- A table with the same keys and values; an empty one for nil.
local function copy_shallow(given)
  local result = {}
  for key, value in pairs(given or {}) do result[key] = value end
  return result
end

options.copy = copy_shallow

-- Whether two pieces of plain data are equal; numbers, which may have passed through text, to
-- twelve digits.
function options.same(a, b)
  if type(a) == "number" and type(b) == "number" then
    return a == b or math.abs(a - b) <= 1e-12 * math.abs(a)
  end
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not options.same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

local function refuse(key, known)
  errors.raise("unknown option '%s'%s (known: %s)", key, names.meant(tostring(key), known),
    errors.list(known))
end

-- `given` completed by `defaults`. A key that neither `defaults` nor the list `optional` names
-- is an error, and so is a value of another type than its default.
local function complete(given, defaults, optional)
  if given ~= nil and type(given) ~= "table" then
    errors.raise("expected a table of options, got %s", type(given))
  end
  local result = {}
  for key, value in pairs(defaults) do result[key] = value end
  for key, value in pairs(given or {}) do
    local default = defaults[key]
    if default == nil and not values.contains(optional, key) then
      local known = table.move(optional or {}, 1, #(optional or {}), 1, {})
      for name in pairs(defaults) do known[#known + 1] = name end
      refuse(key, known)
    end
    if default ~= nil and type(default) ~= type(value) and type(value) ~= "function" then
      errors.raise("option '%s': expected %s, got %s", key, type(default), type(value))
    end
    result[key] = value
  end
  return result
end

-- A value of an option as plain data: a function of a script's or a recipe's is "custom".
function options.plain(value) return type(value) == "function" and "custom" or value end

-- The catalogue's option of a name, or nil.
function options.by_name(name) return catalogue.by_name[name] end

-- Raises an error unless `value` is one that the catalogue's option `name` can have.
function options.check(name, value)
  local expected = values.wanted(catalogue.by_name[name], value)
  if expected then
    errors.raise("option '%s': expected %s, got %s", name, expected, values.show(value))
  end
end

-- The options of a model of `kind`: `given` checked by the catalogue, the rest from its preset
-- and its defaults. `extra` lists further keys that are let through (clip, height, …).
function options.for_model(kind, given, extra)
  given = copy_shallow(given)
  if given.preset then options.check("preset", given.preset) end
  catalogue.apply_preset(given, kind)
  given.preset = nil
  local own = options.model_names(kind)
  local result = {}
  for _, name in ipairs(own) do result[name] = options.default(name, kind) end
  for key, value in pairs(given) do
    if values.contains(own, key) then
      options.check(key, value)
      result[key] = catalogue.copy(value)
    elseif values.contains(extra, key) then
      result[key] = value
    else
      refuse(key, table.move(extra, 1, #extra, #own + 1, own))
    end
  end
  return result
end

-- Names of the options of a model kind, and of lv.train.
function options.model_names(kind)
  return catalogue.names_where(function(option) return values.contains(option.models, kind) end)
end

-- Whether a model of `kind` has the option `name`; true for those that are not a model's.
function options.applies(name, kind)
  local option = catalogue.by_name[name]
  return not option or not option.models or values.contains(option.models, kind)
end

function options.train_names()
  return catalogue.names_where(function(option) return option.train end)
end

return setmetatable(options, {
  __call = function(_, given, defaults, optional) return complete(given, defaults, optional) end,
})
