-- Candidates for Tab: names in a table, methods and properties of a value, options of a function,
-- files within quotes. Nothing is called except the metamethods that indexing calls.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"
local text <const> = require "lunerv.repl.text"

local completion <const> = {}

-- Indexing that may fail: on a table that rejects unknown names, or on a closed object.
local function field(value, key)
  local ok, found = pcall(function() return value[key] end)
  if ok then return found end
end

-- Modules of the library that are loaded on first use, and names that a table provides itself.
local function offered(value)
  local meta = debug.getmetatable(value)
  local list = type(meta) == "table" and rawget(meta, "__names")
  if type(list) == "function" then list = list(value) end
  return type(list) == "table" and list or {}
end

-- Every name that may follow `value.`: name → true where it can be called. They are the fields of
-- the value, those of its `__index` tables, and members of native classes.
local function names_of(value)
  local found, seen = {}, {}
  local function add(t)
    if type(t) ~= "table" or seen[t] then return end
    seen[t] = true
    for key, item in next, t do
      if text.is_name(key) and found[key] == nil then
        local meta = type(item) == "table" and debug.getmetatable(item)
        found[key] = type(item) == "function" or type(meta) == "table" and meta.__call ~= nil
      end
    end
    for _, name in ipairs(offered(t)) do
      if text.is_name(name) and found[name] == nil then found[name] = false end
    end
    local meta = debug.getmetatable(t)
    if type(meta) == "table" then add(rawget(meta, "__index")) end
  end
  if type(value) == "table" then
    add(value)
  elseif type(value) == "string" then
    add(string)
  elseif type(value) == "userdata" then
    local methods, properties = bridge.class_members(value)
    for name in pairs(methods or {}) do found[name] = true end
    for name in pairs(properties or {}) do found[name] = false end
  end
  return found
end

completion.names_of = names_of

-- Reading what was typed -----------------------------------------------------------------------

-- Whether the text ends inside a string, and where that string begins (after its quote).
local function open_string(typed)
  local position, start = 1, nil
  while position <= #typed do
    local c = typed:sub(position, position)
    if start then
      if c == "\\" then position = position + 1
      elseif c == typed:sub(start - 1, start - 1) then start = nil end
    elseif c == '"' or c == "'" then
      start = position + 1
    elseif typed:find("^%-%-", position) then
      position = typed:find("\n", position, true) or #typed
    elseif c == "\n" then
      start = nil
    end
    position = position + 1
  end
  return start
end

-- The steps of the path at the end of a text, such as a.b[2]["c"].d, from its first name on; nil if
-- there is none.
local function path_before(typed)
  local steps, rest = {}, typed
  while true do
    local before, key = rest:match "^(.*)[.:]%s*([%a_][%w_]*)$"
    local outer, index = rest:match "^(.*)%[%s*(%-?%d+)%s*%]$"
    local holder, _, word = rest:match "^(.*)%[%s*(['\"])([^'\"]*)%2%s*%]$"
    if before and not before:find "%.$" then
      table.insert(steps, 1, key)
      rest = before
    elseif outer then
      table.insert(steps, 1, math.tointeger(index))
      rest = outer
    elseif holder then
      table.insert(steps, 1, word)
      rest = holder
    else
      local name = rest:match "([%a_][%w_]*)$"
      if not name or text.keywords[name] then return nil end
      table.insert(steps, 1, name)
      return steps
    end
  end
end

-- The value of a path, looked up from the globals.
local function value_of(typed)
  if typed:find "[\"']%)?%s*$" then return "" end -- a string's methods
  local steps = path_before(typed)
  if not steps then return nil end
  local value = _G
  for _, key in ipairs(steps) do
    value = field(value, key)
    if value == nil then return nil end
  end
  return value
end

-- The function whose options table is still open at the end of the text: `f(a, { ` or `f { `.
local function open_call(typed)
  local depth, position = 0, #typed
  -- Back to the brace that is still open.
  while position > 0 do
    local c = typed:sub(position, position)
    if c == "}" or c == ")" or c == "]" then depth = depth + 1
    elseif c == "{" or c == "(" or c == "[" then
      if depth == 0 then break end
      depth = depth - 1
    end
    position = position - 1
  end
  if typed:sub(position, position) ~= "{" then return nil end
  local before = typed:sub(1, position - 1):gsub("%s+$", "")
  if not before:find "[,(]$" then return before end
  depth, position = 0, #before
  while position > 0 do
    local c = before:sub(position, position)
    if c == "}" or c == ")" or c == "]" then depth = depth + 1
    elseif c == "{" or c == "[" then
      if depth == 0 then return nil end
      depth = depth - 1
    elseif c == "(" then
      if depth == 0 then return (before:sub(1, position - 1):gsub("%s+$", "")) end
      depth = depth - 1
    end
    position = position - 1
  end
end

-- The sources of candidates --------------------------------------------------------------------

local function options_of(typed)
  local called = open_call(typed)
  if not called then return {} end
  local path = called:gsub(":", ".")
  local value = value_of(path)
  if value == nil then return {} end
  local ok, help = pcall(require, "lunerv.help")
  if not ok or type(help) ~= "table" or not help.options_of then return {} end
  local found, list = pcall(help.options_of, value)
  return found and type(list) == "table" and list or {}
end

local function files(typed)
  local folder, part = typed:match "^(.*/)([^/]*)$"
  if not folder then folder, part = "", typed end
  local ok, list = pcall(native.list_dir, folder == "" and "." or folder)
  local found = {}
  for _, name in ipairs(ok and list or {}) do
    local hidden = name:sub(1, 1) == "." and part:sub(1, 1) ~= "."
    if name:sub(1, #part) == part and not hidden and not name:find "[%c\"'\\]" then
      local is_folder = native.exists(folder .. name .. "/.")
      found[#found + 1] = name .. (is_folder and "/" or "")
    end
  end
  return found, part
end

local function matching(names, part, only_called)
  local found = {}
  for name, called in pairs(names) do
    local private = name:sub(1, 1) == "_" and part:sub(1, 1) ~= "_"
    if name:sub(1, #part) == part and not private and (called or not only_called) then
      found[#found + 1] = name
    end
  end
  return found
end

--- The names that may come at the end of a text, sorted, and the part that is already typed.
---
---@param typed string  the chunk up to the cursor
---@return string[]
---@return string
function completion.candidates(typed)
  local start = open_string(typed)
  local found, part
  if start then
    found, part = files(typed:sub(start))
  else
    part = typed:match "[%a_][%w_]*$" or ""
    local before = typed:sub(1, #typed - #part)
    local holder, sign = before:match "^(.-)%s*([.:])%s*$"
    if holder and not (sign == "." and holder:find "%.$") then
      local value = value_of(holder)
      found = value ~= nil and matching(names_of(value), part, sign == ":") or {}
    else
      found = {}
      for _, name in ipairs(options_of(before)) do
        if name:sub(1, #part) == part then found[#found + 1] = name .. " = " end
      end
      if #found == 0 and part ~= "" then
        local all = names_of(_G)
        for word in pairs(text.keywords) do all[word] = false end
        found = matching(all, part)
      end
    end
  end
  table.sort(found)
  return found, part
end

local function common_start(list)
  local first, last = list[1], list[#list]
  local i = 1
  while i <= #first and first:byte(i) == last:byte(i) do i = i + 1 end
  -- Never inside a character.
  while i > 1 and (first:byte(i) or 0) & 0xC0 == 0x80 do i = i - 1 end
  return first:sub(1, i - 1)
end

-- Names in as many columns as fit, filled downwards.
local function in_columns(list, width)
  local widest = 0
  for _, name in ipairs(list) do widest = math.max(widest, text.width(name)) end
  local columns = math.max((width + 1) // (widest + 2), 1)
  local rows = (#list + columns - 1) // columns
  local lines = {}
  for row = 1, rows do
    local line = {}
    for column = 0, columns - 1 do
      local name = list[row + column * rows]
      if name then line[#line + 1] = name .. (" "):rep(widest + 2 - text.width(name)) end
    end
    lines[row] = table.concat(line):gsub("%s+$", "")
  end
  return table.concat(lines, "\n") .. "\n"
end

-- At most this many are listed.
local most <const> = 200

--- The text that Tab adds, and the list of candidates if there are several.
---
---@param typed string
---@param width integer
---@return string
---@return string
function completion.answer(typed, width)
  local list, part = completion.candidates(typed)
  if #list == 0 then return "", "" end
  local start = common_start(list)
  if #start > #part then return start:sub(#part + 1), "" end
  if #list == 1 then return "", "" end
  if #list > most then return "", ("%d names\n"):format(#list) end
  local shown = {}
  for i, name in ipairs(list) do shown[i] = native.printable((name:gsub(" = $", ""))) end
  return "", in_columns(shown, width)
end

return completion
