-- Writes the reference as Markdown pages: stdlib/docs/reference.
local api <const> = require "lunerv.help.api"
local native <const> = require "lunerv.native"
local text <const> = require "lunerv.help.text"
local uses <const> = require "lunerv.help.uses"

local pages <const> = {}

local function cell(words) return (words:gsub("|", "\\|"):gsub("\n", " ")) end

local function append_entry(lines, entry)
  local function say(line) lines[#lines + 1] = line end
  say("### " .. entry.path)
  say ""
  say("`" .. text.signature(entry) .. "`")
  say ""
  say(entry.summary)
  say ""
  for paragraph in (entry.text or ""):gmatch "[^\n]+" do
    say(paragraph)
    say ""
  end
  local has_parameters = false
  for _, parameter in ipairs(entry.parameters or {}) do
    if parameter.doc ~= "" then
      say(("- `%s`: `%s`. %s"):format(parameter.name, parameter.type:gsub("lunerv%.", ""),
        parameter.doc))
      has_parameters = true
    end
  end
  if has_parameters then say "" end
  if entry.options and #entry.options > 0 then
    say "| option | type | default | |"
    say "|---|---|---|---|"
    for _, option in ipairs(entry.options) do
      say(("| `%s` | %s | %s | %s |"):format(option.name,
        cell(option.type:gsub("lunerv%.", "")),
        option.default and "`" .. cell(option.default) .. "`" or "", cell(option.doc)))
    end
    say ""
  end
  if entry.example then
    say "```lua"
    say(entry.example)
    say "```"
    say ""
  end
end

-- The page of an entry.
local function page_of(entry)
  if entry.owner and entry.owner:match "^%u" then return entry.owner:lower() end
  local module = entry.path:match "^([%w_]+)%."
  if entry.kind == "module" or entry.about then module = entry.path end
  return module or "lv"
end

-- The operators that decoders in files may use, and which of five programs use them.
local function operators()
  local entries, used, heads, rule = {}, {}, {}, {}
  for _, entry in ipairs(api.entries()) do entries[entry.path] = entry end
  for i, program in ipairs(uses) do
    used[i], heads[i], rule[i] = {}, program.name, ":-:"
    for name in program.operators:gmatch "%S+" do used[i][name] = true end
  end
  local lines = { "# Operators", "",
    "The operators that decoders may use, also those in files. A dot marks an operator that a "
      .. "decoder uses: the paper's, or that of a codec in `scripts/examples/field`.", "",
    ("| operator | | %s |"):format(table.concat(heads, " | ")),
    ("|---|---|%s|"):format(table.concat(rule, "|")) }
  for _, name in ipairs(native.pure_operators) do
    local dots = {}
    for i in ipairs(uses) do dots[i] = used[i][name] and "•" or "" end
    local entry = entries[name] or { summary = "" }
    lines[#lines + 1] = ("| `%s` | %s | %s |"):format(name, cell(entry.summary),
      table.concat(dots, " | "))
  end
  return table.concat(lines, "\n") .. "\n"
end

-- The files of the reference: a table of texts by name.
function pages.files()
  local names, by_page = {}, {}
  for _, entry in ipairs(api.entries()) do
    local page = page_of(entry)
    if not by_page[page] then
      by_page[page] = {}
      names[#names + 1] = page
    end
    table.insert(by_page[page], entry)
  end
  local files, index = {}, { "# Reference", "",
    "Made by `lunerv help --reference DIR` from the code.", "" }
  for _, page in ipairs(names) do
    local entries = by_page[page]
    local lines, first = {}, entries[1]
    local is_module = first.kind == "module"
    lines[#lines + 1] = "# " .. (first.owner or (page == "lv" and "lv" or "lv." .. page))
    lines[#lines + 1] = ""
    if is_module then
      lines[#lines + 1] = first.summary
      lines[#lines + 1] = ""
      for paragraph in first.text:gmatch "[^\n]+" do
        lines[#lines + 1] = paragraph
        lines[#lines + 1] = ""
      end
    end
    for i, entry in ipairs(entries) do
      if not (i == 1 and is_module) then append_entry(lines, entry) end
    end
    while lines[#lines] == "" do lines[#lines] = nil end
    files[page .. ".md"] = table.concat(lines, "\n") .. "\n"
    index[#index + 1] = ("- [%s](%s.md)%s"):format(first.owner or page, page,
      is_module and first.summary ~= "" and ": " .. first.summary or "")
  end
  files["operators.md"] = operators()
  index[#index + 1] = "- [operators](operators.md): which there are, and which programs use them"
  files["README.md"] = table.concat(index, "\n") .. "\n"
  return files
end

return pages
