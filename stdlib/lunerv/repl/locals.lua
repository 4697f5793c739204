-- Locals at the prompt. Lua drops a chunk's locals at its end, so locals outside of any block
-- become globals. `local x <const> = 1` is read as `x = 1`, on the same line and columns.
local text <const> = require "lunerv.repl.text"

-- The end of a long bracket that begins at `position`, if there is one.
local function long_bracket(source, position)
  local equals = source:match("^%[(=*)%[", position)
  if not equals then return nil end
  local _, last = source:find("]" .. equals .. "]", position, true)
  return last or #source
end

-- The tokens of a chunk: { kind, first, last }, kind being a keyword, "name", "string" or a sign.
local function tokens(source)
  local list, position = {}, 1
  while true do
    position = source:find("%S", position)
    if not position then return list end
    local first = position
    local last, kind
    if source:find("^%-%-", position) then
      last = long_bracket(source, position + 2)
        or (source:find("\n", position, true) or #source + 1) - 1
    elseif source:find("^[%a_]", position) then
      last = select(2, source:find("^[%w_]+", position))
      local word = source:sub(first, last)
      kind = text.keywords[word] and word or "name"
    elseif source:find("^%[=*%[", position) then
      last, kind = long_bracket(source, position), "string"
    elseif source:find("^[\"']", position) then
      local quote = source:sub(position, position)
      last, kind = position + 1, "string"
      while last <= #source and source:sub(last, last) ~= quote do
        last = last + (source:sub(last, last) == "\\" and 2 or 1)
      end
    else
      kind, last = source:sub(position, position), position
    end
    if kind then list[#list + 1] = { kind, first, math.min(last, #source) } end
    position = last + 1
  end
end

local opens <const> = { ["function"] = 1, ["do"] = 1, ["if"] = 1, ["repeat"] = 1, ["end"] = -1,
  ["until"] = -1 }

-- The replacement for `first` to `last`: spaces, with the line breaks kept.
local function blank(source, first, last) return (source:sub(first, last):gsub("[^\n]", " ")) end

-- Adds the edits that blank `local` at token `at` and the attributes after it. Returns the next
-- token.
local function release(source, list, at, edits)
  edits[#edits + 1] = { list[at][2], list[at][3], blank(source, list[at][2], list[at][3]) }
  local i = at + 1
  if list[i] and list[i][1] == "function" then return i end
  local last
  while list[i] and list[i][1] == "name" do
    last, i = list[i][3], i + 1
    if list[i] and list[i][1] == "<" and list[i + 2] and list[i + 2][1] == ">" then
      edits[#edits + 1] = { list[i][2], list[i + 2][3], blank(source, list[i][2], list[i + 2][3]) }
      last, i = list[i + 2][3], i + 3
    end
    if not (list[i] and list[i][1] == ",") then break end
    i = i + 1
  end
  -- A name alone is not a statement.
  if last and not (list[i] and list[i][1] == "=") then
    edits[#edits + 1] = { last + 1, last, " = nil" }
  end
  return i
end

-- The chunk with its outermost locals made globals.
return function(source)
  if not source:find("local", 1, true) then return source end
  local list, edits, level, i = tokens(source), {}, 0, 1
  while i <= #list do
    local kind = list[i][1]
    if kind == "local" and level == 0 then
      i = release(source, list, i, edits)
    else
      level = level + (opens[kind] or 0)
      i = i + 1
    end
  end
  local out, position = {}, 1
  for _, edit in ipairs(edits) do
    out[#out + 1] = source:sub(position, edit[1] - 1) .. edit[3]
    position = edit[2] + 1
  end
  return table.concat(out) .. source:sub(position)
end
