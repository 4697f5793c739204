local harness <const> = require "harness"
local lv <const> = require "lunerv"
local nn <const> = lv.nn

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

test("blocks make the shapes they say", function()
  local x, z = lv.randn(1, 8, 6, 10), lv.randn(1, 4)
  equal(nn.NeRVBlock(8, 5, { scale = 2 })(x).shape, { 1, 5, 12, 20 })
  equal(nn.NeRVBlock(8, 5, { scale = 1, kernel = 1 })(x).shape, { 1, 5, 6, 10 })
  equal(nn.SNeRVBlock(8, 5, { scale = 3, cond = 4 })(x, z).shape, { 1, 5, 18, 30 })
  equal(nn.TATResidual(8, 4, { normalise = true })(x, z).shape, { 1, 8, 6, 10 })
  equal(nn.MLP({ 4, 7, 3 }, { act = "sin" })(z).shape, { 1, 3 })
  equal(nn.Sequential({ nn.Linear(4, 3), "gelu" })(z).shape, { 1, 3 })
  equal(nn.ConvNeXt({ strides = { 2, 2 }, width = 6, out = 4 })(lv.randn(1, 3, 8, 12)).shape,
    { 1, 4, 2, 3 })
  equal(nn.PositionEncoding({ levels = 5 })(0.5).shape, { 1, 10 })
end)

test("the positional encoding begins with the sine of t·π", function()
  local row = nn.PositionEncoding({ base = 1.25, levels = 3 })(0.25):tolist()[1]
  near(row[1], math.sin(0.25 * math.pi), 1e-6)
  near(row[2], math.sin(0.25 * math.pi * 1.25), 1e-6)
  near(row[6], math.cos(0.25 * math.pi * 1.25 ^ 2), 1e-6)
end)

test("TAT with a zero condition path leaves its input", function()
  local tat = nn.TAT(3, 2)
  for _, parameter in ipairs(tat:parameters()) do
    lv.no_grad(function() parameter:zero_() end)
  end
  local x = lv.randn(1, 3, 2, 2)
  equal(tat(x, lv.randn(1, 2)):tolist(), x:tolist())
end)

test("a convolution starts within ±1/√fan_in", function()
  local conv = nn.Conv2d(4, 16, { kernel = 3 })
  local bound = 1 / math.sqrt(4 * 9)
  local largest = conv.weight:abs():amax():item()
  assert(largest <= bound and largest > 0.8 * bound, largest)
end)

test("wrong arguments are refused", function()
  raises(function() nn.Conv2d(3, 8, {}) end, "kernel")
  raises(function() nn.Conv2d(3, 8, { kernel = 3, pading = 1 }) end, "'pading'")
  raises(function() nn.Conv2d(3, 8, { kernel = 3, groups = 2 }) end, "groups")
  raises(function() nn.Linear(0, 8) end, "input features")
  raises(function() nn.activation "sine" end, "'sine'", "sin")
  raises(function() nn.out_image(lv.zeros(1), "clip") end, "'tanh'")
end)
