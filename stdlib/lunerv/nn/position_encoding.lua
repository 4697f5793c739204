-- Times as sines and cosines. The largest argument is near 1.4e8, where one ulp of a base changes
-- everything. So the bases are a buffer, which checkpoints store; a file stores them only if they
-- differ from the computed ones (codec/buffers.lua).
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local function float32(x) return (string.unpack("<f", string.pack("<f", x))) end

local takes <const> = options.takes("nn.PositionEncoding", {
  { "base", 1.25, "ratio of the frequencies of successive levels" },
  { "levels", 80, "pairs of a sine and a cosine" },
  { "float", false, "whether values are rounded to 32 bits first, as NeRV's program does" },
})

--- A time, or a list of n, as (n, 2·levels): the sines of v·base^k·π, then the cosines.
---
---     local encode = nn.PositionEncoding { base = 1.25, levels = 40 }
---     print(encode(0.5).shape)               -- 1, 80
---
---@param options? lunerv.nn.PositionEncoding.Options
local PositionEncoding <const> = class "PositionEncoding"

function PositionEncoding:init(given)
  local o = takes(given)
  local bases, power = {}, 1.0
  local levels = parameter.integer(o.levels, "nn.PositionEncoding: levels")
  if not (o.base > 0 and o.base ^ levels < 2 ^ 127) then
    errors.raise("nn.PositionEncoding: base: expected a number above 0 with base^%d below "
      .. "2^127, got %s", levels, o.base)
  end
  for k = 1, levels do
    -- A product of two 32-bit numbers is exact in 64 bits; the tensor rounds it to 32. Powers are
    -- computed by multiplication, which gives the same result on every machine, so a file need not
    -- store its bases.
    bases[k] = float32(power) * float32(math.pi)
    power = power * o.base
  end
  self.bases = native.tensor(bases)
  self.precision = { float = o.float }
end

function PositionEncoding:forward(values)
  local encoded = native.position_encoding(values, self.bases, self.precision)
  -- After Module:to "f64" the later layers are 64-bit.
  return encoded.dtype == self.bases.dtype and encoded or encoded:to(self.bases.dtype)
end

return PositionEncoding
