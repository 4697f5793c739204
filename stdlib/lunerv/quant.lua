-- Quantisers: modules that learn the step size.
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

-- The largest and smallest value, of the whole tensor or of each row (first dimension), in a shape
-- that broadcasts over `x`.
local function extremes(x, per_channel)
  x = x:detach()
  if not per_channel or x:dim() < 2 then return x:amax():view(1), x:amin():view(1) end
  local rest, shape = {}, { x:size(1) }
  for d = 2, x:dim() do rest[#rest + 1], shape[d] = d, 1 end
  return x:amax(rest):view(table.unpack(shape)), x:amin(rest):view(table.unpack(shape))
end

-- The step of which 2^bits − 1 span the values; if all values are equal, a step that represents
-- them.
local function spanning(high, low, bits)
  local step = (high - low) / (2 ^ bits - 1)
  local size = native.maximum(high:abs(), low:abs())
  local alone = native.where(size:gt(0), size, native.ones(table.unpack(size.shape)))
  return native.where(step:gt(0), step, alone)
end

local takes_scale <const> = options.takes("quant.Scale", {
  { "bits", 8, "2^bits − 1 steps initially span the values" },
  { "channel", false, "one step per row (first dimension) instead of one for all" },
})

local takes_offset <const> = options.takes("quant.ScaleOffset", {
  { "bits", 8, "2^bits − 1 steps initially span the first values" },
})

local function check_bits(what, bits)
  if not math.tointeger(bits) or bits < 1 or bits > 24 then
    errors.raise("%s: bits: expected an integer from 1 to 24, got %s", what, errors.show(bits))
  end
end

--- A symmetric quantiser with a learned step size: the code of a value is value / step.
--- The step is initialised from the range of `x`: one for the whole tensor, or one per row. Calling
--- it returns step · round(x / step) with straight-through gradients; with `noise`, the noise is
--- added to the codes instead of rounding.
---
---     local q = lv.quant.Scale(weight, { bits = 8 })
---     local rough = q(weight)
---
---@param x lunerv.Tensor  the tensor to quantise
---@param options? lunerv.quant.Scale.Options
local Scale <const> = class "Scale"

function Scale:init(x, given)
  local o = takes_scale(given)
  if not native.is_tensor(x) then
    errors.raise("quant.Scale: expected a tensor, got %s", errors.type_of(x))
  end
  check_bits("quant.Scale", o.bits)
  native.no_grad(function()
    local high, low = extremes(x, o.channel)
    self.step = parameter.from(spanning(high, low, o.bits):clone())
  end)
end

-- `noise`: values added to the codes instead of rounding.
function Scale:forward(x, noise) return x:quantise(self.step, { noise = noise }) end

--- The codes before rounding, x / step, from which a rate is estimated.
---
---@param x lunerv.Tensor
---@return lunerv.Tensor
function Scale:codes(x) return x:codes(self.step) end

--- An asymmetric quantiser: the code of a value is (value − offset) / step, both learned. They are
--- initialised from the range of the first values that it sees.
---
---     local q = lv.quant.ScaleOffset { bits = 6 }
---     local rough = q(embedding)
---
---@param options? lunerv.quant.ScaleOffset.Options
local ScaleOffset <const> = class "ScaleOffset"

function ScaleOffset:init(given)
  local o = takes_offset(given)
  check_bits("quant.ScaleOffset", o.bits)
  self.bits = o.bits
  -- A step of 0 means that no values have been seen.
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

--- The codes before rounding, (x − offset) / step.
---
---@param x lunerv.Tensor
---@return lunerv.Tensor
function ScaleOffset:codes(x)
  start(self, x)
  return x:codes(self.step, self.offset)
end

quant.Scale, quant.ScaleOffset = Scale, ScaleOffset

--- Rounds to the nearest integers with straight-through gradients, for custom quantisers.
---
---     local rough = lv.quant.round_straight(x / step) * step
---
---@param x lunerv.Tensor
---@return lunerv.Tensor
function quant.round_straight(x) return native.round_straight(x) end

--- The total bits of codes under a normal distribution fitted to them: a scalar tensor,
--- differentiable.
---
---     local price = lv.quant.bits(codes) * lambda
---
---@param codes lunerv.Tensor
---@param noise? lunerv.Tensor  added instead of rounding (numbers from lv.quant.noise)
---@return lunerv.Tensor
function quant.bits(codes, noise)
  return native.gaussian_bits(codes, noise or quant.noise(codes))
end

--- Uniform noise from −½ to ½ in the shape of `x`, a proxy for rounding.
---
---     local loud = codes + lv.quant.noise(codes)
---
---@param x lunerv.Tensor
---@return lunerv.Tensor
function quant.noise(x)
  if not native.is_tensor(x) or x:dim() == 0 then
    errors.raise("quant.noise: expected a tensor of at least one dimension, got %s",
      native.is_tensor(x) and "a scalar" or errors.type_of(x))
  end
  return native.zeros(table.unpack(x.shape)):uniform_(-0.5, 0.5)
end

--- Soft rounding: the identity at a high temperature, a step function towards 0 (Agustsson and
--- Theis, arXiv 2006.09952). Integers and half-integers stay unchanged.
---
---     local soft = lv.quant.soft_round(codes, 0.3)
---
---@param x lunerv.Tensor
---@param temperature number  above 0
---@return lunerv.Tensor
function quant.soft_round(x, temperature)
  if type(temperature) ~= "number" or temperature <= 0 or temperature ~= temperature then
    errors.raise("quant.soft_round: temperature: expected a number above 0, got %s",
      errors.show(temperature))
  end
  local floor = native.floor(x):detach()
  -- tanh of anything much larger is 1.
  local height = math.min(0.5 / temperature, 20)
  local whole = (math.exp(height) + math.exp(-height)) / (math.exp(height) - math.exp(-height)) / 2
  return floor + 0.5 + ((x - floor - 0.5) * (1 / temperature)):tanh() * whole
end

--- The bits of each code under its own Laplace distribution, with gradients to all three arguments:
--- the cost in the coder's family "slices", up to the rounding of its parameters.
---
---     local price = lv.quant.laplace_bits(codes, means, scales):sum() * lambda
---
---@param codes lunerv.Tensor
---@param means lunerv.Tensor  the same shape
---@param scales lunerv.Tensor  the same shape, above 0: b of exp(−|x|/b)
---@return lunerv.Tensor
function quant.laplace_bits(codes, means, scales)
  local distance, inverse = (codes - means):abs(), native.reciprocal(scales)
  -- Minus the logarithm of the probability mass between the code's two edges. On one side of the
  -- mean the formula is written so that its gradient never vanishes: e^((½−d)/b) · (1 −
  -- e^(−1/b))/2.
  local aside = (distance - 0.5):clamp { min = 0 } * inverse + math.log(2)
    - (-(-inverse):expm1()):log()
  local near = distance:clamp { max = 0.5 }
  local mass = 1 - (((near - 0.5) * inverse):exp() + (-(near + 0.5) * inverse):exp()) * 0.5
  return native.where(distance:gt(0.5), aside, -mass:log()) * (1 / math.log(2))
end

return errors.refuse_unknown(quant, "lv.quant")
