-- Completion in a shell. The shell's part is short: it asks `lunerv completion words`, which prints
-- one candidate per line, a tab and its description, and ":files" where a file name may come.
local values <const> = require "lunerv.options.values"

local completion <const> = {}

completion.scripts = {
  bash = [=[
_lunerv() {
  local line files= part=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = ":files" ]; then files=1; else COMPREPLY+=("${line%%$'\t'*}"); fi
  done < <("${COMP_WORDS[0]}" completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [ -n "$files" ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$part")
  fi
}
complete -F _lunerv lunerv
]=],
  zsh = [=[
#compdef lunerv
_lunerv() {
  local line files
  local -a found
  for line in "${(@f)$(${words[1]} completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == ":files" ]]; then
      files=1
    elif [[ -n $line ]]; then
      found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    fi
  done
  (( $#found )) && _describe lunerv found
  [[ -n $files ]] && _files
}
if [ "$funcstack[1]" = "_lunerv" ]; then _lunerv "$@"; else compdef _lunerv lunerv; fi
]=],
  fish = [=[
function __lunerv_complete
  set -l words (commandline -opc)
  set -l part (commandline -ct)
  for line in (lunerv completion words -- $words[2..] "$part" 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path "$part"
    else
      echo $line
    end
  end
end
complete -c lunerv -f -a '(__lunerv_complete)'
]=],
}

local function begins(word, part) return word:sub(1, #part) == part end

local function option_of(options, word)
  for _, option in ipairs(options) do
    if values.contains(option.names, word) then return option end
  end
end

-- Adds the candidates for `part` after `words`, from a list of options.
local function add_options(list, options, words, part)
  local option = option_of(options, words[#words] or "")
  if option and option.value then
    for _, choice in ipairs(option.choices or {}) do
      if begins(tostring(choice), part) then list[#list + 1] = choice .. "\t" .. option.doc end
    end
    if not option.choices then list[#list + 1] = ":files" end
    return
  end
  if part:sub(1, 1) ~= "-" then
    list[#list + 1] = ":files"
    return
  end
  for _, known in ipairs(options) do
    for _, name in ipairs(known.names) do
      if begins(name, part) then list[#list + 1] = name .. "\t" .. (known.doc or "") end
    end
  end
end

-- The position of the script of `lunerv run` among the words; nil if it is still to come.
local function script_at(options, words)
  local i = 1
  while i <= #words do
    local option = option_of(options, words[i])
    if option and (option.names[1] == "-e" or option.names[1] == "--code") then return nil end
    if option then
      i = i + (option.value and 2 or 1)
    elseif words[i]:sub(1, 1) == "-" then
      i = i + 1
    else
      return i
    end
  end
end

local function for_run(list, options, words, part)
  local at = script_at(options, words)
  if not at then return add_options(list, options, words, part) end
  local name = words[at]:match "([^/]*)%.lua$" or ""
  local own = require("lunerv.shell").catalogue_options(name)
  add_options(list, own, table.move(words, at + 1, #words, 1, {}), part)
end

local function for_help(list, commands, part)
  for _, command in ipairs(commands) do
    if begins(command.name, part) then
      list[#list + 1] = command.name .. "\t" .. command.abstract
    end
  end
  for _, entry in ipairs(require("lunerv.help.api").entries()) do
    if part ~= "" and begins(entry.path, part) then
      list[#list + 1] = entry.path .. "\t" .. (entry.summary or "")
    end
  end
end

--- The lines for a shell.
---
---@param commands table[]  what `shell.commands` returns
---@param words string[]  the words after `lunerv`; the last one is being typed
---@return string[]
function completion.candidates(commands, words)
  local list, part = {}, table.remove(words) or ""
  local command = table.remove(words, 1)
  if not command then
    local all = { { name = "help", abstract = "Help on a name or a command." },
      { name = "--help", abstract = "" }, { name = "--version", abstract = "" } }
    for _, known in ipairs(commands) do
      if known.name ~= "help" then table.insert(all, #all - 2, known) end
    end
    for _, known in ipairs(all) do
      local wanted = part ~= "" or known.name:sub(1, 1) ~= "-"
      if wanted and begins(known.name, part) then
        list[#list + 1] = known.name .. "\t" .. known.abstract
      end
    end
    return list
  end
  if command == "help" then
    for_help(list, commands, part)
    return list
  end
  for _, known in ipairs(commands) do
    if known.name == command and command == "completion" then
      for _, name in ipairs { "bash", "fish", "man", "zsh" } do
        if begins(name, part) then list[#list + 1] = name .. "\t" end
      end
    elseif known.name == command and command == "run" then
      for_run(list, known.options, words, part)
    elseif known.name == command then
      add_options(list, known.options, words, part)
    end
  end
  return list
end

return completion
