-- Quantisers: modules that learn the step by which values become integers.
--
--   local q = lv.quant.Scale(weight, { bits = 8 })
--   local rough = q(weight)                 -- step · round(weight / step)
--   local codes = q:codes(weight)           -- weight / step, for a rate
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local quant <const> = {}

-- Largest and smallest value, of the whole or of each row (first dimension), with a shape that
-- broadcasts over `x`.
local function extremes(x, per_channel)
  x = x:detach()
  if not per_channel or x:dim() < 2 then return x:amax():view(1), x:amin():view(1) end
  local rest, shape = {}, { x:size(1) }
  for d = 2, x:dim() do rest[#rest + 1], shape[d] = d, 1 end
  return x:amax(rest):view(table.unpack(shape)), x:amin(rest):view(table.unpack(shape))
end

-- The step that 2^bits − 1 of span the values; where all are equal, one that represents them.
local function spanning(high, low, bits)
  local step = (high - low) / (2 ^ bits - 1)
  local size = native.maximum(high:abs(), low:abs())
  local alone = native.where(size:gt(0), size, native.ones(table.unpack(size.shape)))
  return native.where(step:gt(0), step, alone)
end

local function check_bits(bits)
  if not math.tointeger(bits) or bits < 1 or bits > 24 then
    errors.raise("bits: expected an integer from 1 to 24, got %s", tostring(bits))
  end
end

-- lv.quant.Scale(x, { bits = 8, channel = false }): symmetric, code = x / step. The step starts
-- from the range of `x`: one for all of it, or one for each row.
local Scale <const> = class "Scale"

function Scale:init(x, given)
  local o = options(given, { bits = 8, channel = false })
  check_bits(o.bits)
  native.no_grad(function()
    local high, low = extremes(x, o.channel)
    self.step = parameter.from(spanning(high, low, o.bits):clone())
  end)
end

-- `noise`: values to add to the codes in place of rounding them.
function Scale:forward(x, noise) return x:quantise(self.step, { noise = noise }) end
function Scale:codes(x) return x:codes(self.step) end

-- lv.quant.ScaleOffset { bits = 8 }: asymmetric, code = (x − offset) / step, one of each. They
-- start from the range of the first values it sees.
local ScaleOffset <const> = class "ScaleOffset"

function ScaleOffset:init(given)
  local o = options(given, { bits = 8 })
  check_bits(o.bits)
  self.bits = o.bits
  -- A step of 0 says that nothing has been seen.
  self.step, self.offset = parameter.full(0, 1), parameter.full(0, 1)
end

local function start(self, x)
  if self.started then return end
  if self.step:item() == 0 then
    native.no_grad(function()
      local high, low = extremes(x, false)
      self.step:copy_(spanning(high, low, self.bits))
      self.offset:copy_(low)
    end)
  end
  self.started = true
end

function ScaleOffset:forward(x, noise)
  start(self, x)
  return x:quantise(self.step, { offset = self.offset, noise = noise })
end

function ScaleOffset:codes(x)
  start(self, x)
  return x:codes(self.step, self.offset)
end

quant.Scale, quant.ScaleOffset = Scale, ScaleOffset

-- Numbers from −½ to ½ in the shape of `x`: the noise that stands for rounding.
function quant.noise(x)
  if x:dim() == 0 then errors.raise "noise: expected a tensor of at least one dimension" end
  return native.zeros(table.unpack(x.shape)):uniform_(-0.5, 0.5)
end

return errors.refuse_unknown(quant, "lv.quant")
