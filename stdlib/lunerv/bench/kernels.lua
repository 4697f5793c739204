-- The convolutions of a model one by one: effective GFLOP/s of the operator and of its gradients,
-- and their share of the roof that fused multiply-adds from registers alone reach in the same run.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"
local Conv2d <const> = require "lunerv.nn.conv2d"

local kernels <const> = {}

-- The convolutions of one reconstruction, equal ones counted, those with most work first.
local function convolutions(reconstruct)
  local list, by_key = {}, {}
  local forward = Conv2d.forward
  local function record(self, x)
    local y = forward(self, x)
    local shape, weight, g = x.shape, self.weight.shape, self.geometry
    local key = table.concat({ table.concat(shape, "x"), table.concat(weight, "x"), g.stride,
      g.padding, g.groups }, " ")
    local item = by_key[key]
    if not item then
      item = {
        inputs = shape[2], outputs = weight[1], kernel = weight[3], height = shape[3],
        width = shape[4], stride = g.stride, padding = g.padding, groups = g.groups, count = 0,
        gflop = 2e-9 * self.weight:numel() * y:size(3) * y:size(4),
      }
      by_key[key], list[#list + 1] = item, item
    end
    item.count = item.count + 1
    return y
  end
  Conv2d.forward = record
  bridge.finally(native.no_grad, function() Conv2d.forward = forward end, reconstruct)
  Conv2d.forward = forward
  table.sort(list, function(a, b)
    if a.count * a.gflop ~= b.count * b.gflop then return a.count * a.gflop > b.count * b.gflop end
    return a.outputs > b.outputs
  end)
  return list
end

-- Seconds of the function that `prepare` returns.
local function once(prepare)
  local body = prepare()
  local began = native.time()
  body()
  return native.time() - began
end

-- The shortest of at least three of them in 0.4 s.
local function fastest(prepare)
  local best, start, runs = math.huge, native.time(), 0
  once(prepare) -- pays for memory
  while runs < 3 or native.time() - start < 0.4 do
    best, runs = math.min(best, once(prepare)), runs + 1
    native.step_boundary()
  end
  return best
end

-- A feature map in the layout that operators give it.
local function feature_map(channels, height, width)
  if channels <= 4 then return native.randn(1, channels, height, width) end
  local y = native.conv2d(native.randn(1, 1, height, width), native.randn(channels, 1, 1, 1))
  return y:evaluate():detach()
end

-- Seconds of a convolution and of its two gradients.
local function time_convolution(c)
  local x = feature_map(c.inputs, c.height, c.width)
  local w = native.randn(c.outputs, c.inputs // c.groups, c.kernel, c.kernel) * 0.05
  w = w:evaluate():detach()
  local geometry = { stride = c.stride, padding = c.padding, groups = c.groups }
  local y = x:conv2d(w, nil, geometry)
  local g = feature_map(c.outputs, y:size(3), y:size(4))
  local seconds = {}
  seconds.forward = fastest(function()
    local result = x:conv2d(w, nil, geometry)
    return function() result:evaluate() end
  end)
  for name, leaf in pairs { data_gradient = x, weight_gradient = w } do
    leaf.requires_grad = true
    seconds[name] = fastest(function()
      leaf.grad = nil
      -- The gradient of this sum by the result is g, read from memory as in training.
      local sum = (x:conv2d(w, nil, geometry) * g):sum():evaluate()
      return function() sum:backward() end
    end)
    leaf.requires_grad = false
  end
  return seconds
end

local products <const> = { "forward", "data_gradient", "weight_gradient" }

-- Times the convolutions of which `reconstruct()` consists, without those of next to no work.
-- `show(text)` is told how far it is. Returns { roof_gflops, gflop_forward, kernels }: plain data,
-- where each kernel holds its geometry, count, share of the work, and for each product
-- <product>_gflops and <product>_share (of the roof).
function kernels.measure(reconstruct, show)
  local list, roof, total = convolutions(reconstruct), native.fma_roof(), 0
  for _, c in ipairs(list) do total = total + c.count * c.gflop end
  local timed = {}
  for _, c in ipairs(list) do
    c.work = c.count * c.gflop / total
    if c.work >= 5e-4 then
      show(("kernels: %d of at most %d"):format(#timed + 1, #list))
      local seconds = time_convolution(c)
      for _, name in ipairs(products) do c[name .. "_gflops"] = c.gflop / seconds[name] end
      timed[#timed + 1] = c
      roof = math.max(roof, native.fma_roof())
    end
  end
  for _, c in ipairs(timed) do
    for _, name in ipairs(products) do c[name .. "_share"] = c[name .. "_gflops"] / roof end
  end
  return { roof_gflops = roof, gflop_forward = total, kernels = timed }
end

-- The figures as people read them.
function kernels.text(result)
  local lines = {
    ("%s at %s, %d threads: a forward pass is %.4g GFLOP of convolution"):format(result.model,
      result.size, result.threads, result.gflop_forward),
    ("multiply-add roof: %.1f GFLOP/s"):format(result.roof_gflops),
    "                                      share      forward     by data    by weight",
    "                                    of work           effective GFLOP/s, of roof",
  }
  for _, c in ipairs(result.kernels) do
    local name = ("%d→%d %dx%d%s %dx%d"):format(c.inputs, c.outputs, c.kernel, c.kernel,
      c.groups > 1 and " depthwise" or c.stride > 1 and "/" .. c.stride or "", c.height, c.width)
    local cells = {}
    for i, product in ipairs(products) do
      cells[i] = ("%5.0f %3.0f %%"):format(c[product .. "_gflops"], 100 * c[product .. "_share"])
    end
    local padding = (" "):rep(math.max(34 - utf8.len(name), 0))
    lines[#lines + 1] = ("  %s%s %5.1f %%  %s"):format(name, padding, 100 * c.work,
      table.concat(cells, "  "))
  end
  lines[#lines + 1] = "Effective: the direct sum's operations are counted. Winograd's kernels do "
    .. "fewer, and\nmay pass the roof."
  return table.concat(lines, "\n")
end

return kernels
