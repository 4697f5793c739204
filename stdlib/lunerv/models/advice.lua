-- Advice in the error for a parameter budget that is too small: which options to lower.
local digits <const> = require "lunerv.digits"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local advice <const> = {}

-- Options that cost parameters, and the smallest value of each.
local costs <const> = {
  { "lower_width", 1 }, { "enc_dim", 1 }, { "stem_dim", 8 }, { "block_dim", 8 }, { "ch_t", 2 },
}

local function show(value) return type(value) == "table" and table.concat(value, ",") or value end

-- `o` with the costly option set to `number`: in an option with two numbers, the second, the
-- embedding's channels.
local function lowered(o, name, number)
  local changed = options.copy(o)
  changed[name] = type(o[name]) == "table" and { o[name][1], number } or number
  return changed
end

-- The fewest parameters of a model like this one with options `o`.
local function least_of(model, o)
  local shape = setmetatable({ config = o }, { __index = model })
  return shape:count(o, model.least_width) + shape:embedding_parameters()
end

-- The number of an option: channels, or a width.
local function number_of(value) return type(value) == "table" and value[2] or value end

-- The largest value of option `name`, below its current one, with which the model fits; or nil.
local function fitting(model, o, name, least, limit)
  if least_of(model, lowered(o, name, least)) > limit then return nil end
  local low, high = least, number_of(o[name]) -- low fits, high does not
  while high - low > 1 do
    local middle = (low + high) // 2
    if least_of(model, lowered(o, name, middle)) > limit then high = middle else low = middle end
  end
  return low
end

-- The options of `costs` that can be lowered, the largest savings first: { name, least, the
-- parameters that remain }.
local function savings(model, o)
  local list = {}
  for _, cost in ipairs(costs) do
    local name, least = cost[1], cost[2]
    local own = number_of(o[name])
    if own and own > least then
      list[#list + 1] = { name, least, least_of(model, lowered(o, name, least)) }
    end
  end
  table.sort(list, function(a, b) return a[3] < b[3] end)
  return list
end

-- The options to lower: any of several alone, or as many as needed.
local function suggestions(model, o, limit)
  local list = savings(model, o)
  local alone, together, lowest = {}, {}, o
  for _, saving in ipairs(list) do
    local name = saving[1]
    local value = fitting(model, o, name, saving[2], limit)
    if value then
      alone[#alone + 1] = ("%s to %s"):format(name, show(lowered(o, name, value)[name]))
    end
  end
  if #alone > 0 then return ", or lower " .. table.concat(alone, " or ") end
  for i, saving in ipairs(list) do
    local name = saving[1]
    local value = fitting(model, lowest, name, saving[2], limit)
    lowest = lowered(lowest, name, value or saving[2])
    together[i] = ("%s to %s"):format(name, show(lowest[name]))
    if value then return ", or lower " .. table.concat(together, " and ") end
  end
  if #list == 0 then return "" end
  local all = table.concat(together, " and "):gsub(" to ", " ")
  return (" (with %s it needs %s)"):format(all, digits(least_of(model, lowest)))
end

-- Raises the error: `limit` parameters are too few for `model`, which needs at least `least`.
function advice.refuse(model, limit, least)
  local o = model.config
  local embedding = o.enc_dim and (" and enc_dim %s"):format(show(o.enc_dim)) or ""
  local message = ("models.%s: params: expected at least %s for strides %s%s, got %s: raise "
    .. "params%s"):format(o.kind, digits(least), show(o.strides), embedding, digits(limit // 1),
      suggestions(model, o, limit))
  error(errors.new("data", message, { least_params = least }))
end

return advice
