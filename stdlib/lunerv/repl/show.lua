-- Prints values at the prompt.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"
local show_module <const> = require "lunerv.repl.show_module"
local show_tensor <const> = require "lunerv.repl.show_tensor"
local text <const> = require "lunerv.repl.text"

local show <const> = {}

-- The depth of tables that is shown, and the number of entries of each.
local deepest <const>, most <const> = 4, 40

local function number(value)
  if value ~= value then return "nan" end
  if value == math.huge or value == -math.huge then return value > 0 and "inf" or "-inf" end
  if math.type(value) == "integer" then return tostring(value) end
  local short = ("%.14g"):format(value)
  return short:find "[%.en]" and short or short .. ".0"
end

local function called(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return "native function" end
  return native.printable(("function at %s:%d"):format(info.short_src, info.linedefined))
end

-- An object's own text on one line; its type if that fails.
local function described(value)
  local ok, description = pcall(tostring, value)
  if not ok and bridge.interrupted() then error(description, 0) end
  return ok and native.printable(description) or type(value)
end

local function is_tensor(value) return type(value) == "userdata" and native.is_tensor(value) end

local function tensor_title(x)
  local ok, title = pcall(function()
    return ("tensor %s %s"):format(x.dtype, text.shape(x.shape))
  end)
  return ok and title or described(x)
end

-- Whether a table has its own `__tostring`.
local function has_tostring(value)
  local meta = debug.getmetatable(value)
  return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

-- One line for anything but a plain table.
local function short(value)
  local kind = type(value)
  if kind == "string" then return text.quoted(value) end
  if kind == "number" then return number(value) end
  if kind == "function" then return called(value) end
  if is_tensor(value) then return tensor_title(value) end
  if kind == "table" and show_module.is(value) then return show_module.title(value) end
  return described(value)
end

-- Numbers, strings, booleans, then the rest, so that the order is always the same.
local ranks <const> = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local x, y = ranks[type(a)] or 4, ranks[type(b)] or 4
  if x ~= y then return x < y end
  if x < 3 then return a < b end
  return tostring(a) < tostring(b)
end

local function key_text(key)
  if text.is_name(key) then return key end
  return "[" .. short(key) .. "]"
end

local format

-- The entries of a table as text: "value" for list items, "key = value" for others.
local function entries(t, indent, width, open, level)
  local list, keys = {}, {}
  local length = rawlen(t)
  for i = 1, math.min(length, most) do
    list[i] = format(rawget(t, i), indent, width, open, level)
  end
  if length > most then list[#list + 1] = ("… %d more"):format(length - most) end
  for key in next, t do
    local in_list = math.type(key) == "integer" and key >= 1 and key <= length
    if not in_list then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  for i, key in ipairs(keys) do
    if i > most then
      list[#list + 1] = ("… %d more"):format(#keys - most)
      break
    end
    list[#list + 1] = key_text(key) .. " = " .. format(rawget(t, key), indent, width, open, level)
  end
  return list
end

function format(value, indent, width, open, level)
  if type(value) ~= "table" or show_module.is(value) or has_tostring(value) then
    return short(value)
  end
  if open[value] then return "{ … itself }" end
  if next(value) == nil then return "{}" end
  if level == deepest then return "{ … }" end
  open[value] = true
  local inner = indent .. "  "
  local list = entries(value, inner, width, open, level + 1)
  open[value] = nil
  local line = "{ " .. table.concat(list, ", ") .. " }"
  if not line:find("\n", 1, true) and #indent + text.width(line) <= width - 4 then return line end
  return "{\n" .. inner .. table.concat(list, ",\n" .. inner) .. "\n" .. indent .. "}"
end

-- Grey if the terminal has colours.
local function aside(line, colour) return colour and "\27[2m" .. line .. "\27[0m" or line end

--- The text that the prompt prints for a value.
---
---@param value any
---@param given? table  width: columns (default: the terminal's); colour: whether to use colour
---@return string
function show.text(value, given)
  local width = given and given.width or text.columns()
  local colour = given and given.colour
  local lines, summary
  if is_tensor(value) then
    -- A closed object is shown by its name.
    local ok, shown, about = pcall(show_tensor, value, width)
    if not ok and bridge.interrupted() then error(shown, 0) end
    if ok then lines, summary = shown, about end
  elseif type(value) == "table" and show_module.is(value) then
    lines, summary = show_module.lines(value, width)
  end
  if not lines then return format(value, "", width, {}, 0) end
  lines[#lines + 1] = aside(summary, colour)
  return table.concat(lines, "\n")
end

return show
