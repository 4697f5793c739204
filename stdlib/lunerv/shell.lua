-- The command line as a whole. Its commands and options come from the parser's own description
-- (JSON, by Sources/LunervCommand) and from the catalogue of options. Completion, the man page and
-- messages about wrong words use them.
local command_line <const> = require "lunerv.options.command_line"
local errors <const> = require "lunerv.errors"
local help_text <const> = require "lunerv.options.help_text"
local names <const> = require "lunerv.names"
local native <const> = require "lunerv.native"
local values <const> = require "lunerv.options.values"

local shell <const> = {}

-- Commands whose options are in the catalogue, and their names there.
local by_catalogue <const> = { compress = "compress_file", decompress = "decompress", info = "info",
  eval = "eval", report = "report" }

-- The options of the catalogue for a command or a script, as command_line.entries gives them.
function shell.catalogue_options(command) return command_line.entries { command = command } end

-- An option of the parser; nil for one without a text, which is internal. Its section is its group.
-- One that the parser hides is shown only with --all.
local function option_of(argument)
  if not argument.abstract then return nil end
  local entry = { names = {}, doc = argument.abstract, choices = argument.allValues,
    value = argument.kind == "option" and argument.valueName or nil,
    group = argument.sectionTitle or "Options", common = argument.shouldDisplay }
  for _, name in ipairs(argument.names) do
    entry.names[#entry.names + 1] = (name.kind == "long" and "--" or "-") .. name.name
  end
  -- Spellings with underscores are accepted, but not offered.
  for i = #entry.names, 2, -1 do
    if entry.names[i]:find("_", 1, true) then table.remove(entry.names, i) end
  end
  local last = entry.names[#entry.names]
  if last == "--help" then entry.doc = command_line.help_entry.doc end
  if last == "--version" then entry.doc = "show the version" end
  if last == "--help" or last == "--version" then entry.group, entry.common = "Help", false end
  return entry
end

-- Adds an option to a list; "--no-name" joins "--name".
local function add_option(list, entry)
  local last = list[#list]
  local is_negation = entry and last
    and entry.names[1] == last.names[#last.names]:gsub("^%-%-", "--no-")
  if is_negation then
    last.names[#last.names + 1] = entry.names[1]
  else
    list[#list + 1] = entry
  end
end

local function described(arguments)
  local options, positional = {}, {}
  for _, argument in ipairs(arguments or {}) do
    if argument.kind == "positional" then
      positional[#positional + 1] = { name = argument.valueName, doc = argument.abstract,
        is_optional = argument.isOptional, is_list = argument.isRepeating }
    else
      add_option(options, option_of(argument))
    end
  end
  return options, positional
end

local function plain(text) return type(text) == "string" and text or "" end

-- The help command, instead of the parser's own description of it.
local help_command <const> = {
  name = "help", abstract = "Shows help on a command or a name of the library.",
  discussion = "lunerv help compress is lunerv compress --help. Names of the Lua library are such "
    .. "as conv2d, nn.Linear and Tensor. Without a name, the commands are listed.",
  positional = {
    { name = "name", doc = "a command, or a name of the library", is_optional = true },
  },
  options = {
    { names = { "--annotations" }, value = "DIR", group = "Input and output", common = true,
      doc = "write annotations of the library for editors" },
    { names = { "--reference" }, value = "DIR", group = "Input and output", common = true,
      doc = "write the reference of the library in Markdown" },
    command_line.help_entry,
  },
}

--- All commands in the order of the help: { name, abstract, discussion, options, positional, defers
--- }. `defers` says that Lua reads the words, so the parser knows none of the options.
---
---@param dump string  the parser's description
---@return table[]
function shell.commands(dump)
  local list = {}
  for _, command in ipairs(native.json_decode(dump).command.subcommands or {}) do
    local name = command.commandName
    local options, positional = described(command.arguments)
    if by_catalogue[name] then options = shell.catalogue_options(by_catalogue[name]) end
    list[#list + 1] = name == "help" and help_command or { name = name,
      abstract = plain(command.abstract), discussion = plain(command.discussion),
      options = options, positional = positional, defers = by_catalogue[name] ~= nil }
  end
  return list
end

function shell.find(commands, name)
  for _, command in ipairs(commands) do
    if command.name == name then return command end
  end
end

local function option_names(command)
  local list = {}
  for _, option in ipairs(command.options) do
    for _, name in ipairs(option.names) do list[#list + 1] = name end
  end
  return list
end

local function refused(command, word)
  local known = option_names(command)
  for _, name in ipairs(known) do
    if name == word then return nil end
  end
  return ("unknown option '%s'%s (see 'lunerv %s --help')"):format(native.printable(word),
    names.meant(word, known), command.name)
end

-- The error for an option that a command does not have; nil if it has it.
function shell.unknown_option(dump, name, word)
  local command = shell.find(shell.commands(dump), name)
  return command and refused(command, word:match "^[^=]+")
end

-- The error for the words of a command line; nil if only the parser knows.
function shell.problem(dump, ...)
  local words, commands, known = { ... }, shell.commands(dump), { "help" }
  for _, command in ipairs(commands) do
    if command.name ~= "help" then known[#known + 1] = command.name end
  end
  local first = words[1]
  if not first then return nil end
  if first:sub(1, 1) ~= "-" and not values.contains(known, first) then
    return ("unknown command '%s'%s (known: %s)"):format(native.printable(first),
      names.meant(first, known), errors.list(known))
  end
  if first:match "^%-%-%a" then
    local root = { name = "", options = { { names = { "--help", "--version" } } } }
    local text = refused(root, first)
    return text and (text:gsub("lunerv  ", "lunerv "))
  end
  local command = shell.find(commands, first)
  if not command or command.defers then return nil end
  for i = 2, #words do
    if words[i]:match "^%-%-%a" then
      local text = refused(command, words[i]:match "^[^=]+")
      if text then return text end
    end
  end
end

-- The usage of commands whose words the parser passes on.
local usages <const> = { completion = "lunerv completion SHELL" }

-- The arguments of a command as its usage line and its help show them.
local function arguments_of(command)
  local words, entries = { "lunerv", command.name }, {}
  if #command.options > 2 then words[#words + 1] = "[options]" end
  for _, argument in ipairs(command.positional) do
    local name = argument.name:upper() .. (argument.is_list and "…" or "")
    words[#words + 1] = argument.is_optional and "[" .. name .. "]" or name
    entries[#entries + 1] = { value = name, doc = argument.doc, group = "Arguments" }
  end
  return usages[command.name] or table.concat(words, " "), entries
end

local function help_of(command, all)
  local usage, entries = arguments_of(command)
  for _, option in ipairs(command.options) do
    -- Users ask lunerv itself for the version.
    if option.names[1] ~= "--version" then entries[#entries + 1] = option end
  end
  return help_text.of({ usage = usage, about = command.abstract, details = command.discussion,
    entries = entries, order = command_line.groups }, all)
end

local function root_help(dump, commands, all)
  local entries = {}
  for _, command in ipairs(commands) do
    entries[#entries + 1] = { value = command.name, doc = command.abstract, group = "Commands",
      common = true }
  end
  local root = native.json_decode(dump).command
  table.move((described(root.arguments)), 1, 2, #entries + 1, entries)
  return help_text.of({ usage = "lunerv COMMAND [options]", about = plain(root.abstract),
    details = "lunerv COMMAND --help shows the options of a command, lunerv help NAME describes a "
      .. "name of the Lua library, such as conv2d.",
    entries = entries, order = command_line.groups }, all)
end

-- Answers a command line that asks for help on a command or, with no command, on lunerv.
function shell.show(dump, ...)
  local words, commands = { ... }, shell.commands(dump)
  local command, all = shell.find(commands, words[1]), values.contains(words, "--all")
  if not command then
    io.write(root_help(dump, commands, all))
  elseif command.defers then
    require("lunerv.commands")[command.name] { "--help", all and "--all" or nil }
  else
    io.write(help_of(command, all))
  end
end

-- lunerv help [COMMAND|NAME].
function shell.help(dump, ...)
  local words <const> = { ... }
  local first = words[1]
  if values.contains(words, "--help") or values.contains(words, "-h") then
    return shell.show(dump, "help")
  end
  for _, word in ipairs(words) do
    if word ~= "--all" then
      if shell.find(shell.commands(dump), word) then return shell.show(dump, word, ...) end
      break
    end
  end
  if not first or first == "--all" then return shell.show(dump, "", ...) end
  require("lunerv.help").main(words)
end

-- lunerv completion SHELL.
function shell.main(dump, what, ...)
  local completion <const> = require "lunerv.shell.completion"
  if what ~= "words" and (values.contains({ what, ... }, "--help")
    or values.contains({ what, ... }, "-h"))
  then
    shell.show(dump, "completion", what, ...)
  elseif what == "words" then
    local words = { ... }
    if words[1] == "--" then table.remove(words, 1) end
    for _, line in ipairs(completion.candidates(shell.commands(dump), words)) do print(line) end
  elseif what == "man" then
    io.write(require "lunerv.shell.manual"(shell.commands(dump)))
  elseif completion.scripts[what] then
    io.write(completion.scripts[what])
  else
    errors.fail("usage", "completion: expected bash, zsh, fish or man, got '%s'", what or "nothing")
  end
end

return shell
