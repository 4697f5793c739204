-- Parsing of command lines, and their help, from the catalogue of options.
local catalogue <const> = require "lunerv.options.catalogue"
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local values <const> = require "lunerv.options.values"

-- `is_used`: whether the script has parsed its command line here. Its file and number errors are
-- then reported as a command's, without a script line.
local command_line <const> = { is_used = false }

-- A wrong command line: the program prints one line and exits with code 2.
local usage_error <const> = errors.usage

local function flag(name) return "--" .. name:gsub("_", "-") end

local function read(option, text)
  local value, expected = values.read(option, text)
  if not expected then return value end
  if option.name == "model" then
    usage_error("unknown model '%s'%s (known: %s)", text, names.meant(text, option.choices),
      errors.list(option.choices))
  end
  usage_error("%s: expected %s, got '%s'", flag(option.name), expected, text)
end

-- "0.1", or each value with the kinds that have it: "0.1; 0.2 for nerv, enerv".
local function default_text(option, command)
  if option.type == "boolean" then return nil end
  local texts, kinds_of, total = {}, {}, 0
  for _, kind in ipairs(option.models or catalogue.kinds) do
    local value = catalogue.with_recipe(option.name, kind, command)
    local text = type(value) == "function" and "the recipe's" or value ~= nil and values.show(value)
      or nil
    if text and not kinds_of[text] then
      texts[#texts + 1], kinds_of[text] = text, {}
    end
    if text then table.insert(kinds_of[text], kind) end
    total = total + 1
  end
  table.sort(texts, function(a, b)
    if #kinds_of[a] ~= #kinds_of[b] then return #kinds_of[a] > #kinds_of[b] end
    return a < b
  end)
  for i, text in ipairs(texts) do
    local everywhere = #kinds_of[text] == total
    if i > 1 then texts[i] = text .. " for " .. table.concat(kinds_of[text], ", ") end
    if i == 1 and not everywhere and #texts == 1 then
      texts[i] = text .. " for " .. table.concat(kinds_of[text], ", ")
    end
  end
  return #texts > 0 and table.concat(texts, "; ") or nil
end

--- The --help text of a script.
---
---     io.write(lv.options.help { command = "regress", usage = "…", about = "Fits a model." })
---
---@param spec table  as for options.parse
---@return string
function command_line.help(spec)
  local lines = { "usage: " .. spec.usage, "", spec.about, "" }
  for _, option in ipairs(catalogue.list) do
    if values.contains(option.commands, spec.command) then
      local left = (option.short and "-" .. option.short .. ", " or "") .. flag(option.name)
      if option.type == "boolean" then
        left = "--[no-]" .. left:sub(3)
      else
        left = left .. " " .. values.placeholder(option)
      end
      if #left > 28 then
        lines[#lines + 1] = "  " .. left
        left = ""
      end
      local default = default_text(option, spec.command)
      lines[#lines + 1] = ("  %-28s  %s%s"):format(
        left, option.doc, default and " [" .. default .. "]" or "")
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- The options of a script by name, and the long forms of the short ones.
local function options_of(command)
  local known, shorts = {}, {}
  for _, option in ipairs(catalogue.list) do
    if values.contains(option.commands, command) then
      known[option.name] = option
      if option.short then shorts["-" .. option.short] = flag(option.name) end
    end
  end
  return known, shorts
end

-- Parses the arguments: values of options by name, and the positional words; nil if they ask for
-- help.
local function scan(arguments, known, shorts)
  local given, positional = {}, {}
  local i, only_positional = 1, false
  while i <= #arguments do
    local argument = arguments[i]
    if not only_positional and shorts[argument] then argument = shorts[argument] end
    if only_positional or not argument:match "^%-%-?%a" and argument ~= "--" then
      positional[#positional + 1] = argument
    elseif argument == "--" then
      only_positional = true
    elseif argument == "--help" or argument == "-h" then
      return nil
    else
      local name, value = argument:match "^%-%-([%w_-]+)=(.*)$"
      name = (name or argument:match "^%-%-(.+)$" or argument):gsub("-", "_")
      local negated = known[name:match "^no_(.+)$"]
      local option = known[name] or (negated and negated.type == "boolean" and negated)
      if not option then
        local flags, word = {}, argument:match "^[^=]+"
        for known_name in pairs(known) do flags[#flags + 1] = flag(known_name) end
        usage_error("unknown option '%s'%s (known: %s)", word, names.meant(word, flags),
          errors.list(flags))
      end
      if option.type == "boolean" and not value then
        given[option.name] = option == known[name]
      else
        if not value then
          i = i + 1
          value = arguments[i]
          if not value or value:match "^%-%-%a" then
            usage_error("%s needs a value", flag(option.name))
          end
        end
        given[option.name] = read(option, value)
      end
    end
    i = i + 1
  end
  return given, positional
end

-- Sets the options that were left out to the defaults of the chosen kind of model.
local function fill(given, known, spec)
  local kind = not spec.any_model and (given.model or catalogue.default("model"))
  if kind then
    catalogue.apply_preset(given, kind)
    if known.recipe and given.recipe == nil then
      given.recipe = catalogue.default("recipe", kind, spec.command)
    end
    catalogue.apply_recipe(given, kind, spec.command, function(name)
      return known[name] and (not known[name].models or values.contains(known[name].models, kind))
    end)
  end
  for name, option in pairs(known) do
    local applies = not (kind and option.models) or values.contains(option.models, kind)
    if given[name] == nil then
      local wanted = applies
        and (kind or not option.models and not option.varies and name ~= "model")
      if wanted then given[name] = catalogue.default(name, kind, spec.command) end
    elseif not applies then
      usage_error("%s does not apply to model '%s'", flag(name), kind)
    end
  end
end

--- Parses a command line.
--- `spec` holds `command` (whose options of the catalogue apply), `usage`, `about`, `positional`
--- (names, all required), `rest` (the name of the list of these and any further words), `required`
--- (names of options), and `any_model` if the kind of model comes from elsewhere; options that
--- depend on it then have no default. Long options take hyphens or underscores, `--opt value` or
--- `--opt=value`, `--flag` or `--no-flag`; a mistake is a usage error.
---
---     local o = lv.options.parse(arg, { command = "regress", usage = "CLIP --out DIR",
---       about = "Fits a model.", positional = { "clip" }, required = { "out" } })
---
---@param arguments string[]  the words, such as `arg`
---@param spec table
---@return table?  the values, with the defaults of the chosen model kind; nil after --help
function command_line.parse(arguments, spec)
  command_line.is_used = true
  local known, shorts = options_of(spec.command)
  local given, positional = scan(arguments, known, shorts)
  if not given then
    io.write(command_line.help(spec))
    return nil
  end

  for index, name in ipairs(spec.positional) do
    if not positional[index] then
      usage_error("%s is missing: %s", name:upper(), spec.usage)
    end
    given[name] = positional[index]
  end
  if spec.rest then
    given[spec.rest] = positional
  elseif #positional > #spec.positional then
    usage_error("unexpected argument '%s'", positional[#spec.positional + 1])
  end

  local ok, problem = errors.attempt(fill, given, known, spec)
  if not ok then
    -- An error in a recipe's name or text is an error of the command line.
    if errors.is(problem, "usage") then usage_error("%s", errors.reason(problem)) end
    error(problem, 0)
  end
  for _, name in ipairs(spec.required or {}) do
    if given[name] == nil then usage_error("%s is missing", flag(name)) end
  end
  return given
end

return command_line
