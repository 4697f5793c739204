-- The command line as a whole. Its commands and options come from the parser's own description
-- (JSON, by Sources/LunervCommand) and from the catalogue of options. Completion, the man page and
-- messages about wrong words use them.
local catalogue <const> = require "lunerv.options.catalogue"
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local native <const> = require "lunerv.native"
local values <const> = require "lunerv.options.values"

local shell <const> = {}

-- Commands whose options are in the catalogue, and their names there.
local by_catalogue <const> = { compress = "compress_file", decompress = "decompress", info = "info",
  eval = "eval", report = "report" }

-- The options of the catalogue for a command or a script: a list of { names, value, choices, doc }.
-- `value` is the name of the value, nil for flags.
function shell.catalogue_options(command)
  local list = {}
  for _, option in ipairs(catalogue.list) do
    if values.contains(option.commands, command) then
      local long = option.name:gsub("_", "-")
      local entry = { names = { "--" .. long }, doc = option.doc, choices = option.choices }
      if option.short then table.insert(entry.names, 1, "-" .. option.short) end
      if option.type == "boolean" then
        entry.names[#entry.names + 1] = "--no-" .. long
      else
        entry.value = values.placeholder(option)
      end
      list[#list + 1] = entry
    end
  end
  list[#list + 1] = { names = { "--help" }, doc = "what it does, and these options" }
  return list
end

local function described(arguments)
  local options, positional = {}, {}
  for _, argument in ipairs(arguments or {}) do
    if argument.kind == "positional" then
      positional[#positional + 1] = { name = argument.valueName, doc = argument.abstract }
    elseif argument.shouldDisplay then
      local entry = { names = {}, doc = argument.abstract, choices = argument.allValues,
        value = argument.kind == "option" and argument.valueName or nil }
      for _, name in ipairs(argument.names) do
        local dashes = name.kind == "long" and "--" or "-"
        entry.names[#entry.names + 1] = dashes .. name.name
      end
      -- Spellings with underscores are accepted, but not offered.
      for i = #entry.names, 2, -1 do
        if entry.names[i]:find("_", 1, true) then table.remove(entry.names, i) end
      end
      options[#options + 1] = entry
    end
  end
  return options, positional
end

local function plain(text) return type(text) == "string" and text or "" end

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
    list[#list + 1] = { name = name, abstract = plain(command.abstract),
      discussion = plain(command.discussion), options = options, positional = positional,
      defers = by_catalogue[name] ~= nil }
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

-- lunerv completion SHELL.
function shell.main(dump, what, ...)
  local completion <const> = require "lunerv.shell.completion"
  if what == "words" then
    local words = { ... }
    if words[1] == "--" then table.remove(words, 1) end
    for _, line in ipairs(completion.candidates(shell.commands(dump), words)) do print(line) end
  elseif what == "man" then
    io.write(require "lunerv.shell.manual"(shell.commands(dump)))
  elseif completion.scripts[what] then
    io.write(completion.scripts[what])
  elseif what == "--help" or what == "-h" then
    local command = shell.find(shell.commands(dump), "completion")
    print(command.abstract .. "\n\n" .. command.discussion
      .. "\n\nusage: lunerv completion bash|zsh|fish|man")
  else
    errors.fail("usage", "completion: expected bash, zsh, fish or man, got '%s'", what or "nothing")
  end
end

return shell
