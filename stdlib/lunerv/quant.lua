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

local takes_scale <const> = options.takes("quant.Scale", {
  { "bits", 8, "2^bits − 1 steps span the values at first" },
  { "channel", false, "a step for each row (first dimension) rather than one for all" },
})

local takes_offset <const> = options.takes("quant.ScaleOffset", {
  { "bits", 8, "2^bits − 1 steps span the first values" },
})

local function check_bits(what, bits)
  if not math.tointeger(bits) or bits < 1 or bits > 24 then
    errors.raise("%s: bits: expected an integer from 1 to 24, got %s", what, errors.show(bits))
  end
end

--- A symmetric quantiser with a learned step: a value is told as value / step.
--- The step starts from the range of `x`: one for all of it, or one for each row. Called, it gives
--- step · round(x / step), with gradients straight through; with `noise` the values are added to
--- the codes in place of rounding them.
---
---     local q = lv.quant.Scale(weight, { bits = 8 })
---     local rough = q(weight)
---
---@param x lunerv.Tensor  what is to be quantised
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

-- `noise`: values to add to the codes in place of rounding them.
function Scale:forward(x, noise) return x:quantise(self.step, { noise = noise }) end
--- Values in steps, not rounded: what a rate is estimated from.
---
---@param x lunerv.Tensor
---@return lunerv.Tensor
function Scale:codes(x) return x:codes(self.step) end

--- An asymmetric quantiser: a value is told as (value − offset) / step, one of each, both learned.
--- They start from the range of the first values that it sees.
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

--- Values in steps from the offset, not rounded.
---
---@param x lunerv.Tensor
---@return lunerv.Tensor
function ScaleOffset:codes(x)
  start(self, x)
  return x:codes(self.step, self.offset)
end

quant.Scale, quant.ScaleOffset = Scale, ScaleOffset

--- The nearest integers, through which gradients pass unchanged: what a quantiser of one's own
--- rounds with.
---
---     local rough = lv.quant.round_straight(x / step) * step
---
---@param x lunerv.Tensor
---@return lunerv.Tensor
function quant.round_straight(x) return native.round_straight(x) end

--- The bits that codes take under the normal distribution that they have themselves, a tensor of
--- one number, with gradients.
---
---     local price = lv.quant.bits(codes) * lambda
---
---@param codes lunerv.Tensor
---@param noise? lunerv.Tensor  added in place of rounding (numbers from lv.quant.noise)
---@return lunerv.Tensor
function quant.bits(codes, noise)
  return native.gaussian_bits(codes, noise or quant.noise(codes))
end

--- Numbers from −½ to ½ in the shape of `x`: the noise that stands for rounding.
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

--- A smooth curve through rounding: at a high temperature the identity, towards 0 a step (Agustsson
--- and Theis, arXiv 2006.09952). Integers stay, and halves.
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
  -- tanh of much more than this is 1.
  local height = math.min(0.5 / temperature, 20)
  local whole = (math.exp(height) + math.exp(-height)) / (math.exp(height) - math.exp(-height)) / 2
  return floor + 0.5 + ((x - floor - 0.5) * (1 / temperature)):tanh() * whole
end

--- The bits that each code takes under a Laplace distribution of its own, with gradients to all
--- three: what the coder's family "slices" takes, up to the rounding of its parameters.
---
---     local price = lv.quant.laplace_bits(codes, means, scales):sum() * lambda
---
---@param codes lunerv.Tensor
---@param means lunerv.Tensor  the same shape
---@param scales lunerv.Tensor  the same shape, above 0: b of exp(−|x|/b)
---@return lunerv.Tensor
function quant.laplace_bits(codes, means, scales)
  local distance, inverse = (codes - means):abs(), native.reciprocal(scales)
  -- Minus the logarithm of the mass between the code's two edges. On one side of the mean it is
  -- written so that it never runs out of gradient: e^((½−d)/b) · (1 − e^(−1/b))/2.
  local aside = (distance - 0.5):clamp { min = 0 } * inverse + math.log(2)
    - (-(-inverse):expm1()):log()
  local near = distance:clamp { max = 0.5 }
  local mass = 1 - (((near - 0.5) * inverse):exp() + (-(near + 0.5) * inverse):exp()) * 0.5
  return native.where(distance:gt(0.5), aside, -mass:log()) * (1 / math.log(2))
end

return errors.refuse_unknown(quant, "lv.quant")
