-- Options of the command line, of Lua functions, and in the records of files.
--
--     local o = lv.options(given, { width = 16 })      -- checks and completes a table
--     local o = lv.options.parse(arg, spec)            -- reads a command line
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

--- A table with the same keys and values; an empty one for nil.
---
---@param given? table  the table to copy; nested tables are shared
---@return table
local function copy_shallow(given)
  local result = {}
  for key, value in pairs(given or {}) do result[key] = value end
  return result
end

options.copy = copy_shallow

--- Declares options of the catalogue for help and annotations, together with a function's own
--- options. Defaults are those of a model kind, if one is named. The function itself checks them.
---
---     lv.options.describe("models.nerv", lv.options.model_names "nerv", {}, "nerv")
---
---@param of string  the function's name in lv
---@param option_names string[]  names of options of the catalogue
---@param extras? table[]  further options, as in options.takes, or replacements of the same names
---@param kind? string  the kind of model for the defaults
---@return table  its `list` holds { name, default, doc, type } for each
function options.describe(of, option_names, extras, kind)
  local list, replaced = {}, {}
  for i, extra in ipairs(extras or {}) do list[i], replaced[extra[1]] = extra, true end
  for _, name in ipairs(option_names) do
    if not replaced[name] then
      local option = catalogue.by_name[name]
      local doc = option.doc
      if option.type == "choice" then doc = values.with_choices(doc, option.choices) end
      list[#list + 1] = { name, options.default(name, kind), doc, type = option.type }
    end
  end
  return takes(of, list)
end

--- Whether two pieces of plain data are equal. Numbers, which may have been converted to text, are
--- compared to twelve digits.
---
---@param a any
---@param b any
---@return boolean
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

-- Raises unless `given` is a table of options for `what`, or nil.
local function check_table(what, given)
  if given ~= nil and (type(given) ~= "table" or given.class_name) then
    errors.raise("%s: expected a table of options, got %s", what, errors.type_of(given))
  end
end

local function refuse(what, key, known)
  errors.raise("%s: unknown option %s%s (known: %s)", what, errors.show(key),
    names.meant(tostring(key), known), errors.list(known))
end

-- Fills in the missing options of `given` from `defaults`. A key that is neither in `defaults` nor
-- in the list `optional` is an error, and so is a value of another type than its default.
local function complete(given, defaults, optional, what)
  what = what or "options"
  check_table(what, given)
  local result = {}
  for key, value in pairs(defaults) do result[key] = value end
  for key, value in pairs(given or {}) do
    local default = defaults[key]
    if default == nil and not values.contains(optional, key) then
      local known = table.move(optional or {}, 1, #(optional or {}), 1, {})
      for name in pairs(defaults) do known[#known + 1] = name end
      refuse(what, key, known)
    end
    if default ~= nil and type(default) ~= type(value) and type(value) ~= "function" then
      errors.raise("%s: option '%s': expected %s, got %s", what, key, type(default),
        errors.type_of(value))
    end
    result[key] = value
  end
  return result
end

--- A value of an option as plain data: a function from a script or a recipe is "custom".
---
---@param value any
---@return any
function options.plain(value) return type(value) == "function" and "custom" or value end

--- The catalogue's entry for an option: { name, type, doc, default, … }, or nil.
---
---@param name string
---@return table?
function options.by_name(name) return catalogue.by_name[name] end

--- Raises an error unless a value is valid for an option of the catalogue.
---
---     lv.options.check("lr", 0.003)
---
---@param name string  name of the option
---@param value any
---@param what? string  the function named in messages
function options.check(name, value, what)
  what = what or "options.check"
  local option = catalogue.by_name[name]
  if not option then
    errors.raise("%s: unknown option %s%s", what, errors.show(name),
      names.meant(tostring(name), catalogue.names_where(function() return true end)))
  end
  local expected = values.wanted(option, value)
  if expected then
    errors.raise("%s: option '%s': expected %s, got %s", what, name, expected,
      values.quoted(value))
  end
end

--- The options of a model: those given, checked, and the defaults of its preset and its kind.
---
---     local o = lv.options.for_model("hnerv", { size = 0.35 })
---
---@param kind string  the kind of model
---@param given? table  options by name
---@param extra? string[]  further allowed keys, such as clip or height
---@param what? string  the function named in messages
---@return table
function options.for_model(kind, given, extra, what)
  what = what or "options.for_model"
  if not values.contains(catalogue.kinds, kind) then
    errors.raise("%s: unknown model %s%s (known: %s)", what, errors.show(kind),
      names.meant(tostring(kind), catalogue.kinds), errors.list(catalogue.kinds))
  end
  check_table(what, given)
  given = copy_shallow(given)
  if given.preset then options.check("preset", given.preset, what) end
  catalogue.apply_preset(given, kind)
  given.preset = nil
  local own = options.model_names(kind)
  local result = {}
  for _, name in ipairs(own) do result[name] = options.default(name, kind) end
  for key, value in pairs(given) do
    if values.contains(own, key) then
      options.check(key, value, what)
      result[key] = catalogue.copy(value)
    elseif values.contains(extra, key) then
      result[key] = value
    else
      refuse(what, key, table.move(extra or {}, 1, #(extra or {}), #own + 1, own))
    end
  end
  return result
end

--- Names of the options that a kind of model has.
---
---     print(table.concat(lv.options.model_names "nerv", " "))
---
---@param kind string  the kind of model
---@return string[]
function options.model_names(kind)
  return catalogue.names_where(function(option) return values.contains(option.models, kind) end)
end

--- Whether a kind of model has an option; true for options that do not belong to models.
---
---@param name string  name of the option
---@param kind string  the kind of model
---@return boolean
function options.applies(name, kind)
  local option = catalogue.by_name[name]
  return not option or not option.models or values.contains(option.models, kind)
end

--- Names of the options of the catalogue that lv.train takes.
---
---@return string[]
function options.train_names()
  return catalogue.names_where(function(option) return option.train end)
end

setmetatable(options, {
  --- Checks a table of options and fills in the defaults.
  --- An unknown key is an error, and so is a value of another type than its default.
  ---
  ---     local o = lv.options(given, { width = 16, act = "gelu" }, { "label" })
  ---
  ---@param given? table  the caller's options
  ---@param defaults table  every option that has a default, by name
  ---@param optional? string[]  names of options without a default
  ---@param what? string  the function named in messages
  ---@return table  a new table
  __call = function(_, given, defaults, optional, what)
    return complete(given, defaults, optional, what)
  end,
})

return errors.refuse_unknown(options, "lv.options")
