-- An axis of a plot: its range, its ticks, and where a value stands in pixels.
local errors <const> = require "lunerv.errors"

local Axis <const> = {}
Axis.__index = Axis

local axis <const> = {}

local margin <const> = 0.04 -- free at each end, as a fraction of the range
local farthest <const> = 1e5 -- pixels; anything farther away is clipped anyway

-- Whether an axis of options `o` can show `value`. The values that it cannot show are gaps: nan,
-- infinities and, on a logarithmic axis, numbers up to 0.
function axis.shows(o, value)
  return value == value and math.abs(value) < 1e300 and (not o.log or value > 0)
end

-- The range of `values` with a margin, or o.from and o.to. Its ends always differ.
local function range(o, values)
  local low, high = math.huge, -math.huge
  for _, value in ipairs(values) do
    if axis.shows(o, value) then low, high = math.min(low, value), math.max(high, value) end
  end
  if low > high then low, high = o.from or o.log and 1 or 0, o.to or 1 end
  if o.log then
    if high <= low * (1 + 1e-9) then low, high = low / 2, low * 2 end
    local room = (high / low) ^ margin
    low, high = o.from or low / room, o.to or high * room
    return low, high > low and high or low * 10
  end
  local least = math.max(math.abs(low), math.abs(high)) * 1e-9
  if high - low <= least then
    local half = low == 0 and 0.5 or math.abs(low) / 4
    low, high = low - half, high + half
  end
  local room = margin * (high - low)
  -- The range of values that are never negative starts at 0 or above.
  local start = low >= 0 and math.max(low - room, 0) or low - room
  low, high = o.from or start, o.to or high + room
  return low, high > low and high or low + 1
end

-- About `most` round numbers from `low` to `high`.
local function round_numbers(low, high, most)
  local rough = (high - low) / most
  local unit, list = 10 ^ math.floor(math.log(rough, 10)), {}
  for _, factor in ipairs { 1, 2, 5, 10 } do
    if unit * factor >= 0.8 * rough then
      unit = unit * factor
      break
    end
  end
  for k = math.ceil(low / unit - 1e-6), math.floor(high / unit + 1e-6) do
    list[#list + 1] = k * unit
  end
  return list
end

-- Powers of ten. Where there are few, also 2 and 5 times a power; where there is none, round
-- numbers.
local function round_powers(low, high, most)
  local first, last = math.log(low, 10), math.log(high, 10)
  local step = math.max(1, math.ceil((last - first) / most))
  for _, factors in ipairs { { 1 }, { 1, 2, 5 } } do
    local list = {}
    for power = first // step * step, last, step do
      for _, factor in ipairs(factors) do
        local value = factor * 10 ^ power
        if value >= low and value <= high then list[#list + 1] = value end
      end
    end
    if #list >= 3 or step > 1 then return list end
  end
  return round_numbers(low, high, most)
end

-- Raises an error if the options of the axis called `name` give an invalid range.
function axis.check(o, name)
  for _, key in ipairs { "from", "to" } do
    if o[key] and not axis.shows(o, o[key]) then
      errors.raise("plot: %s.%s: expected a number%s, got %s", name, key,
        o.log and " above 0 on a logarithmic axis" or "", tostring(o[key]))
    end
  end
  if o.from and o.to and o.from >= o.to then
    errors.raise("plot: %s.to: expected a number above %g, got %g", name, o.from, o.to)
  end
end

-- The axis of options `o` over `values`, with `most` ticks or o.ticks.
function axis.new(o, values, most)
  local low, high = range(o, values)
  local self = setmetatable({ low = low, high = high, log = o.log, ticks = {} }, Axis)
  local ticks = o.ticks or (o.log and round_powers or round_numbers)(low, high, most)
  for _, value in ipairs(ticks) do
    if self:holds(value) then self.ticks[#self.ticks + 1] = value end
  end
  -- Enough digits to distinguish two ticks in a narrow range far from 0.
  local digits = 6
  if not o.log and not o.ticks then
    local largest = math.max(math.abs(low), math.abs(high))
    digits = math.ceil(math.log(largest * most / (high - low), 10)) + 2
  end
  self.format = ("%%.%dg"):format(math.max(6, math.min(digits, 15)))
  return self
end

-- Maps the range to pixels `first` to `last`.
function Axis:place(first, last) self.first, self.last = first, last end

-- Whether a value lies in the range.
function Axis:holds(value)
  local slack = self.log and 0 or 1e-6 * (self.high - self.low)
  return axis.shows(self, value) and value >= self.low - slack and value <= self.high + slack
end

-- The position of a value, in pixels.
function Axis:at(value)
  local share
  if self.log then
    share = math.log(value / self.low) / math.log(self.high / self.low)
  else
    share = (value - self.low) / (self.high - self.low)
  end
  local place = self.first + share * (self.last - self.first)
  return math.max(-farthest, math.min(farthest, place))
end

-- A tick's number as text.
function Axis:text(value) return self.format:format(value) end

return axis
