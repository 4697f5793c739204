-- Convolutions one by one: effective GFLOP/s of the operator and of its gradients, and their share
-- of the roof, the speed of fused multiply-adds from registers alone in the same run.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"
local Conv2d <const> = require "lunerv.nn.conv2d"

local kernels <const> = {}

-- Typical shapes of the paper's models: the boosted models' 3×3 at their widths (all at one frame
-- size, so that the cost per pixel can be compared), the upsampling steps, the head, HNeRV's 5×5,
-- and the encoder's convolutions. Then shapes of other models: depthwise with a stride, groups,
-- dilation, transposed convolutions, frames.
local catalogue <const> = {
  -- inputs, outputs, kernel, height, width; stride and groups where they are not 1
  { 35, 35, 3, 720, 1280 }, { 42, 42, 3, 360, 640 },
  { 16, 16, 3, 180, 320 }, { 20, 20, 3, 180, 320 }, { 28, 28, 3, 180, 320 },
  { 35, 35, 3, 180, 320 }, { 42, 42, 3, 180, 320 }, { 52, 52, 3, 180, 320 },
  { 60, 60, 3, 180, 320 }, { 72, 72, 3, 180, 320 },
  { 42, 140, 3, 360, 640 }, { 60, 200, 3, 90, 160 }, { 35, 3, 3, 720, 1280 },
  { 47, 156, 5, 360, 640 }, { 67, 224, 5, 90, 160 },
  { 64, 256, 1, 144, 256 }, { 256, 64, 1, 144, 256 },
  { 3, 64, 5, 720, 1280, 5 }, { 64, 64, 2, 144, 256, 2 }, { 64, 64, 7, 144, 256, 1, 64 },
  { 48, 48, 3, 720, 1280, 2, 48, padding = 1 }, { 64, 64, 3, 180, 320, 1, 16 },
  { 64, 64, 3, 180, 320, 1, 4 }, { 96, 96, 3, 180, 320, 1, 4 },
  { 64, 64, 3, 180, 320, dilation = 2, padding = 2 },
  { 64, 64, 4, 180, 320, 2, padding = 1, transposed = true },
  { 16, 16, 3, 180, 320, depth = 8 },
}

-- One number for both directions, or one per direction.
local function both(value)
  if type(value) == "table" then return value[1], value[2] end
  return value, value
end

local function gflop_of(c, rows, columns)
  local kh, kw = both(c.kernel)
  local frames = c.depth and c.depth * kh or 1
  return 2e-9 * c.outputs * c.inputs / c.groups * kh * kw * rows * columns * frames
end

-- The shapes of the catalogue as `measure` takes them.
function kernels.shapes()
  local list = {}
  for i, row in ipairs(catalogue) do
    local c = {
      inputs = row[1], outputs = row[2], kernel = row[3], height = row[4], width = row[5],
      stride = row[6] or 1, groups = row[7] or 1, padding = row.padding, dilation = row.dilation,
      transposed = row.transposed, depth = row.depth, count = 1,
    }
    c.padding = c.padding or (c.stride == 1 and c.kernel // 2 or 0)
    local function size(n)
      return (n + 2 * c.padding - (c.dilation or 1) * (c.kernel - 1) - 1) // c.stride + 1
    end
    c.rows, c.columns = size(c.height), size(c.width)
    -- The output size of a transposed convolution; its work is proportional to the inputs.
    if c.transposed then c.rows, c.columns = c.height * c.stride, c.width * c.stride end
    c.gflop = c.transposed and gflop_of(c, c.height, c.width) or gflop_of(c, c.rows, c.columns)
    list[i] = c
  end
  return list
end

local function text_of(value)
  if type(value) == "table" then return table.concat(value, "x") end
  return tostring(value)
end

-- The convolutions that `body()` computes, equal ones counted, largest work first.
function kernels.recorded(body)
  local list, by_key = {}, {}
  local forward = Conv2d.forward
  local function record(self, x)
    local y = forward(self, x)
    local shape, weight, g = x.shape, self.weight.shape, self.geometry
    local key = table.concat({ table.concat(shape, "x"), table.concat(weight, "x"),
      text_of(g.stride), text_of(g.padding), text_of(g.dilation), g.groups }, " ")
    local item = by_key[key]
    if not item then
      item = {
        inputs = shape[2], outputs = weight[1], height = shape[3], width = shape[4],
        kernel = weight[3] == weight[4] and weight[3] or { weight[3], weight[4] },
        stride = g.stride, padding = g.padding, dilation = g.dilation, groups = g.groups,
        rows = y:size(3), columns = y:size(4), count = 0,
      }
      item.gflop = gflop_of(item, item.rows, item.columns)
      by_key[key], list[#list + 1] = item, item
    end
    item.count = item.count + 1
    return y
  end
  Conv2d.forward = record
  bridge.on_error(native.no_grad, function() Conv2d.forward = forward end, body)
  Conv2d.forward = forward
  table.sort(list, function(a, b)
    if a.count * a.gflop ~= b.count * b.gflop then return a.count * a.gflop > b.count * b.gflop end
    return a.outputs > b.outputs
  end)
  return list
end

-- The gigabytes that any algorithm must move: both images and the weights, once.
local function gbytes_of(c)
  local kh, kw = both(c.kernel)
  local frames, taps = c.depth or 1, c.depth and kh or 1
  return 4e-9 * ((c.inputs * c.height * c.width + c.outputs * c.rows * c.columns) * frames
    + c.outputs * c.inputs // c.groups * kh * kw * taps)
end

-- { gflop, gbytes } of the convolutions that `body()` computes.
function kernels.work(body)
  local work = { gflop = 0, gbytes = 0 }
  for _, c in ipairs(kernels.recorded(body)) do
    work.gflop = work.gflop + c.count * c.gflop
    work.gbytes = work.gbytes + c.count * gbytes_of(c)
  end
  return work
end

-- The duration in seconds of the function that `prepare` returns.
local function once(prepare)
  local body = prepare()
  local began = native.time()
  body()
  return native.time() - began
end

-- The shortest time of at least three runs in 0.4 s.
local function fastest(prepare)
  local best, start, runs = math.huge, native.time(), 0
  once(prepare) -- warms up memory
  while runs < 3 or native.time() - start < 0.4 do
    best, runs = math.min(best, once(prepare)), runs + 1
    native.step_boundary()
  end
  return best
end

-- A feature map in the layout that operators produce.
local function feature_map(channels, height, width)
  if channels <= 4 then return native.randn(1, channels, height, width) end
  local y = native.conv2d(native.randn(1, 1, height, width), native.randn(channels, 1, 1, 1))
  return y:evaluate():detach()
end

-- The operands of a convolution, and the operator with its options.
local function operator_of(c)
  local options = { stride = c.stride, padding = c.padding, groups = c.groups,
    dilation = c.dilation }
  local kh, kw = both(c.kernel)
  if c.depth then
    local k = c.kernel
    return native.randn(1, c.inputs, c.depth, c.height, c.width),
      native.randn(c.outputs, c.inputs // c.groups, k, k, k),
      function(x, w) return x:conv3d(w, nil, options) end
  end
  local x = feature_map(c.inputs, c.height, c.width)
  if c.transposed then
    return x, native.randn(c.inputs, c.outputs // c.groups, kh, kw),
      function(image, w) return image:conv_transpose2d(w, nil, options) end
  end
  return x, native.randn(c.outputs, c.inputs // c.groups, kh, kw),
    function(image, w) return image:conv2d(w, nil, options) end
end

kernels.fastest, kernels.feature_map = fastest, feature_map

-- Seconds of a convolution and of its two gradients.
local function time_convolution(c)
  local x, w, apply = operator_of(c)
  w = (w * 0.05):evaluate():detach()
  local y = apply(x, w)
  local g = c.depth and native.randn(table.unpack(y.shape))
    or feature_map(c.outputs, y:size(3), y:size(4))
  local seconds = {}
  seconds.forward = fastest(function()
    local result
    if not c.transposed and not c.depth then result = apply(x, w) end
    return function() (result or apply(x, w)):evaluate() end
  end)
  for name, leaf in pairs { data_gradient = x, weight_gradient = w } do
    leaf.requires_grad = true
    seconds[name] = fastest(function()
      leaf.grad = nil
      -- The gradient of this sum with respect to the result is g, read from memory as in training.
      local sum = (apply(x, w) * g):sum():evaluate()
      return function() sum:backward() end
    end)
    leaf.requires_grad = false
  end
  return seconds
end

kernels.products = { "forward", "data_gradient", "weight_gradient" }
local products <const> = kernels.products

local function shape_of(c)
  return {
    inputs = c.inputs, outputs = c.outputs, height = c.height, width = c.width,
    kernel = c.kernel, stride = c.stride, padding = c.padding, groups = c.groups,
    dilation = c.dilation,
  }
end

-- The name of the algorithm for a shape. Transposed convolutions and convolutions of frames combine
-- several products.
local function choice_of(c)
  if c.transposed then return "transposed" end
  if c.depth then return "slices" end
  return native.convolution_choice(shape_of(c))
end

local function gflops(c, seconds)
  local result = {}
  for _, name in ipairs(products) do result[name] = c.gflop / seconds[name] end
  return result
end

-- Every algorithm that supports `c`, by name: GFLOP/s of each product.
local function compare_algorithms(c)
  local result = {}
  local function unforce() native.force_convolution() end
  for _, name in ipairs(native.convolution_algorithms(shape_of(c))) do
    native.force_convolution(name)
    result[name] = gflops(c, bridge.on_error(time_convolution, unforce, c))
    unforce()
  end
  return result
end

-- An algorithm counts as better than the chosen one only beyond this factor: timings vary.
local margin <const> = 1.05

-- The products for which another algorithm is faster than the chosen one: { { product, algorithm,
-- times }, … }.
function kernels.better(c)
  local list, chosen = {}, c.algorithms[c.choice]
  for _, product in ipairs(products) do
    local best
    for name, figures in pairs(c.algorithms) do
      if not best or figures[product] > c.algorithms[best][product] then best = name end
    end
    local times = c.algorithms[best][product] / chosen[product]
    if times > margin then
      list[#list + 1] = { product = product, algorithm = best, times = times }
    end
  end
  return list
end

-- Times the convolutions of `list` (from `shapes` or `recorded`) that have a noticeable amount of
-- work; with `algorithms`, using every algorithm. `show(text)` gets the progress. Returns {
-- roof_gflops, gflop, kernels }: plain data. Each kernel has its geometry, count, share of the
-- work, intensity (operations per byte), choice (of algorithm), and for each product
-- <product>_gflops and <product>_share (of the roof).
function kernels.measure(list, show, algorithms)
  local roof, total = native.peak_flops(), 0
  for _, c in ipairs(list) do total = total + c.count * c.gflop end
  local timed = {}
  for i, c in ipairs(list) do
    c.work = c.count * c.gflop / total
    if c.work >= 5e-4 then
      show(("kernels: %d of %d"):format(i, #list))
      c.choice, c.intensity = choice_of(c), c.gflop / gbytes_of(c)
      for name, value in pairs(gflops(c, time_convolution(c))) do c[name .. "_gflops"] = value end
      if algorithms and c.choice and not c.transposed and not c.depth then
        c.algorithms = compare_algorithms(c)
      end
      timed[#timed + 1] = c
      roof = math.max(roof, native.peak_flops())
    end
  end
  for _, c in ipairs(timed) do
    for _, name in ipairs(products) do c[name .. "_share"] = c[name .. "_gflops"] / roof end
  end
  return { roof_gflops = roof, gflop = total, kernels = timed }
end

-- "35→35 3x3 720x1280"; "/2" is a stride, "d2" a dilation, "g4" groups.
function kernels.name(c)
  local kh, kw = both(c.kernel)
  local size = c.depth and ("%dx%dx%d"):format(kh, kh, kh) or ("%dx%d"):format(kh, kw)
  if c.stride ~= 1 then size = size .. "/" .. text_of(c.stride) end
  if c.dilation and c.dilation ~= 1 then size = size .. " d" .. text_of(c.dilation) end
  if c.transposed then size = size .. " transposed" end
  if c.groups > 1 then
    size = size .. (c.groups == c.inputs and " depthwise" or " g" .. c.groups)
  end
  return ("%d→%d %s %s%dx%d"):format(c.inputs, c.outputs, size, c.depth and c.depth .. "x" or "",
    c.height, c.width)
end

return kernels
