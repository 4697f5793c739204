-- Trained tensors and the values they start from.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"

local parameter <const> = {}

-- Makes a tensor a parameter: a gradient is kept for it, and optimisers see it.
function parameter.from(tensor)
  tensor.requires_grad = true
  return tensor
end

-- U(±1/√fan_in).
function parameter.uniform(fan_in, ...)
  local bound = 1 / math.sqrt(fan_in)
  return parameter.from(native.zeros(...):uniform_(-bound, bound))
end

-- Normal (0, std), redrawn beyond ±2.
function parameter.trunc_normal(std, ...)
  return parameter.from(native.zeros(...):trunc_normal_(std))
end

-- The same value everywhere.
function parameter.full(value, ...)
  return parameter.from(native.full(value, ...))
end

-- `value` as an integer of at least `least` (a float such as 8.0 will do), or an error.
function parameter.integer(value, what, least)
  local integer = math.tointeger(value)
  if not integer or integer < (least or 1) then
    errors.raise("%s: an integer of at least %d expected, got %s", what, least or 1,
      tostring(value))
  end
  return integer
end

return parameter
