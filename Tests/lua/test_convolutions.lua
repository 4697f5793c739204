-- Convolutions from Lua: numbers for each axis, transposed, over frames, masked.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test
local nn <const> = lv.nn

local function difference(a, b)
  equal(a.shape, b.shape)
  return (a - b):abs():amax():item()
end

test("one number and one for each axis are the same", function()
  lv.seed(1)
  local x, w = lv.randn(1, 5, 9, 8), lv.randn(6, 5, 3, 3)
  local y = x:conv2d(w, nil, { stride = 2, padding = 1, dilation = 2 })
  equal(difference(y, x:conv2d(w, nil, { stride = { 2, 2 }, padding = { 1, 1 },
    dilation = { 2, 2 } })), 0)
  equal(difference(x:conv2d(w, nil, { padding = "same" }), x:conv2d(w, nil, { padding = 1 })), 0)
  -- A column is a row that was turned.
  local row = x:conv2d(w, nil, { stride = { 1, 3 }, padding = { 2, 0 } })
  local turned = x:transpose(3, 4):conv2d(w:transpose(3, 4), nil,
    { stride = { 3, 1 }, padding = { 0, 2 } })
  near(difference(row, turned:transpose(3, 4)), 0, 1e-4)
end)

test("a value that is not a number for each axis is an error", function()
  local x, w = lv.zeros(1, 1, 4, 4), lv.zeros(1, 1, 3, 3)
  local function conv(options) return function() return x:conv2d(w, nil, options) end end
  raises(conv { stride = { 1, 2, 3 } }, "conv2d: stride: expected one number or { y, x }, got 3")
  raises(conv { stride = { 1 } }, "option 'stride': expected a number for each axis, got 1")
  raises(conv { stride = "2" }, "option 'stride': expected number or table of numbers, got string")
  raises(conv { stride = { 1, 0 } }, "conv2d: stride: expected 1 to 2²⁰, got 0")
  raises(conv { dilation = 1.5 }, "option 'dilation'")
  raises(conv { padding = "valid" }, "option 'padding': expected numbers or \"same\", got 'valid'")
  raises(conv { padding = "same", stride = 2 }, "padding \"same\" requires a stride of 1")
  raises(conv { dilation = 2 }, "a 3×3 kernel does not fit 4×4 with padding 0 and dilation (2, 2)")
  raises(conv { output_padding = 1 }, "unknown option 'output_padding'")
end)

test("steps and paddings of a million end in a result or an error", function()
  local x, w = lv.randn(1, 8, 5, 5), lv.randn(8, 8, 3, 3)
  local most <const> = 1 << 20
  equal(x:conv2d(w, nil, { padding = most, stride = most }):evaluate().shape, { 1, 8, 3, 3 })
  equal(lv.conv2d(x, lv.randn(8, 1, 3, 3), nil, { padding = most, stride = most, groups = 8 })
    :evaluate().shape, { 1, 8, 3, 3 })
  raises(function() return x:conv2d(w, nil, { padding = most }):evaluate() end, "limit")
  raises(function() return x:conv2d(w, nil, { padding = most + 1 }) end, "padding")
  raises(function() return x:conv_transpose2d(w, nil, { stride = most }) end, "limit")
end)

test("a transposed convolution is the gradient of a convolution", function()
  lv.seed(2)
  local x, w = lv.randn(1, 3, 9, 7), lv.randn(6, 3, 4, 3)
  local options <const> = { stride = { 2, 1 }, padding = { 1, 2 } }
  x.requires_grad = true
  local y = x:conv2d(w, nil, options)
  local g = lv.randn(table.unpack(y.shape))
  ;(y * g):sum():backward()
  local up = g:conv_transpose2d(w, nil, { stride = { 2, 1 }, padding = { 1, 2 },
    output_padding = { 1, 0 } })
  near(difference(up, x.grad), 0, 1e-5)
  local bias = lv.tensor { 1, 2, 3 }
  local biased = lv.conv_transpose2d(g, w, bias, { stride = { 2, 1 }, padding = { 1, 2 },
    output_padding = { 1, 0 } })
  near(difference(biased, up + bias:view(1, 3, 1, 1)), 0, 1e-5)
end)

test("modules take what operators take", function()
  lv.seed(3)
  local conv = nn.Conv2d(4, 6, { 1, 5 }, { padding = "same", dilation = { 1, 2 }, groups = 2 })
  equal(conv.weight.shape, { 6, 2, 1, 5 })
  equal(conv(lv.randn(2, 4, 3, 9)).shape, { 2, 6, 3, 9 })
  local bound = 1 / math.sqrt(2 * 5)
  assert(conv.weight:abs():amax():item() <= bound)
  equal(nn.Conv2d(4, 6, { kernel = { 3, 2 }, stride = { 2, 1 } })(lv.zeros(1, 4, 7, 5)).shape,
    { 1, 6, 3, 4 })

  local up = nn.ConvTranspose2d(8, 4, 4, { stride = 2, padding = 1 })
  equal(up.weight.shape, { 8, 4, 4, 4 })
  equal(up(lv.randn(1, 8, 5, 6)).shape, { 1, 4, 10, 12 })
  assert(up.weight:abs():amax():item() <= 1 / math.sqrt(4 * 16))
  equal(nn.ConvTranspose2d(6, 4, { 3, 1 }, { groups = 2, stride = { 2, 1 },
    output_padding = { 1, 0 }, bias = false })(lv.zeros(1, 6, 3, 3)).shape, { 1, 4, 8, 3 })

  local frames = nn.Conv3d(3, 5, 3, { padding = 1 })
  equal(frames.weight.shape, { 5, 3, 3, 3, 3 })
  equal(frames(lv.randn(1, 3, 4, 6, 5)).shape, { 1, 5, 4, 6, 5 })
  assert(frames.weight:abs():amax():item() <= 1 / math.sqrt(81))
  equal(nn.Conv3d(4, 4, { 1, 3, 3 }, { groups = 4, stride = { 1, 2, 2 } })(lv.zeros(2, 4, 2, 5, 5))
    .shape, { 2, 4, 2, 2, 2 })

  raises(function() return nn.Conv2d(2, 2, { 1, 2, 3 }) end,
    "nn.Conv2d: kernel: expected an integer or { y, x }, got a table of 3")
  raises(function() return nn.Conv2d(2, 2, 3, { padding = "valid" }) end,
    "nn.Conv2d: padding: expected numbers or 'same', got 'valid'")
  raises(function() return nn.ConvTranspose2d(2, 2, 3, { padding = { 1, -1 } }) end,
    "nn.ConvTranspose2d: padding: expected an integer of at least 0, got -1")
  raises(function() return nn.Conv3d(3, 3, 3, { groups = 2 }) end,
    "nn.Conv3d: groups: expected a divisor of 3 and 3 channels, got 2")
  raises(function() lv.conv2d(lv.zeros(1, 9, 4, 4), lv.zeros(4, 3, 3, 3), nil, { groups = 3 }) end,
    "conv2d: groups: expected a divisor of 4 output channels, got 3")
  raises(function() lv.conv2d(lv.zeros(1, 9, 4, 4), lv.zeros(4, 3, 3, 3), nil, { groups = 2 }) end,
    "conv2d: expected x with 6 channels for weight (4, 3, 3, 3) in 2 groups, got 9")
  raises(function() return nn.ConvTranspose2d(2, 2) end, "nn.ConvTranspose2d: kernel")
end)

-- What of an image a pixel depends on: the places with a gradient.
local function seen_by(module, y, x, height, width)
  local image = lv.randn(1, 1, height, width)
  image.requires_grad = true
  module(image)[{ 1, 1, y, x }]:sum():backward()
  local seen = {}
  for row = 1, height do
    local text = ""
    for column = 1, width do
      text = text .. (image.grad[{ 1, 1, row, column }]:item() ~= 0 and "x" or ".")
    end
    seen[row] = text
  end
  return seen
end

test("a masked convolution sees what was before", function()
  lv.seed(4)
  equal(seen_by(nn.MaskedConv2d(1, 1, 3, { mask = "A" }), 3, 3, 4, 5),
    { ".....", ".xxx.", ".x...", "....." })
  equal(seen_by(nn.MaskedConv2d(1, 1, 3), 3, 3, 4, 5), { ".....", ".xxx.", ".xx..", "....." })
  equal(seen_by(nn.MaskedConv2d(1, 1, { 1, 5 }), 2, 4, 3, 6), { "......", ".xxx..", "......" })
  local net = nn.Sequential(nn.MaskedConv2d(1, 4, 5, { mask = "A" }), nn.Tanh(),
    nn.MaskedConv2d(4, 1, { kernel = 3, mask = "B" }))
  equal(seen_by(net, 3, 4, 4, 6), { "xxxxxx", "xxxxxx", "xxx...", "......" })

  local layer = nn.MaskedConv2d(1, 2, 3, { mask = "A" })
  local names = {}
  for name in layer:named_parameters() do names[#names + 1] = name end
  equal(names, { "weight", "bias" })
  layer(lv.randn(1, 1, 4, 4)):sum():backward()
  equal(layer.weight.grad[{ 1, 1, 2, 2 }]:item(), 0)
  assert(layer.weight.grad[{ 1, 1, 1, 1 }]:item() ~= 0)
  raises(function() return nn.MaskedConv2d(1, 1, 4) end, "expected odd sides, got 4×4")
  raises(function() return nn.MaskedConv2d(1, 1, 3, { mask = "C" }) end,
    "nn.MaskedConv2d: mask: expected 'A' or 'B', got 'C'")
end)

test("convolutions of a bench run are recorded with their axes", function()
  local kernels = require "lunerv.bench.kernels"
  local conv = nn.Conv2d(3, 4, { 3, 1 }, { stride = { 2, 1 }, dilation = 2 })
  local list = kernels.recorded(function() return conv(lv.randn(1, 3, 9, 8)) end)
  equal(#list, 1)
  equal(kernels.name(list[1]), "3→4 3x1/2x1 d2 9x8")
  near(list[1].gflop, 2e-9 * 4 * 3 * 3 * 3 * 8, 1e-15)
  local names = {}
  for _, c in ipairs(kernels.shapes()) do names[kernels.name(c)] = c end
  near(names["64→64 4x4/2 transposed 180x320"].gflop, 2e-9 * 64 * 64 * 16 * 180 * 320, 1e-9)
  local found = names["64→64 3x3 g4 180x320"]
  found.height, found.width = 8, 9
  local result = kernels.measure({ found }, function() end)
  equal(result.kernels[1].choice, "grouped")
  assert(result.kernels[1].weight_gradient_gflops > 0)
end)
