-- Memory-bound operators one by one: GB/s, counting what any algorithm must read and write once,
-- for comparison with the memory roof.
local kernels <const> = require "lunerv.bench.kernels"
local native <const> = require "lunerv.native"

local operators <const> = {}

-- A grid whose positions are close to their pixels, like those of an optical flow.
local function grid(height, width)
  local x = native.linspace(-1, 1, width):view(1, 1, width, 1):expand(1, height, width, 1)
  local y = native.linspace(-1, 1, height):view(1, height, 1, 1):expand(1, height, width, 1)
  local places = native.cat({ x, y }, 4) + native.randn(1, height, width, 2) * 0.004
  return places:evaluate():detach()
end

-- Name, channels, height and width, the function, and whether it takes a grid.
local catalogue <const> = {
  { "grid_sample", 32, 720, 1280, function(x, g) return x:grid_sample(g) end, true },
  { "grid_sample", 3, 720, 1280, function(x, g) return x:grid_sample(g) end, true },
  { "interpolate bilinear ×2", 32, 360, 640,
    function(x) return x:interpolate { scale = 2, mode = "bilinear" } end },
  { "interpolate bicubic ×2", 32, 360, 640,
    function(x) return x:interpolate { scale = 2, mode = "bicubic" } end },
  { "interpolate bilinear ×2", 3, 360, 640,
    function(x) return x:interpolate { scale = 2, mode = "bilinear" } end },
  { "interpolate nearest ×2", 32, 360, 640, function(x) return x:interpolate { scale = 2 } end },
  { "interpolate bicubic ×½, antialias", 3, 720, 1280, function(x)
    return x:interpolate { scale = 0.5, mode = "bicubic", antialias = true }
  end },
  { "avg_pool2d 2", 32, 720, 1280, function(x) return x:avg_pool2d(2) end },
  { "max_pool2d 2", 32, 720, 1280, function(x) return x:max_pool2d(2) end },
  { "max_pool2d 3/2", 32, 720, 1280,
    function(x) return x:max_pool2d(3, { stride = 2, padding = 1 }) end },
  { "pad reflect 3", 32, 720, 1280,
    function(x) return x:pad({ 3, 3, 3, 3 }, { mode = "reflect" }) end },
  { "roll", 32, 720, 1280, function(x) return x:roll({ 8, -8 }, { 3, 4 }) end },
  { "index_select of rows", 32, 720, 1280, function(x)
    return x:index_select(3, native.tensor(native.permutation(x:size(3)), { dtype = "i32" }))
  end },
  { "cumsum of rows", 3, 720, 1280, function(x) return x:cumsum(4) end },
  { "sort of rows", 3, 720, 1280, function(x) return (x:sort(4)) end },
  { "softmax of channels", 32, 720, 1280, function(x) return x:softmax(2) end },
  { "group_norm 8", 32, 720, 1280, function(x) return x:group_norm(8) end },
}

local function measure(row)
  local name, channels, height, width, apply, takes_grid = table.unpack(row)
  local x, places = kernels.feature_map(channels, height, width), nil
  if takes_grid then places = grid(height, width) end
  local leaves = { x, places }
  local y = apply(x, places):evaluate()
  local inputs = 0
  for _, leaf in ipairs(leaves) do inputs = inputs + 4e-9 * leaf:numel() end
  local outputs = 4e-9 * y:numel()
  local seed = kernels.feature_map(table.unpack(y.shape, 2))
  local result = { name = ("%s of %d×%dx%d"):format(name, channels, height, width) }
  result.forward_gbs = (inputs + outputs) / kernels.fastest(function()
    return function() apply(x, places):evaluate() end
  end)
  for _, leaf in ipairs(leaves) do leaf.requires_grad = true end
  -- Both passes reuse the gradients' memory: repeated reads come from the caches.
  result.gradient_gbs = (2 * inputs + outputs) / kernels.fastest(function()
    for _, leaf in ipairs(leaves) do leaf.grad = nil end
    local sum = (apply(x, places) * seed):sum():evaluate()
    return function() sum:backward() end
  end)
  return result
end

-- The figures of every operator of the catalogue for which `choose(name)` is true.
function operators.measure(show, choose)
  local list = {}
  for i, row in ipairs(catalogue) do
    if not choose or choose(row[1]) then
      show(("operators: %d of %d"):format(i, #catalogue))
      list[#list + 1] = measure(row)
    end
  end
  return list
end

return operators
