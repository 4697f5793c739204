-- Parses a comment: a summary, more sentences, an example, and the parameters and results of its
-- LuaCATS tags. The `doc` of native functions has the same form.
local native <const> = require "lunerv.native"

local comments <const> = {}

-- "lunerv.Tensor|number  the other operand": a type, then two spaces, then words. A single blank
-- belongs to the type.
local function typed(text)
  local kind, words = text:match "^(.-)%s%s+(.*)$"
  return kind or text, words or ""
end

local readers <const> = {
  param = function(entry, text)
    local name, optional, rest = text:match "^([%w_%.…]+)(%??)%s+(.+)$"
    if not name then return end
    local kind, words = typed(rest)
    entry.parameters[#entry.parameters + 1] = { name = name, optional = optional == "?",
      type = kind, doc = words }
  end,
  ["return"] = function(entry, text)
    local kind, words = typed(text)
    entry.results[#entry.results + 1] = { type = kind, doc = words }
  end,
}

-- Text with its lines joined; an empty line is kept.
local function paragraphs(lines)
  local text = table.concat(lines, "\n"):gsub("^%s+", ""):gsub("%s+$", "")
  return (text:gsub("([^\n])\n([^\n])", "%1 %2"))
end

-- Parses these lines: { summary, text, example, parameters, results }. The summary ends with the
-- first sentence.
function comments.parse(lines)
  local entry = { parameters = {}, results = {} }
  local prose, example = {}, {}
  for _, line in ipairs(lines) do
    local tag, rest = line:match "^%s*@(%a+)%s*(.*)$"
    if tag then
      if readers[tag] then readers[tag](entry, rest) end
    elseif line:match "^    " or line:match "^%s*$" and #example > 0 and #prose == example.at then
      if #example == 0 then example.at = #prose end
      example[#example + 1] = line:sub(5)
    else
      prose[#prose + 1] = line
      if #example > 0 then example.at = #prose end
    end
  end
  while example[#example] and example[#example]:match "^%s*$" do example[#example] = nil end
  local text = paragraphs(prose)
  local first, last = text:find "%.%s+%f[%u]"
  local break_at = text:find "\n"
  if break_at and (not first or break_at < first) then last = break_at end
  entry.summary = last and text:sub(1, last):gsub("%s+$", "") or text
  entry.text = last and text:sub(last + 1):gsub("^%s+", "") or ""
  entry.example = #example > 0 and table.concat(example, "\n") or nil
  return entry
end

-- The lines of a text.
local function split(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\r?\n" do lines[#lines + 1] = line end
  return lines
end

comments.split = split

local files <const> = {}

-- The lines of the file that a chunk was read from, or nil.
function comments.lines_of(chunk)
  if files[chunk] == nil then
    local text
    local inside, outside = chunk:match "^@lunerv:(.*)$", chunk:match "^@(.*)$"
    if inside then
      text = native.stdlib_source(inside)
    elseif outside then
      text = native.read_file(outside)
    end
    files[chunk] = text and split(text) or false
  end
  return files[chunk] or nil
end

-- A changed file is read again.
function comments.forget() for chunk in pairs(files) do files[chunk] = nil end end

-- The lines of the comment right above a line, without their dashes; nil where there is none.
-- Those of the API begin with three dashes; other comments are taken where `any` is set.
local function above(lines, line, any)
  local first = line
  local mark = any and "^%s*%-%-" or "^%s*%-%-%-"
  while lines[first - 1] and lines[first - 1]:match(mark) do first = first - 1 end
  if first == line then return nil end
  local found = {}
  for i = first, line - 1 do
    local text = lines[i]:gsub("^%s*%-%-%-?", "", 1)
    -- The blank after the dashes; tags have none.
    found[#found + 1] = text:gsub("^ ", "", 1)
  end
  return found
end

-- The description in the comment above a line of a chunk, or nil.
function comments.at(chunk, line, any)
  local lines = comments.lines_of(chunk)
  local found = lines and above(lines, line, any)
  return found and comments.parse(found)
end

-- The description in the comment at the top of a file, or nil.
function comments.of_file(chunk)
  local lines = comments.lines_of(chunk)
  if not lines then return nil end
  local last = 0
  while lines[last + 1] and lines[last + 1]:match "^%-%-" do last = last + 1 end
  if last == 0 then return nil end
  return comments.parse(above(lines, last + 1, true))
end

return comments
