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

test("a static map that is larger shows each frame a window of it", function()
  local up = nn.NeRVBlock(4, 5, { scale = 1 })
  local block = nn.StaticMap(up, 5, { dim = 2, height = 4, width = 6, knots = 3,
    reach = { 2, 3 }, path = { { 0, 0 }, { 2, 1 }, { 1, 3 } } })
  equal(block.static.shape, { 1, 2, 6, 9 })
  local x = lv.randn(1, 4, 4, 6)
  local function expected(row, column)
    return block.mix(block.static:slice(3, row + 1, row + 4):slice(4, column + 1, column + 6))
  end
  local function added(times) return block(x, times) - block.up(x) end
  local function largest(difference) return difference:abs():amax():item() end
  assert(largest(added(0) - expected(0, 0)) < 1e-5)
  assert(largest(added(0.5) - expected(2, 1)) < 1e-5)
  assert(largest(added(1) - expected(1, 3)) < 1e-5)
  -- Several times at once, in every form.
  local both = lv.cat({ added(0.2), added(0.9) }, 1)
  assert(largest(added { 0.2, 0.9 } - both) < 1e-5)
  assert(largest(added(lv.tensor { 0.2, 0.9 }) - both) < 1e-5)

  -- Between cells, detail is kept.
  local wide = nn.StaticMap(function(map) return map end, 1, { dim = 1, height = 20, width = 30,
    knots = 2, reach = { 4, 6 }, path = { { 0, 0 }, { 4, 6 } } })
  local function wave(row, column, height, width)
    local rows, columns = lv.arange(0, height - 1) + row, lv.arange(0, width - 1) + column
    return ((rows * 0.8):view(1, 1, height, 1) + (columns * 0.9):view(1, 1, 1, width)):sin()
  end
  lv.no_grad(function()
    wide.static:copy_(wave(0, 0, 24, 36):evaluate())
    wide.mix.bias:fill_(0)
    wide.mix.weight:copy_(lv.tensor { 0, 0, 0, 0, 1, 0, 0, 0, 0 }:view(1, 1, 3, 3))
  end)
  local seen = wide(lv.zeros(1, 1, 20, 30), 0.6)
  near((seen - wave(2.4, 3.6, 20, 30)):slice(3, 4, 17):slice(4, 4, 27):abs():amax():item(), 0, 0.02)

  block(x, 0.3):square():sum():backward()
  assert(block.path.grad:slice(2, 1, 2):abs():amin():item() > 0)
  equal(block.path.grad:slice(2, 3, 3):abs():amax():item(), 0)
  local boosted = nn.Boosted(block, 5, { cond = 4 })
  equal(boosted(x, lv.randn(1, 4), 0.5).shape, { 1, 5, 4, 6 })
  local resting = nn.StaticMap(block, 5, { height = 4, width = 6, knots = 2, reach = { 4, 1 } })
  equal(resting.path:tolist(), { { { 2, 0.5 }, { 2, 0.5 } } })

  local function refused(options, ...)
    options.height, options.width = 4, 6
    raises(function() nn.StaticMap(block, 5, options) end, ...)
  end
  raises(function() block(x) end,
    "nn.StaticMap: expected the frame's time as the last argument, got none")
  raises(function() block(x, nil) end, "nn.StaticMap: expected the frame's time")
  raises(function() block() end, "nn.StaticMap: expected the frame's time")
  refused({ reach = { 1, 0 } }, "nn.StaticMap: knots: expected at least 2 for a map that is larger")
  refused({ knots = 1 }, "nn.StaticMap: knots: expected 0 or at least 2, got 1")
  refused({ knots = 2, reach = { 1, -1 } },
    "nn.StaticMap: reach: expected an integer of at least 0")
  refused({ knots = 2, reach = { 1 } },
    "nn.StaticMap: reach: expected a pair { y, x }, got 1 values")
  refused({ knots = 2, path = { { 0, 0 } } }, "nn.StaticMap: path: expected 2 pairs, got 1")
  refused({ knots = 2, path = { { 0, 0 }, 3 } }, "nn.StaticMap: path: 2: expected a pair { y, x }")
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
