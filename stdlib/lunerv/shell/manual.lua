-- The man page, from the same description as help and completion.
local native <const> = require "lunerv.native"

-- Escapes text for roff.
local function plain(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^([.'])", "\\&%1")
    :gsub("\n([.'])", "\n\\&%1"))
end

local function option_lines(out, option)
  local names = {}
  for i, name in ipairs(option.names) do names[i] = "\\fB" .. plain(name) .. "\\fR" end
  local left = table.concat(names, ", ")
  if option.value then left = left .. " \\fI" .. plain(option.value) .. "\\fR" end
  out[#out + 1] = ".TP\n" .. left .. "\n" .. plain(option.doc or "")
end

--- The page in roff.
---
---@param commands table[]  what `shell.commands` returns
---@return string
return function(commands)
  local out = {
    ('.TH LUNERV 1 "" "lunerv %s"'):format(native.versions().lunerv),
    ".SH NAME\nlunerv \\- a neural video codec and research host, scripted in Lua",
    ".SH SYNOPSIS\n.B lunerv\n.I command\n.RI [ options ]",
    ".SH DESCRIPTION\nlunerv overfits a small network to a video; the network is the file. "
      .. "Lua scripts choose the architecture, the training and the loss.\n"
      .. plain "`lunerv help NAME` describes a name of the Lua library.",
    ".SH COMMANDS",
  }
  for _, command in ipairs(commands) do
    local words = { "lunerv " .. plain(command.name) }
    for _, argument in ipairs(command.positional) do
      words[#words + 1] = "\\fI" .. plain(argument.name) .. "\\fR"
    end
    out[#out + 1] = ".SS " .. table.concat(words, " ")
    out[#out + 1] = plain(command.abstract)
    if command.discussion ~= "" then
      out[#out + 1] = ".PP\n" .. plain(command.discussion):gsub("\n\n", "\n.PP\n")
    end
    for _, option in ipairs(command.options) do option_lines(out, option) end
  end
  out[#out + 1] = ".SH EXIT STATUS\n0 success, 1 failure, 2 usage error, 130 interrupted; then "
    .. "\\-\\-resume continues from the state on disk."
  out[#out + 1] = ".SH ENVIRONMENT"
  for _, entry in ipairs {
    { "LUNERV_HISTORY", "The file of the prompt's history; empty for none." },
    { "LUNERV_STDLIB", "A folder with the Lua library, used instead of the embedded one." },
    { "NO_COLOR", "If set, output has no colours." },
  } do
    out[#out + 1] = ".TP\n.B " .. entry[1] .. "\n" .. plain(entry[2])
  end
  return table.concat(out, "\n") .. "\n"
end
