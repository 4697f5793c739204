local class <const> = require "lunerv.nn.class"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

-- nn.PositionEncoding { base = 1.25, levels = 80 }: a time, or a list of n, to (n, 2·levels):
-- the sines of v·base^k·π, then the cosines. The largest argument is near 1.4e8, where one ulp of
-- a base changes everything: the bases are a buffer, so that they travel with the parameters.
-- `float` rounds the values to 32 bits first.
local PositionEncoding <const> = class "PositionEncoding"

function PositionEncoding:init(given)
  local o = options(given, { base = 1.25, levels = 80, float = false })
  local powers = {}
  for k = 1, o.levels do powers[k] = o.base ^ (k - 1) end
  -- Rounded to 32 bits before and after the product with a 32-bit π.
  self.bases = native.tensor(powers) * native.full(math.pi, o.levels)
  self.precision = { float = o.float }
end

function PositionEncoding:forward(values)
  return native.position_encoding(values, self.bases, self.precision)
end

return PositionEncoding
