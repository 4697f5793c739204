-- Calls of every operator that a program in a file can reach, at increasing sizes, for tests of
-- charges and scripts/bench/charges. Each is { operator or function, its special case, the
-- arguments of the call }.
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"

local calls <const> = {}

local function whole(x) return x:to "i32" end

-- Positions 1 to `count` of a dimension, shuffled.
local function places(count, most) return whole((lv.rand(count) * most):floor() + 1) end

local unary <const> = "abs erf exp expm1 floor gelu hardswish leaky_relu log log1p log2 neg "
  .. "reciprocal relu round rsqrt sigmoid sign silu sin cos softplus sqrt square tanh clone "
  .. "evaluate detach dim numel size is_finite tolist flatten squeeze zeros_like ones_like "
  .. "rand_like randn_like sum mean amax amin var std argmax argmin argsort sort unique"

local binary <const> = "add sub mul div floor_divide remainder pow maximum minimum atan2 eq ne "
  .. "lt le gt ge"

-- The calls for tensors of about `n` numbers.
function calls.of_size(n)
  local list = {}
  local function call(name, what, ...) list[#list + 1] = { name, what, table.pack(...) } end
  local side = math.max(math.floor(math.sqrt(n)), 2)
  local x, m = lv.rand(n) + 0.5, lv.rand(side, side) + 0.5
  local wide, bytes = x:to "f64", (x * 100):to "u8"
  local half = math.max(side // 4, 4)
  local map, image = lv.rand(1, 16, half, half), lv.rand(1, 3, side // 2 + 8, side // 2 + 8)
  local volume = lv.rand(1, 4, 4, half, half)
  -- A stride of 0, and transposed rows.
  local view, across = lv.rand(1, side):expand(side, side), m:t()

  for name in unary:gmatch "%S+" do
    local shaped = name == "squeeze" and lv.rand(1, n) or x
    local argument = name == "squeeze" and 1 or nil
    call(name, "f32", shaped, argument)
    if not name:find "^rand" and name ~= "squeeze" then call(name, "f64", wide) end
    if name:find "^[sma][umor][mat]" or name:find "^arg" then
      call(name, "by rows", m, 1)
      call(name, "by columns", m, 2)
      call(name, "a view", view, 1)
      call(name, "u8", bytes)
    end
  end
  for name in binary:gmatch "%S+" do
    call(name, "f32", x, x)
    call(name, "a number", x, 2)
    call(name, "stretched", m, m[1])
    if name ~= "atan2" then call(name, "u8", bytes, 1) end
  end
  for _, mode in ipairs { "f64", "i32", "u8", "bool" } do
    call("to", "f32 to " .. mode, x, mode)
    if mode ~= "u8" then call("to", "u8 to " .. mode, bytes, mode) end
  end
  call("to", "i32 to u8", whole(x), "u8")
  call("clamp", "", x, 0, 1)
  call("where", "", x:gt(1), x, 0)
  call("where", "stretched", m:gt(1), m[1], m)
  call("straight_through", "", x, x)
  call("expand", "", m[1]:clone(), side, side)
  call("view", "", x, n)
  call("reshape", "", m, side * side)
  call("unsqueeze", "", x, 1)
  call("permute", "", m, { 2, 1 })
  call("permute", "four", lv.rand(half, 4, half, 4), { 4, 3, 2, 1 })
  call("transpose", "", m, 1, 2)
  call("select", "", m, 2, 1)
  call("slice", "", m, 2, 1, side - 1)
  call("flip", "", m, { 1, 2 })
  call("roll", "", m, { 1, 1 }, { 1, 2 })
  call("roll", "all", x, 3)
  call("tril", "", m)
  call("triu", "a view", view)
  call("cat", "", { x, x }, 1)
  call("cat", "inner", { m, across }, 2)
  local many = {}
  for i = 1, math.min(n, 200) do many[i] = lv.rand(1) end
  call("cat", "many", many, 1)
  call("stack", "", { x, x }, 2)
  call("pad", "", image, { left = 2, right = 2, top = 2, bottom = 2 })
  call("pad", "reflect", image, { left = 1, right = 1, mode = "reflect" })
  call("pad", "a list", x, { 1, 1 })
  call("cumsum", "", x, 1)
  call("cumsum", "columns", m, 1)
  call("cumsum", "u8", bytes, 1)
  call("topk", "", x, math.min(n, 8))
  call("topk", "columns", m, 2, { dim = 1 })
  call("sort", "columns", m, 1)
  call("sort", "i32", whole(x * 1000))
  call("unique", "all", (x * 10):floor(), { inverse = true, counts = true })
  call("gather", "", x, 1, places(n, n))
  call("gather", "columns", m, 1, whole((m * 0):floor() + 1))
  call("scatter", "", x, 1, places(n, n), x)
  call("scatter_add", "", x, 1, places(n, n), x)
  call("scatter_add", "one place", x, 1, whole(x * 0) + 1, x)
  call("index_select", "", x, 1, places(n, n))
  call("index_select", "columns", m, 2, places(side, side))
  call("index_add", "", x, 1, places(n, n), x)
  call("index_add", "columns", m, 2, places(side, side), m)
  call("one_hot", "", places(side, side), side)
  call("one_hot", "few", places(n, 2), 2)
  call("meshgrid", "", { m[1]:clone(), m[2]:clone() })
  call("outer", "", m[1]:clone(), m[2]:clone())
  call("matmul", "", m, m)
  call("matmul", "a vector", m, lv.rand(side, 1))
  call("matmul", "many", lv.rand(n // 4 + 1, 2, 2), lv.rand(n // 4 + 1, 2, 2))
  call("matmul", "f64", m:to "f64", m:to "f64")
  call("bmm", "", lv.rand(2, side, side), lv.rand(2, side, side))
  call("linear", "", m, lv.rand(8, side), lv.rand(8))
  call("einsum", "a sum", "ij->", m)
  call("einsum", "a diagonal", "ii->i", m)
  call("einsum", "products", "ij,kj->ik", m, m)
  call("einsum", "three", "ij,jk,k->i", m, m, m[1]:clone())
  call("softmax", "rows", m, 2)
  call("softmax", "columns", m, 1)
  call("logsumexp", "", m, 2)
  call("layer_norm", "", map)
  call("rms_norm", "", map)
  call("batch_norm", "", map)
  call("group_norm", "", map, 4)
  call("instance_norm", "", map)
  call("rfft2", "", m)
  call("rfft2", "prime", lv.rand(({ [2] = 2, [31] = 31, [100] = 101, [1000] = 997 })[side] or 509,
    509))
  call("rfft2", "many", lv.rand(n // 4 + 1, 2, 2))
  call("rfft2", "one row", lv.rand(1, n))
  call("irfft2", "", lv.rand(side, side // 2 + 1, 2))
  call("pixel_shuffle", "", map, 4)
  call("pixel_unshuffle", "", lv.rand(1, 4, 2 * half, 2 * half), 2)
  call("interpolate", "nearest", image, { scale = 2 })
  call("interpolate", "bilinear", map, { scale = 2, mode = "bilinear" })
  call("interpolate", "bicubic", image, { scale = 2, mode = "bicubic" })
  call("interpolate", "smaller", image, { scale = 0.5, mode = "bicubic", antialias = true })
  call("interpolate", "trilinear", volume, { scale = 2, mode = "trilinear" })
  call("avg_pool2d", "", image, 2)
  call("avg_pool2d", "wide", image, 7, { stride = 1 })
  call("max_pool2d", "", map, 2)
  call("max_pool2d", "wide", image, 7, { stride = 1 })
  call("max_pool2d", "dilated", map, 2, { dilation = half // 2 })
  call("adaptive_avg_pool2d", "", image, { 2, 2 })
  call("grid_sample", "", map, lv.rand(1, half, half, 2))
  call("grid_sample", "nearest", image, lv.rand(1, side, side, 2), { mode = "nearest" })
  call("grid_sample", "volume", volume, lv.rand(1, 4, half, half, 3))
  call("position_encoding", "", m[1]:tolist(), m[1]:clone())
  call("tensor", "a list", x:tolist())
  call("tensor", "rows", m:tolist())
  for _, name in ipairs { "zeros", "ones", "rand", "randn" } do call(name, "", n) end
  call("zeros", "u8", n, { dtype = "u8" })
  call("full", "", 0.5, n)
  call("full_like", "", x, 2)
  call("arange", "", 1, n)
  call("linspace", "", 0, 1, n)
  call("eye", "", side)
  call("item", "", lv.rand(1))
  calls.methods(call, x, m)
  calls.decompositions(call, math.min(side, 160))
  calls.convolutions(call, side, half, map, image, volume)
  return list
end

-- Only for tensors: brackets, writing, losses and quantisers.
local brackets <const> = {
  ["x[…]"] = function(x, key) return x[key] end,
  ["x[…] = y"] = function(x, key, y) x[key] = y return x end,
}

function calls.methods(call, x, m)
  local side = m.shape[1]
  call("x[…]", "a row", m, 2)
  call("x[…]", "a column", m, { {}, 1 })
  call("x[…]", "every other", m, { { 1, -1, 2 }, { 1, -1, 2 } })
  call("x[…]", "a mask", x, x:gt(1))
  call("x[…]", "a full mask", x, x:gt(0))
  local to = m:clone()
  call("x[…] = y", "a column", to, { {}, 1 }, 0)
  call("x[…] = y", "all", to, {}, m)
  call("x[…] = y", "a mask", to, to:gt(0), 1)
  call("x[…] = y", "tables", to, 1, m[1]:tolist())
  for _, name in ipairs { "add_", "sub_", "mul_", "div_" } do call(name, "", to, 1) end
  call("copy_", "", to, m)
  call("copy_", "a view", to, m[1]:expand(side, side))
  call("clamp_", "", to, 0, 1)
  call("uniform_", "", to, 0, 1)
  call("normal_", "", to, 0, 1)
  call("trunc_normal_", "", to, 0.02)
  call("trunc_normal_", "mostly drawn again", to, 199)
  call("fill_", "", to, 1)
  call("zero_", "", to)
  local images = { lv.rand(1, 3, side + 8, side + 8), lv.rand(1, 3, side + 8, side + 8) }
  for _, name in ipairs { "l1_loss", "mse_loss", "ssim", "ms_ssim", "freq_loss" } do
    call(name, "", table.unpack(images))
  end
  local step = lv.tensor { 0.1 }
  call("codes", "", x, step)
  call("quantise", "", x, step)
  call("quantise", "with an offset", x, step, { offset = step })
  call("gaussian_bits", "", x)
  call("gaussian_bits", "f64", x:to "f64")
  call("round_straight", "", x)
  call("dropout", "", x, 0.5)
end

-- Decompositions of one matrix, and of many small ones.
function calls.decompositions(call, size)
  local m = lv.rand(size, size)
  local positive = m:matmul(m:t()) + lv.eye(size) * size
  call("eigh", "", positive)
  call("qr", "", m)
  call("qr", "wide", lv.rand(size // 2 + 1, 2 * size))
  call("solve", "", positive, lv.rand(size, 3))
  call("cholesky", "", positive)
  local many = lv.rand(size * size // 9 + 1, 3, 3) + 3 * lv.eye(3)
  for _, name in ipairs { "eigh", "qr" } do call(name, "many", many) end
  call("solve", "many", many, lv.rand(3, 1))
  call("cholesky", "many", lv.eye(3) + 0 * many)
end

-- Convolutions for each algorithm, and shapes that no fast one supports.
function calls.convolutions(call, side, half, map, image, volume)
  local function conv(what, x, shape, o)
    call("conv2d", what, x, lv.rand(table.unpack(shape)), nil, o)
  end
  conv("3×3", map, { 16, 16, 3, 3 }, { padding = 1 })
  conv("1×1", map, { 16, 16, 1, 1 })
  conv("5×5 of 3 channels", image, { 16, 3, 5, 5 }, { padding = 2 })
  conv("to 3 channels", map, { 3, 16, 3, 3 }, { padding = 1 })
  conv("one channel", lv.rand(1, 1, side, side), { 1, 1, 3, 3 }, { padding = 1 })
  conv("depthwise", map, { 16, 1, 3, 3 }, { padding = 1, groups = 16 })
  conv("depthwise 7×7", map, { 16, 1, 7, 7 }, { padding = 3, groups = 16 })
  conv("in groups", map, { 16, 4, 3, 3 }, { padding = 1, groups = 4 })
  conv("many groups", lv.rand(1, 256, 4, 4), { 256, 1, 1, 1 }, { groups = 256 })
  conv("groups of two", lv.rand(1, 256, 4, 4), { 256, 2, 3, 3 }, { groups = 128, padding = 1 })
  conv("strided", map, { 16, 16, 3, 3 }, { stride = 2, padding = 1 })
  conv("far strides", map, { 16, 16, 3, 3 }, { stride = half, padding = half })
  conv("dilated", map, { 16, 16, 3, 3 }, { dilation = 3, padding = 3 })
  conv("large kernel", lv.rand(1, 8, 16, 16), { 8, 8, 15, 15 }, { padding = 7 })
  conv("a kernel of the map's size", lv.rand(1, 4, 16, 16), { 4, 4, 16, 16 })
  conv("one pixel, many channels", lv.rand(1, 512, 1, 1), { 512, 512, 1, 1 })
  conv("3×3 of one pixel", lv.rand(1, 64, 1, 1), { 64, 64, 3, 3 }, { padding = 1 })
  conv("many images", lv.rand(64, 8, 2, 2), { 8, 8, 3, 3 }, { padding = 1 })
  conv("mostly padding", lv.rand(1, 8, 2, 2), { 8, 8, 3, 3 }, { padding = half })
  conv("a row", lv.rand(1, 8, 1, 4 * half), { 8, 8, 1, 9 }, { padding = { 0, 4 } })
  call("conv2d", "f64", map:to "f64", lv.rand(4, 16, 3, 3):to "f64")
  call("conv2d", "of what is pending", map:sin():exp() + 1, lv.rand(16, 16, 3, 3), nil,
    { padding = 1 })
  -- Recomputed for each window that reads it: a call that can be made only once.
  call(function(x, w)
    for _ = 1, 60 do x = x:sin() end
    return x:conv2d(w, nil, { padding = 4 })
  end, "conv2d of a long chain", image, lv.rand(8, 3, 9, 9))
  call(function(x)
    for _ = 1, 60 do x = x:pow(1.5) end
    return x
  end, "a long chain of pow", image)
  call("conv2d", "of a view", lv.rand(1, 1, 1, 1):expand(1, 16, half, half), lv.rand(16, 16, 3, 3))
  local function back(what, x, shape, o)
    call("conv_transpose2d", what, x, lv.rand(table.unpack(shape)), nil, o)
  end
  back("4×4", map, { 16, 8, 4, 4 }, { stride = 2, padding = 1 })
  back("far strides", lv.rand(1, 8, 4, 4), { 8, 8, 3, 3 }, { stride = half })
  back("in groups", map, { 16, 1, 3, 3 }, { groups = 16 })
  back("dilated", map, { 16, 8, 3, 3 }, { dilation = 2 })
  call("conv_transpose2d", "f64", lv.rand(1, 4, 8, 8):to "f64", lv.rand(4, 4, 3, 3):to "f64")
  call("conv3d", "", volume, lv.rand(4, 4, 3, 3, 3), nil, { padding = 1 })
  call("conv3d", "in groups", volume, lv.rand(4, 1, 3, 3, 3), nil, { groups = 4 })
  call("conv3d", "strided", volume, lv.rand(4, 4, 1, 3, 3), nil, { stride = 2 })
end

-- The number of elements in tensors, lists of tensors, and results.
local function elements(value, depth)
  if lv.is_tensor(value) then return value:numel() end
  if type(value) ~= "table" or depth > 2 then return 0 end
  local sum = 0
  for _, item in pairs(value) do sum = sum + elements(item, depth + 1) end
  return sum
end

-- Runs a call, and computes its result.
function calls.run(call)
  local f = type(call[1]) == "function" and call[1] or brackets[call[1]] or native[call[1]]
  local results = table.pack(f(table.unpack(call[3], 1, call[3].n)))
  for i = 1, results.n do
    if lv.is_tensor(results[i]) then results[i]:evaluate() end
  end
  return results
end

-- The number of elements that a call gets and returns.
function calls.elements(call, results) return elements(call[3], 0), elements(results, 0) end

return calls
