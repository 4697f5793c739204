-- The types of options: the values they take, and how those are parsed and shown.
local errors <const> = require "lunerv.errors"

local values <const> = {}

-- Whether `value` is in `list`; false if `list` is nil.
function values.contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == value then return true end
  end
  return false
end

local contains <const> = values.contains

-- The limit that a number violates: " of at least 1", " of at most 9"; nil if none.
local function violated(value, option, least)
  if value ~= value then return "" end
  if value == math.huge or value == -math.huge then return " that is finite" end
  if least and value < least then return " of at least " .. least end
  if option.most and value > option.most then return " of at most " .. option.most end
  if option.above and value <= option.above then return " above " .. option.above end
  if option.below and value >= option.below then return " below " .. option.below end
end

local function is_whole(value)
  return math.type(value) == "integer" or type(value) == "number" and value % 1 == 0
end

-- What is wrong with a value, or nil.
local checks <const> = {
  string = function(value) return type(value) ~= "string" and "a string" end,
  integer = function(value, option)
    local least = option.least or 1
    if not is_whole(value) then return "an integer of at least " .. least end
    if option.choices and not contains(option.choices, value) then
      return "one of " .. errors.list(option.choices)
    end
    local range = violated(value, option, least)
    return range and "an integer" .. range
  end,
  number = function(value, option)
    local range = type(value) ~= "number" and "" or violated(value, option, option.least)
    return range and "a number" .. range
  end,
  count = function(value, option)
    local range = type(value) ~= "number" and "" or violated(value, option, option.least)
    return range and "a number" .. range
  end,
  bytes = function(value, option)
    local least = option.least or 0
    return (type(value) ~= "number" or value ~= value or value < least)
      and (least > 0 and ("a number of bytes, at least %d"):format(least) or "a number of bytes")
  end,
  boolean = function(value) return type(value) ~= "boolean" and "true or false" end,
  text_or_number = function(value, option)
    if type(value) == "number" and value == value or contains(option.choices, value) then
      return nil
    end
    return "a number or one of " .. errors.list(option.choices)
  end,
  choice = function(value, option)
    return not contains(option.choices, value) and "one of " .. errors.list(option.choices)
  end,
  list = function(value, option)
    local items = "a list of " .. (option.whole and "integers" or "numbers")
    if type(value) ~= "table" or #value == 0 then return items end
    for _, item in ipairs(value) do
      if type(item) ~= "number" or option.whole and not is_whole(item) then return items end
      local range = violated(item, option, option.least or option.whole and 1)
      if range then return items .. range end
    end
    if option.counts and not contains(option.counts, #value) then
      return "a list of " .. table.concat(option.counts, " or ") .. " numbers"
    end
    if option.ascending and value[2] and value[2] < value[1] then return "an ascending list" end
  end,
}

values.types = { "boolean", "bytes", "choice", "count", "integer", "list", "number", "string",
  "text_or_number" }

-- Whether `name` is a type of options.
function values.is_type(name) return values.contains(values.types, name) end

-- The values that `option` expects instead of `value`; nil if `value` is valid.
function values.wanted(option, value) return checks[option.type](value, option) or nil end

-- A value in the form of the command line.
function values.show(value)
  if type(value) == "table" and type(value[1]) == "number" then return table.concat(value, ",") end
  return tostring(value)
end

-- A Lua value for a message.
function values.quoted(value)
  if type(value) == "table" and type(value[1]) == "number" then
    return ("{ %s }"):format(table.concat(value, ", "))
  end
  return errors.show(value)
end

local readers <const> = {
  string = function(text) return text end,
  choice = function(text) return text end,
  integer = function(text) return math.tointeger(tonumber(text)) end,
  number = function(text) return tonumber(text) end,
  text_or_number = function(text) return tonumber(text) or text end,
  boolean = function(text)
    local known = { ["true"] = true, yes = true, ["1"] = true }
    known["false"], known.no, known["0"] = false, false, false
    return known[text]
  end,
  bytes = function(text)
    local number, unit = text:match "^([%d.]+)([KMGkmg]?)$"
    local scale = { [""] = 0, k = 10, m = 20, g = 30 }
    local value = tonumber(number)
    return value and math.tointeger(value * 2 ^ scale[unit:lower()] // 1)
  end,
  count = function(text)
    local number, unit = text:match "^(.-)([kMKm]?)$"
    local scale = { [""] = 1, k = 1e3, m = 1e6 }
    local value = tonumber(number)
    return value and (math.tointeger(value * scale[unit:lower()]) or value * scale[unit:lower()])
  end,
  list = function(text)
    local list = {}
    for item in (text .. ","):gsub("_", ","):gmatch "([^,]*)," do
      local number = tonumber(item)
      if not number then return nil end
      list[#list + 1] = math.tointeger(number) or number
    end
    return list
  end,
}

local expectations <const> = {
  string = "text", integer = "an integer", number = "a number", boolean = "true or false",
  bytes = "a number of bytes such as 512M", list = "numbers such as 64,8",
  count = "a number such as 400k or 1.5M",
}

-- Parses `text`: the value, or nil and what was expected.
function values.read(option, text)
  local value = readers[option.type](text)
  local expected = value == nil and expectations[option.type] or values.wanted(option, value)
  if expected then return nil, expected end
  return value
end

local placeholders <const> = {
  string = "TEXT", integer = "N", number = "X", bytes = "BYTES", list = "N,N",
  count = "N", text_or_number = "NAME|X",
}

-- The placeholder for the value in a help text.
function values.placeholder(option)
  if option.placeholder then return option.placeholder end
  local is_choice = option.choices and option.type ~= "text_or_number"
  return is_choice and table.concat(option.choices, "|") or placeholders[option.type]
end

-- The text of an option followed by its choices, unless it names all of them.
function values.with_choices(text, choices)
  for _, choice in ipairs(choices) do
    local pattern = tostring(choice):gsub("%p", "%%%0")
    if not text:find("%f[%w_]" .. pattern .. "%f[^%w_]") then
      return text .. ": " .. table.concat(choices, ", ")
    end
  end
  return text
end

return values
