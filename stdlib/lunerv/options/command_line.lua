-- Parsing of command lines, and their help, from the catalogue of options.
local catalogue <const> = require "lunerv.options.catalogue"
local errors <const> = require "lunerv.errors"
local help_text <const> = require "lunerv.options.help_text"
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
  if option.name == "model" and option.choices then
    usage_error("unknown model '%s'%s (known: %s)", text, names.meant(text, option.choices),
      errors.list(option.choices))
  end
  usage_error("%s: expected %s, got '%s'", flag(option.name), expected, text)
end

-- A default as text: "0.1", or each value with its kinds: "0.1; 0.2 for nerv, enerv".
local function default_text(option, command)
  if option.type == "boolean" then return option.default and "yes" or nil end
  if option.is_own then return option.default ~= nil and values.show(option.default) or nil end
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

-- The default for the usual model, the one without --model.
local function usual_default(option, command)
  local kind = catalogue.default "model"
  if option.is_own or not (option.varies and values.contains(option.models or { kind }, kind)) then
    return nil
  end
  local value = catalogue.with_recipe(option.name, kind, command)
  return (type(value) == "number" or type(value) == "string") and values.show(value) or nil
end

-- Checks an option that a script declares.
local function own_option(given)
  local option = {}
  for key, value in pairs(given) do option[key] = value end
  option.is_own, option.group = true, option.group or "Options"
  if option.common == nil then option.common = true end
  if type(option.name) ~= "string" or not option.name:match "^%l[%w_]*$" then
    errors.raise("options.parse: options: expected a name such as 'width', got %s",
      errors.show(option.name))
  end
  if option.name == "chosen" then
    errors.raise "options.parse: options: expected another name, got 'chosen', which is reserved"
  end
  if not values.is_type(option.type) then
    errors.raise("options.parse: option '%s': expected a type (%s), got %s", option.name,
      errors.list(values.types), errors.show(option.type))
  end
  return option
end

-- The options of a script: those of the catalogue for `spec.command` that it does not leave out,
-- and its own, which replace others of the same name.
local function options_of(spec)
  local list, replaced = {}, {}
  for _, option in ipairs(spec.options or {}) do
    list[#list + 1], replaced[option.name] = own_option(option), true
  end
  for _, option in ipairs(catalogue.list) do
    local is_wanted = spec.command and values.contains(option.commands, spec.command)
    if is_wanted and not replaced[option.name] and not values.contains(spec.without, option.name)
    then
      list[#list + 1] = option
    end
  end
  return list
end

local function is_common(option, command)
  local common = option.common
  return type(common) == "table" and values.contains(common, command) or common == true
end

--- The options of a script as --help, completion and the man page show them: a list of { names,
--- value, choices, doc, group, common, default, usual }. `value` is the name of the value, nil for
--- flags; `usual` is the default with the usual model, where it depends on that.
---
---@param spec table  as for options.parse
---@param with_defaults? boolean
---@return table[]
function command_line.entries(spec, with_defaults)
  local list = {}
  for _, option in ipairs(options_of(spec)) do
    local long = flag(option.name)
    local entry = { names = { long }, doc = option.doc, choices = option.choices,
      group = option.group, common = is_common(option, spec.command),
      default = with_defaults and default_text(option, spec.command) or nil,
      usual = with_defaults and usual_default(option, spec.command) or nil }
    if option.short then table.insert(entry.names, 1, "-" .. option.short) end
    if option.type == "boolean" then
      entry.names[#entry.names + 1] = "--no-" .. long:sub(3)
    else
      entry.value = values.placeholder(option)
    end
    list[#list + 1] = entry
  end
  list[#list + 1] = command_line.help_entry
  return list
end

-- The entry for --help itself.
command_line.help_entry = { names = { "-h", "--help" }, group = "Help", common = false,
  doc = "show the common options; with --all, all of them" }

-- The titles of the groups, in the order of every help.
command_line.groups = table.move(catalogue.groups, 1, #catalogue.groups, 1, {})
table.insert(command_line.groups, "Help")

--- The text that --help prints: the common options, which fit a screen; with `all`, as --help --all
--- prints it, every option by group.
---
---     io.write(lv.options.help { command = "regress", usage = "…", about = "Fits a model." })
---
---@param spec table  as for options.parse
---@param all? boolean
---@return string
function command_line.help(spec, all)
  return help_text.of({ usage = spec.usage, about = spec.about, details = spec.details,
    entries = command_line.entries(spec, true), order = command_line.groups }, all)
end

-- The options of a script by name, and the long forms of the short ones.
local function by_name(spec)
  local known, shorts = {}, {}
  for _, option in ipairs(options_of(spec)) do
    known[option.name] = option
    if option.short then shorts["-" .. option.short] = flag(option.name) end
  end
  return known, shorts
end

-- Whether one of `words` from the i-th to the last, or to "--", is in the list.
local function names_any(words, i, list)
  while words[i] and words[i] ~= "--" do
    if values.contains(list, words[i]) then return true end
    i = i + 1
  end
  return false
end

local help_flags <const> = { "--help", "-h" }

-- Raises the error for an unknown option; it lists the known ones if they are few.
local function unknown(word, known)
  local flags = { "--help" }
  for name in pairs(known) do flags[#flags + 1] = flag(name) end
  usage_error("unknown option '%s'%s (%s)", word, names.meant(word, flags),
    #flags > 16 and "see --help --all" or "known: " .. errors.list(flags))
end

-- Parses the arguments: values of options by name, the positional words, and the words of each
-- option as typed; nil for a request for help.
local function scan(arguments, known, shorts)
  local given, positional, typed = {}, {}, {}
  local i, only_positional = 1, false
  while i <= #arguments do
    local argument = arguments[i]
    if not only_positional and shorts[argument] then argument = shorts[argument] end
    if only_positional or not argument:match "^%-%-?%a" and argument ~= "--" then
      positional[#positional + 1] = argument
    elseif argument == "--" then
      only_positional = true
    elseif values.contains(help_flags, argument) then
      return nil
    elseif argument ~= "--all" or known.all or not names_any(arguments, i, help_flags) then
      local name, value = argument:match "^%-%-([%w_-]+)=(.*)$"
      name = (name or argument:match "^%-%-(.+)$" or argument):gsub("-", "_")
      local negated, first = known[name:match "^no_(.+)$"], i
      local option = known[name] or (negated and negated.type == "boolean" and negated)
      if not option then
        unknown(argument:match "^[^=]+", known)
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
      typed[#typed + 1] = { name = option.name, table.unpack(arguments, first, i) }
    end
    i = i + 1
  end
  return given, positional, typed
end

-- The options in `given` that belong to the catalogue, as a set of names.
local function names_of(given, known)
  local set = {}
  for name in pairs(given) do
    if known[name] and not known[name].is_own then set[name] = true end
  end
  return set
end

-- Sets the options that were left out to the defaults of the chosen kind of model.
local function fill(given, known, spec)
  local kind = nil
  if spec.command and not spec.any_model and not (known.model and known.model.is_own) then
    kind = given.model or catalogue.default("model")
  end
  if given.size and given.params and spec.command and not given.resume then
    usage_error("expected one of --size and --params, got both")
  end
  if kind then
    catalogue.apply_preset(given, kind)
  end
  -- Before the defaults: a recipe or a plan may change those, but not what the user chose.
  local chosen = names_of(given, known)
  if kind then
    if known.recipe and given.recipe == nil then
      given.recipe = catalogue.default("recipe", kind, spec.command)
    end
  end
  -- Without one kind of model: what a recipe says of all kinds.
  if kind or known.recipe and not known.recipe.is_own then
    catalogue.apply_recipe(given, kind, spec.command, function(name)
      return known[name] and (not known[name].models or values.contains(known[name].models, kind))
    end)
  end
  for name, option in pairs(known) do
    local applies = not (kind and option.models) or values.contains(option.models, kind)
    if option.is_own then
      if given[name] == nil then given[name] = catalogue.copy(option.default) end
    elseif given[name] == nil then
      local wanted = applies
        and (kind or not option.models and not option.varies and name ~= "model")
      if wanted then given[name] = catalogue.default(name, kind, spec.command) end
    elseif not applies then
      usage_error("%s does not apply to model '%s'", flag(name), kind)
    end
  end
  if spec.command then given.chosen = chosen end
end

--- Parses a command line.
--- `spec` holds `usage`, `about` (a sentence or two) and `details` (the rest, for --help --all);
--- `command`, whose options of the catalogue apply, except those in `without`; `options`, the
--- script's own; `positional` (names, all required), `optional` (names of further words), `rest`
--- (the name of the list of all these words); `required` (names of options); and `any_model` if the
--- kind of model comes from elsewhere; options that depend on it then have no default.
---
--- An option of the script's own is { name, type, doc, default, group, common }, and may have
--- `choices`, `short`, `placeholder`, and limits: `least`, `most`, `above`, `below`. The types are
--- string, integer, number, boolean, choice, list, bytes, count and text_or_number. `group` is
--- the heading under which --help --all shows it; --help shows it unless `common` is false.
---
--- Long options take hyphens or underscores, `--opt value` or `--opt=value`, `--flag` or
--- `--no-flag`; a mistake is a usage error.
---
---     local o = lv.options.parse(arg, { command = "regress", usage = "CLIP --out DIR",
---       about = "Fits a model.", positional = { "clip" }, required = { "out" },
---       options = { { name = "tries", type = "integer", default = 3, doc = "number of runs" } } })
---
---@param arguments string[]  the words, such as `arg`
---@param spec table
---@return table?  the values, with the defaults of the chosen model kind; with spec.command also
--- `chosen`, the set of the names of options that were typed or set by a preset; nil after --help
---@return table?  the options as typed, in order: a list of { name = NAME, WORD… }
function command_line.parse(arguments, spec)
  command_line.is_used = true
  local known, shorts = by_name(spec)
  local given, positional, typed = scan(arguments, known, shorts)
  if not given then
    io.write(command_line.help(spec, names_any(arguments, 1, { "--all" })))
    return nil
  end

  local wanted = table.move(spec.positional or {}, 1, #(spec.positional or {}), 1, {})
  for index, name in ipairs(wanted) do
    if not positional[index] then
      usage_error("%s is missing: %s", name:upper(), spec.usage)
    end
  end
  table.move(spec.optional or {}, 1, #(spec.optional or {}), #wanted + 1, wanted)
  for index, name in ipairs(wanted) do given[name] = positional[index] end
  if spec.rest then
    given[spec.rest] = positional
  elseif #positional > #wanted then
    usage_error("unexpected argument '%s'", positional[#wanted + 1])
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
  return given, typed
end

return command_line
