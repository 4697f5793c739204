-- Layers and blocks: values, gradients, errors.
local gradients <const> = require "gradients"
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

test("a static map is the same for all inputs, and learns", function()
  local up = nn.NeRVBlock(4, 5, { scale = 2 })
  local block = nn.StaticMap(up, 5, { dim = 3, height = 6, width = 8 })
  local x = lv.randn(2, 4, 3, 4)
  local added = block(x) - block.up(x)
  equal(added.shape, { 2, 5, 6, 8 })
  assert((added - block.mix(block.static)):abs():amax():item() < 1e-5)
  block(x):square():sum():backward()
  assert(block.static.grad:abs():amin():item() > 0)
  local boosted = nn.Boosted(block, 5, { cond = 4 })
  equal(boosted(x, lv.randn(1, 4)).shape, { 2, 5, 6, 8 })
  raises(function() nn.StaticMap(block, 5, { dim = 0, height = 6, width = 8 }) end,
    "nn.StaticMap: dim: expected an integer of at least 1, got 0")
  raises(function() nn.StaticMap(block, 5, { width = 8 }) end, "nn.StaticMap: height")
  raises(function() nn.StaticMap(3, 5, { height = 6, width = 8 }) end,
    "nn.StaticMap: expected a module that makes a map, got number")
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

test("a first block of two convolutions puts the narrower side in the middle", function()
  local x = lv.randn(1, 8, 6, 10)
  local wider, narrower = nn.TwoConvBlock(8, 24, { scale = 3 }), nn.TwoConvBlock(8, 5)
  equal(wider(x).shape, { 1, 24, 18, 30 })
  equal({ wider.first_up.conv.weight.shape, wider.second.weight.shape },
    { { 2 * 9, 8, 3, 3 }, { 24, 2, 3, 3 } })
  equal(narrower(x).shape, { 1, 5, 12, 20 })
  equal({ narrower.first.weight.shape, narrower.second_up.conv.weight.shape },
    { { 5, 8, 3, 3 }, { 5 * 4, 5, 3, 3 } })
  raises(function() nn.TwoConvBlock(3, 9) end, "at least 4")
end)

test("attention without differences between keys is the mean of the values", function()
  local attention = nn.Attention(3, { heads = 1, head_width = 3 })
  equal(attention.out, nil)
  lv.no_grad(function()
    attention.qkv.weight:zero_()
    attention.qkv.weight:copy_(lv.cat({ lv.zeros(6, 3), lv.tensor {
      { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 },
    } }, 1))
  end)
  local y = attention(lv.tensor { { { 1, 2, 3 }, { 3, 4, 8 } } }):tolist()[1]
  for _, token in ipairs(y) do
    for i, mean in ipairs { 2, 3, 5.5 } do near(token[i], mean, 1e-6) end
  end
end)

test("heads look at places of their own", function()
  -- Two heads of one number each: the first weighs by x₁, the second by −x₁; both return x₂.
  local attention = nn.Attention(2, { heads = 2, head_width = 1 })
  lv.no_grad(function()
    attention.qkv.weight:copy_(lv.tensor {
      { 1, 0 }, { -1, 0 }, { 1, 0 }, { 1, 0 }, { 0, 1 }, { 0, 1 },
    })
    attention.out.weight:copy_(lv.tensor { { 1, 0 }, { 0, 1 } })
    attention.out.bias:zero_()
  end)
  local y = attention(lv.tensor { { { 10, 1 }, { -10, 7 } } }):tolist()[1]
  -- The first token's query is 10: its first head sees the token with the largest x₁.
  near(y[1][1], 1, 1e-5)
  near(y[1][2], 7, 1e-5)
  near(y[2][1], 7, 1e-5)
  near(y[2][2], 1, 1e-5)
end)

test("gradients of blocks agree with finite differences", function()
  lv.seed(5)
  local z = lv.randn(1, 4)
  gradients.check(nn.TwoConvBlock(4, 6, { act = "gelu" }), { lv.randn(1, 4, 3, 4) })
  gradients.check(nn.TwoConvBlock(5, 3, { act = "sin" }), { lv.randn(1, 5, 3, 4) })
  gradients.check(nn.Transformer(6, { heads = 2, head_width = 3 }), { lv.randn(2, 5, 6) })
  gradients.check(nn.Transformer(4, { heads = 1, head_width = 4 }), { lv.randn(1, 5, 4) })
  gradients.check(nn.NormAffine(3, 4), { lv.randn(1, 3, 4, 5), z })
  gradients.check(nn.TAT(3, 4), { lv.randn(1, 3, 4, 5), z })
  gradients.check(nn.TAT(3, 4, { normalise = true }), { lv.randn(1, 3, 4, 5), z })
  gradients.check(nn.SNeRVBlock(4, 3, { cond = 4 }), { lv.randn(1, 4, 3, 4), z })
  gradients.check(nn.MLP({ 4, 5, 3 }, { act = "silu" }), { z })
end)

test("wrong arguments are refused", function()
  raises(function() nn.Conv2d(3, 8, {}) end, "kernel")
  raises(function() nn.Conv2d(3, 8, { kernel = 3, pading = 1 }) end, "'pading'")
  raises(function() nn.Conv2d(3, 8, { kernel = 3, groups = 2 }) end, "groups")
  raises(function() nn.Linear(0, 8) end, "input features")
  raises(function() nn.activation "sine" end, "'sine'", "sin")
  raises(function() nn.out_image(lv.zeros(1), "clip") end, "'tanh'")
end)
