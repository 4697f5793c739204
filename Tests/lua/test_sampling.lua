-- Samples, resizing, pooling and padding as people call them; their modules.
local gradients <const> = require "gradients"
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test
local nn <const> = lv.nn

local function image() return lv.arange(1, 12):view(1, 1, 3, 4) end

-- The places of the elements themselves.
local function identity(h, w)
  local x = lv.linspace(-1, 1, w):view(1, 1, w, 1):expand(1, h, w, 1)
  local y = lv.linspace(-1, 1, h):view(1, h, 1, 1):expand(1, h, w, 1)
  return lv.cat({ x, y }, 4)
end

test("grid_sample reads a map at places", function()
  local x, corners = image(), { align_corners = true }
  equal(x:grid_sample(identity(3, 4), corners):tolist(), x:tolist())
  equal(lv.grid_sample(x, identity(3, 4), corners).shape, { 1, 1, 3, 4 })
  local far = lv.tensor { { { { 3, 0 }, { 0, -3 } } } }
  equal(x:grid_sample(far:view(1, 1, 2, 2), corners):view(-1):tolist(), { 0, 0 })
  local border = { align_corners = true, padding = "border", mode = "nearest" }
  equal(x:grid_sample(far:view(1, 1, 2, 2), border):view(-1):tolist(), { 8, 3 })
  -- Per unit of the grid: 1.5 steps along the width, of 1 each; one along the height, of 4.
  local grid = lv.tensor({ -0.1, 0 }):view(1, 1, 1, 2)
  grid.requires_grad = true
  x:grid_sample(grid, corners):sum():backward()
  harness.near(grid.grad:view(-1):tolist()[1], 1.5, 1e-5)
  harness.near(grid.grad:view(-1):tolist()[2], 4, 1e-5)
end)

test("grid_sample says what it expected", function()
  local x = image()
  raises(function() x:grid_sample(lv.zeros(1, 2, 2, 3)) end, "test_sampling.lua:",
    "grid_sample: expected a grid of (1, H, W, 2) for a map of (1, 1, 3, 4), got (1, 2, 2, 3)")
  raises(function() x:grid_sample(lv.zeros(1, 2, 2, 2), { mode = "bicubic" }) end,
    "grid_sample: unknown mode 'bicubic' (known: bilinear, nearest)")
  raises(function() x:grid_sample(lv.zeros(1, 2, 2, 2), { padding = "boarder" }) end,
    "unknown padding 'boarder': did you mean 'border'?")
  raises(function() x:grid_sample(lv.zeros(1, 2, 2, 2), { padding_mode = "border" }) end,
    "unknown option 'padding_mode' (known: mode, padding, align_corners)")
end)

test("interpolate takes a size or a scale, for all axes or each", function()
  local x = image()
  equal(x:interpolate({ scale = 2 }).shape, { 1, 1, 6, 8 })
  equal(x:interpolate({ scale = { 2, 0.5 }, mode = "bilinear" }).shape, { 1, 1, 6, 2 })
  equal(x:interpolate({ size = { 5, 7 }, mode = "bicubic" }).shape, { 1, 1, 5, 7 })
  equal(x:interpolate({ size = 5, mode = "bilinear", align_corners = true }).shape,
    { 1, 1, 5, 5 })
  equal(lv.arange(1, 3):view(1, 1, 3):interpolate({ size = 6 }):view(-1):tolist(),
    { 1, 1, 2, 2, 3, 3 })
  equal(lv.tensor({ 0, 2 }):view(1, 1, 1, 2):interpolate({ scale = { 1, 2 }, mode = "bilinear" })
    :view(-1):tolist(), { 0, 0.5, 1.5, 2 })
  raises(function() x:interpolate {} end, "interpolate: expected scale or size, got none")
  raises(function() x:interpolate { scale = 2, size = 3 } end, "scale or size, got both")
  raises(function() x:interpolate { size = { 1, 2, 3 } } end,
    "interpolate: size: expected a number or 2 numbers, got 3")
  raises(function() x:interpolate { scale = 2, mode = "bilinaer" } end,
    "interpolate: unknown mode 'bilinaer': did you mean 'bilinear'")
  raises(function() x:interpolate { scale = 2, mode = "trilinear" } end,
    "interpolate: expected (n, c, d, h, w) for trilinear, got (1, 1, 3, 4)")
  raises(function() x:interpolate { scale = 2, align_corners = true } end, "align_corners")
  raises(function() x:interpolate { size = { 1, 1 << 21 } } end,
    "interpolate: expected sizes of at most")
end)

test("pools have PyTorch's options", function()
  local x = image()
  equal(x:max_pool2d(2):view(-1):tolist(), { 6, 8 })
  equal(x:max_pool2d({ 3, 2 }, { stride = 1 }):view(-1):tolist(), { 10, 11, 12 })
  equal(x:max_pool2d(2, { padding = 1, stride = { 2, 2 } }):view(-1):tolist(),
    { 1, 3, 4, 9, 11, 12 })
  equal(x:max_pool2d(2, { dilation = 2, stride = 1 }):view(-1):tolist(), { 11, 12 })
  equal(x:avg_pool2d(2):view(-1):tolist(), { 3.5, 5.5 })
  equal(x:avg_pool2d({ 1, 4 }):view(-1):tolist(), { 2.5, 6.5, 10.5 })
  equal(x:avg_pool2d(2, { ceil_mode = true }):view(-1):tolist(), { 3.5, 5.5, 9.5, 11.5 })
  equal(x:avg_pool2d(2, { divisor_override = 1 }):view(-1):tolist(), { 14, 22 })
  equal(x:adaptive_avg_pool2d(1):item(), 6.5)
  equal(x:adaptive_avg_pool2d({ 1, 2 }):view(-1):tolist(), { 5.5, 7.5 })
  -- A window may lie between the inputs. Channels that only fill a vector stay 0.
  for _, map in ipairs { lv.ones(1, 5, 1, 1), lv.ones(1, 3, 1, 1):conv2d(lv.ones(5, 3, 1, 1)) } do
    local wide = map:max_pool2d(2, { stride = 1, dilation = 3, padding = 2 })
    equal(wide:clamp(-1, 1):sum():item(), -5 * wide:size(3) * wide:size(4))
  end
  raises(function() x:max_pool2d(5) end, "max_pool2d: expected windows within 3, got 5")
  raises(function() x:max_pool2d(2, { padding = 2 }) end,
    "max_pool2d: expected a padding of 0 to half the window, 1, got 2")
  raises(function() x:avg_pool2d() end, "avg_pool2d: argument 1 (kernel_size)")
  raises(function() x:avg_pool2d(2, { dilation = 2 }) end, "unknown option 'dilation'")
end)

test("pad takes sides by name, as ever, and amounts of any dimension", function()
  local x = lv.tensor { { 1, 2 }, { 3, 4 } }
  equal(x:pad({ left = 1, mode = "zero" }):tolist(), { { 0, 1, 2 }, { 0, 3, 4 } })
  equal(x:pad({ bottom = 1, right = 1, mode = "edge" }):tolist(),
    { { 1, 2, 2 }, { 3, 4, 4 }, { 3, 4, 4 } })
  equal(x:pad():tolist(), x:tolist())
  equal(lv.pad(x, { 1, 0 }, { value = 9 }):tolist(), { { 9, 1, 2 }, { 9, 3, 4 } })
  equal(x:pad({ 0, 0, 1, 0 }, { mode = "reflect" }):tolist(), { { 3, 4 }, { 1, 2 }, { 3, 4 } })
  equal(x:pad({ -1, 0 }):tolist(), { { 2 }, { 4 } })
  equal(x:pad({ 0, 1 }, { mode = "replicate" }):tolist(), { { 1, 2, 2 }, { 3, 4, 4 } })
  equal(lv.arange(1, 3):pad({ 2, 1 }, { mode = "circular" }):tolist(), { 2, 3, 1, 2, 3, 1 })
  equal(lv.tensor({ 1, 0 }, { dtype = "bool" }):pad({ 1, 0 }, { value = 1 }):tolist(), { 1, 1, 0 })
  raises(function() x:pad({ 1 }) end,
    "pad: expected two amounts for each of at most 2 dimensions, got 1")
  raises(function() x:pad({ 1, 1 }, { mode = "mirror" }) end, "pad: unknown mode 'mirror'")
  raises(function() x:pad({ 2, 0 }, { mode = "reflect" }) end,
    "pad: expected at most 1 elements on a side of dimension 2, which has 2, got 2")
  raises(function() x:pad({ left = 1, mode = "edge", value = 2 }) end, "only with mode 'constant'")
  raises(function() x:pad({ left = 1 }, { mode = "edge" }) end, "among the sides' names")
  raises(function() x:pad({ 1, 1 }, { left = 1 }) end, "in a list or by name, got both")
  raises(function() lv.ones(3):pad { left = 1 } end, "pad: expected at least 2 dimensions, got 1")
end)

test("modules of them", function()
  local x = lv.randn(1, 2, 6, 6)
  equal(nn.Upsample({ scale = 2, mode = "bilinear" })(x).shape, { 1, 2, 12, 12 })
  equal(nn.MaxPool2d(3, { stride = 2, padding = 1 })(x).shape, { 1, 2, 3, 3 })
  equal(nn.AvgPool2d({ 2, 3 })(x).shape, { 1, 2, 3, 2 })
  equal(nn.AdaptiveAvgPool2d(1)(x).shape, { 1, 2, 1, 1 })
  raises(function() nn.Upsample { scael = 2 } end, "nn.Upsample: unknown option 'scael'")
  raises(function() nn.MaxPool2d(2, { stride = "x" }) end, "nn.MaxPool2d: option 'stride'")
  local net = nn.Sequential(nn.Conv2d(2, 3, 3, { padding = 1 }), nn.AvgPool2d(2),
    nn.Upsample { size = { 5, 4 }, mode = "bicubic" })
  gradients.check(net, { x })
end)

test("a block that warps has gradients", function()
  local Warp = nn.class "Warp"
  function Warp:init() self.flow = nn.Conv2d(2, 2, 3, { padding = 1 }) end
  function Warp:forward(x)
    local places = identity(4, 5):to "f64" * 0.8 + self.flow(x):permute(1, 3, 4, 2) * 0.05
    return x:grid_sample(places, { padding = "border" })
  end
  gradients.check(Warp(), { lv.randn(1, 2, 4, 5) })
end)
