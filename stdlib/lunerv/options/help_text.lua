-- The text of --help: the common options on one screen, or all of them by group.
--
-- An entry is { names = { "-o", "--output" }, value = "FILE", doc, default, choices, group,
-- common }. `value` is nil for flags, `default` is text, `choices` is a list. `usual` is a shorter
-- `default` for the common options. An entry without names is an argument; its `value` names it.
local values <const> = require "lunerv.options.values"

local help_text <const> = {}

-- A terminal of the usual size.
local width <const>, height <const> = 80, 24
-- The indentation of the options' names, and the column in which their texts begin.
local name_width <const> = 22
local margin <const> = ("%" .. name_width + 4 .. "s"):format ""

local function columns(text) return utf8.len(text) or #text end

-- Appends `text`, which begins in the column after `first`; its other lines begin with `hang`.
local function wrap(lines, first, text, hang)
  local line, is_empty = first, true
  for word in text:gmatch "%S+" do
    if not is_empty and columns(line) + 1 + columns(word) > width then
      lines[#lines + 1] = line
      line, is_empty = hang, true
    end
    line = line .. (is_empty and "" or " ") .. word
    is_empty = false
  end
  lines[#lines + 1] = line
end

-- Appends paragraphs. Lines of `text` are joined, except lines that begin with spaces and lines
-- next to an empty one. A line of the form "  name   text" is continued below its text.
local function paragraphs(lines, text)
  text = text:gsub("([^\n])\n(%S)", "%1 %2")
  for paragraph in (text .. "\n"):gmatch "(.-)\n" do
    local indent, rest = paragraph:match "^( *)(.*)$"
    local name, said = paragraph:match "^( +%S.-   *)(%S.*)$"
    if name then
      wrap(lines, name, said, (" "):rep(columns(name)))
    else
      wrap(lines, indent, rest, indent)
    end
  end
end

-- The names of an entry: "-o, --output FILE", "--[no-]resume".
local function left_of(entry)
  local shown = {}
  for _, name in ipairs(entry.names or {}) do
    local word = name:match "^%-%-(.+)$"
    if word and values.contains(entry.names, "--no-" .. word) then name = "--[no-]" .. word end
    local negated = word and word:match "^no%-(.+)$"
    if not (negated and values.contains(entry.names, "--" .. negated)) then
      shown[#shown + 1] = name
    end
  end
  local left = table.concat(shown, ", ")
  local value, lists_choices = entry.value, false
  if value and entry.names then value = " " .. value end
  if value and entry.choices and columns(left .. value) > name_width then
    value, lists_choices = " NAME", true
  end
  return left .. (value or ""), lists_choices
end

local function add_entry(lines, entry, is_brief)
  local left, lists_choices = left_of(entry)
  local text = entry.doc or ""
  if lists_choices then text = values.with_choices(text, entry.choices) end
  local default = is_brief and entry.usual or entry.default
  if default then text = text .. " [" .. default .. "]" end
  local first = "  " .. left
  if columns(left) > name_width then
    lines[#lines + 1] = first
    first = margin
  else
    first = first .. (" "):rep(#margin - columns(first))
  end
  wrap(lines, first, text, margin)
end

local function beginning(page)
  local lines = {}
  wrap(lines, "usage: ", page.usage, (" "):rep(7))
  if page.about and page.about ~= "" then
    lines[#lines + 1] = ""
    paragraphs(lines, page.about)
  end
  return lines
end

-- The titles of the groups; those that are not in `order` come first.
local function titles(entries, order)
  local list, seen = {}, {}
  for _, entry in ipairs(entries) do
    if not values.contains(order, entry.group) and not seen[entry.group] then
      list[#list + 1], seen[entry.group] = entry.group, true
    end
  end
  return table.move(order, 1, #order, #list + 1, list)
end

local function everything(page)
  local lines = beginning(page)
  if page.details and page.details ~= "" then
    lines[#lines + 1] = ""
    paragraphs(lines, page.details)
  end
  for _, title in ipairs(titles(page.entries, page.order)) do
    local is_begun = false
    for _, entry in ipairs(page.entries) do
      if entry.group == title then
        if not is_begun then table.move({ "", title .. ":" }, 1, 2, #lines + 1, lines) end
        is_begun = true
        add_entry(lines, entry)
      end
    end
  end
  return lines
end

local function common(page)
  local lines, hidden = beginning(page), 0
  lines[#lines + 1] = ""
  for _, title in ipairs(titles(page.entries, page.order)) do
    for _, entry in ipairs(page.entries) do
      if entry.group == title and entry.common then
        add_entry(lines, entry, true)
      elseif entry.group == title then
        hidden = hidden + 1
      end
    end
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = hidden > 0 and ("--help --all shows all %d options."):format(#page.entries)
    or "--help --all says more."
  return lines
end

--- The help of a command. Without `all` it has the common options alone, unless everything fits a
--- terminal of 24 lines and 80 columns.
---
---@param page table  `usage`; `about`, a few sentences; `details`, shown with the groups;
---  `entries`; `order`: the titles of the groups
---@param all? boolean  every option, by group
---@return string
function help_text.of(page, all)
  local lines = everything(page)
  if not all and #lines > height then lines = common(page) end
  return table.concat(lines, "\n") .. "\n"
end

return help_text
