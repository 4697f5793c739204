-- Rounding that learns, and what codes cost.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

test("soft rounding goes from the identity to rounding", function()
  local x = lv.linspace(-2.9, 2.9, 59)
  near((lv.quant.soft_round(x, 100) - x):abs():amax():item(), 0, 1e-3)
  local apart = lv.where((x - x:floor() - 0.5):abs():gt(0.01), x, lv.zeros_like(x))
  near((lv.quant.soft_round(apart, 1e-3) - apart:round()):abs():amax():item(), 0, 1e-5)
  for _, temperature in ipairs { 1e-9, 0.2, 3 } do
    local fixed = lv.tensor { -2, -1.5, 0, 0.5, 7 }
    near((lv.quant.soft_round(fixed, temperature) - fixed):abs():amax():item(), 0, 1e-5)
  end
  local y = lv.tensor({ 0.3, -1.2, 2.45 }, { dtype = "f64" })
  assert(lv.gradcheck(function(z) return lv.quant.soft_round(z, 0.3):sum() end, { y }))
  raises(function() lv.quant.soft_round(x, 0) end, "temperature: expected a number above 0, got 0")
end)

test("the bits of a Laplace distribution are its masses'", function()
  local codes = lv.arange(-60, 60)
  for _, scale in ipairs { 0.2, 1.7, 9 } do
    local bits = lv.quant.laplace_bits(codes, lv.full(0.3, 121), lv.full(scale, 121))
    near((bits * -math.log(2)):exp():sum():item(), 1, scale > 5 and 3e-3 or 1e-5)
  end
  -- Codes far away have a gradient too.
  local far = lv.tensor({ 50 }, { requires_grad = true })
  local bits = lv.quant.laplace_bits(far, lv.zeros(1), lv.full(0.1, 1))
  near(bits:item(), (49.5 / 0.1 + math.log(2)) / math.log(2), 1e-3)
  bits:sum():backward()
  near(far.grad:item(), 10 / math.log(2), 1e-4)
  -- What the coder takes for the same means and scales.
  local symbols = (lv.randn(400) * 3):round()
  local means, steps = lv.randn(400), lv.rand(400) * 60 + 50
  means, steps = (means * 16):round() * 16, steps:round()
  local scales = (steps * (math.log(2) / 16) - 4 * math.log(2)):exp()
  local model = { family = "slices", parameters = function()
    return means:to "i32", steps:to "i32"
  end }
  local coded = lv.coder.bits(symbols:view(1, 400):to "i32", model)
  local estimated = lv.quant.laplace_bits(symbols, means / 256, scales):sum():item()
  near(coded / estimated, 1, 5e-3)
  equal(lv.coder.bits(lv.zeros(0, 3):to "i32", model), 0)
end)
