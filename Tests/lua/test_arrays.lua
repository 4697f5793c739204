-- Operators that order, index, arrange and contract, further functions and norms, linear algebra,
-- as Lua sees them: forms of calls, results, messages. ArrayOperatorTests holds numbers to PyTorch.
local harness <const> = require "harness"
local gradients <const> = require "gradients"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"

local nn <const> = lv.nn
local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local function evaluated(module, x)
  return lv.no_grad(function() return module(x) end)
end

local function i32(...) return lv.tensor(..., { dtype = "i32" }) end

-- Order -------------------------------------------------------------------------------------------

test("a threshold on a map whose channels do not fill a vector sums no padding", function()
  local x = lv.conv2d(lv.zeros(2, 3, 4, 4), lv.zeros(5, 3, 1, 1))
  local of_image = lv.tensor({ 10, 20 }):view(2, 1, 1, 1)
  equal((x + of_image - 5):relu():sum():item(), 16 * 5 * (5 + 15))
  equal((x + of_image):gt(3):sum():item(), 2 * 16 * 5)
  local of_pixel = lv.full(7, 1, 1, 4, 4)
  equal((x + of_pixel):clamp(5, 6):sum():item(), 2 * 16 * 5 * 6)
  equal((x * of_pixel):sum():item(), 0)
end)

test("tensors without dimensions have results and gradients without dimensions", function()
  for _, f in ipairs { function(x) return x:relu() end, function(x) return x:clamp(0, 1) end,
    function(x) return x:logsumexp() end, function(x) return x:std { unbiased = false } end } do
    local x = lv.tensor(0.5, { requires_grad = true })
    local y = f(x)
    equal(#y.shape, 0)
    y:backward()
    equal(#x.grad.shape, 0)
  end
  equal(#lv.tensor(2.0):dropout(0.5).shape, 0)
end)

test("a clamp whose least exceeds its most gives the most", function()
  for _, dtype in ipairs { "f32", "f64" } do
    equal(lv.tensor({ 0, 1.5, 3 }, { dtype = dtype }):clamp(2, 1):tolist(), { 1, 1, 1 })
  end
end)

test("where takes any number that is not 0", function()
  local mask = lv.tensor({ 300, 0, -1 }, { dtype = "i32" })
  local a, b = lv.full(1, 3):to "u8", lv.full(2, 3):to "u8"
  equal(lv.where(mask, a, b):tolist(), { 1, 2, 1 })
end)

test("sizes of convolutions beyond 64 bits are errors", function()
  local wide = lv.zeros(1, 1, 1, 1, 1):expand(1, 1, 1, 1 << 22, 1 << 22)
  raises(function()
    wide:conv3d(lv.zeros(1, 1, 1 << 20, 1, 1), nil,
      { stride = { 1 << 20, 1 << 20, 1 << 20 }, padding = { 1 << 20, 0, 0 } })
  end, "too large")
end)

test("sort gives numbers and places, by any form of call", function()
  local x = lv.tensor { { 3, 1, 2 }, { 5, 6, 4 } }
  local values, places = x:sort()
  equal(values:tolist(), { { 1, 2, 3 }, { 4, 5, 6 } })
  equal({ places:tolist(), places.dtype }, { { { 2, 3, 1 }, { 3, 1, 2 } }, "i32" })
  equal(x:gather(2, places):tolist(), values:tolist())
  for _, descending in ipairs { true, { descending = true } } do
    equal(lv.sort(x, 1, descending):tolist(), { { 5, 6, 4 }, { 3, 1, 2 } })
    equal(x:argsort(-1, descending):tolist(), { { 1, 3, 2 }, { 2, 1, 3 } })
  end
  equal(x:sort({ descending = true, dim = 1 }):tolist(), { { 5, 6, 4 }, { 3, 1, 2 } })
  equal(x:topk(1, { largest = false }):tolist(), { { 1 }, { 4 } })
  local top, where = x:topk(2)
  equal({ top:tolist(), where:tolist() }, { { { 3, 2 }, { 6, 5 } }, { { 1, 3 }, { 2, 1 } } })
  equal(x:topk(1, 1, { largest = false }):tolist(), { { 3, 1, 2 } })
  raises(function() x:sort(3) end, "sort: expected a dimension from 1 to 2, got 3")
  raises(function() x:sort(1, { decending = true }) end, "unknown option 'decending'")
  raises(function() x:topk(4) end, "topk: expected from 0 to 3 numbers, got 4")
end)

test("argmax and argmin count from 1", function()
  local x = lv.tensor { { 3, 1, 3 }, { 5, 6, 4 } }
  equal({ x:argmax():item(), x:argmin():item() }, { 5, 2 })
  equal(x:argmax(2):tolist(), { 1, 2 })
  equal(x:argmax({ dim = 2, keepdim = true }):tolist(), { { 1 }, { 2 } })
  equal(x:argmin(1, true).shape, { 1, 3 })
  raises(function() x:argmax(1, { dim = 1 }) end, "argmax: a dimension was given twice")
  equal(x:argmin(1, { keepdim = true }):tolist(), { { 1, 1, 1 } })
  raises(function() lv.zeros(0):argmax() end, "argmax: expected at least one element, got (0)")
end)

test("unique gives what it is asked for", function()
  local x = lv.tensor { { 3, 1 }, { 3, 2 } }
  equal(select("#", x:unique()), 1)
  local values, inverse, counts = x:unique { inverse = true, counts = true }
  equal(values:tolist(), { 1, 2, 3 })
  equal({ inverse:tolist(), counts:tolist() }, { { { 3, 1 }, { 3, 2 } }, { 1, 1, 2 } })
  equal(values:index_select(1, inverse:flatten()):view(2, 2):tolist(), x:tolist())
  local _, second = x:unique { counts = true }
  equal(second:tolist(), { 1, 1, 2 })
end)

-- Places ------------------------------------------------------------------------------------------

test("indices count from 1, or from the end, and are checked", function()
  local x = lv.tensor { 10, 20, 30 }
  equal(x:gather(1, i32 { 3, 1, -1, -3 }):tolist(), { 30, 10, 30, 10 })
  equal(x:index_select(1, { 2, -1 }):tolist(), { 20, 30 })
  equal(x:index_select(1, i32 { 2, -1 }):tolist(), { 20, 30 })
  raises(function() x:gather(1, i32 { 0 }) end, "gather: positions count from 1, got 0")
  raises(function() x:gather(1, i32 { 4 }) end, "gather: expected a position from 1 to 3, got 4")
  raises(function() x:gather(1, x) end, "gather: expected an i32 index, got f32")
  raises(function() x:index_select(1, { 4 }) end,
    "index_select: expected a position from 1 to 3, got 4")
  raises(function() x:index_select(1, 4) end, "expected tensor or table, got number")
  raises(function() x:index_add(1, { 1 }, x) end, "index_add: expected a source of (1), got (3)")
end)

test("scatter, scatter_add and index_add", function()
  local zeros = lv.zeros(4)
  equal(zeros:scatter(1, i32 { 4, 2 }, lv.tensor { 1, 2 }):tolist(), { 0, 2, 0, 1 })
  equal(zeros:scatter(1, i32 { 4, 2 }, 7):tolist(), { 0, 7, 0, 7 })
  equal(zeros:scatter_add(1, i32 { 2, 2, -1 }, 1):tolist(), { 0, 2, 0, 1 })
  equal(zeros:tolist(), { 0, 0, 0, 0 })
  local rows = lv.tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } }
  for _, index in ipairs { { 2, 1, 2 }, i32 { 2, 1, 2 } } do
    equal(lv.zeros(2, 2):index_add(1, index, rows):tolist(), { { 3, 4 }, { 6, 8 } })
  end
  raises(function() zeros:scatter(1, i32 { 1 }, i32 { 1 }) end, "expected a source of f32, got i32")
  raises(function() i32 { 2147483647 }:scatter_add(1, i32 { 1 }, 1) end,
    "expected a result that i32 holds, got 2147483648")
end)

test("one_hot counts classes from 1", function()
  local hot = i32 { 2, 1 }:one_hot(3)
  equal({ hot:tolist(), hot.dtype }, { { { 0, 1, 0 }, { 1, 0, 0 } }, "f32" })
  equal(i32 { { 2 } }:one_hot(nil, { dtype = "u8" }):tolist(), { { { 0, 1 } } })
  raises(function() i32 { 0 }:one_hot() end, "one_hot: classes count from 1, got 0")
  raises(function() i32 { 5 }:one_hot(3) end, "one_hot: expected classes from 1 to 3, got 5")
end)

-- Arrangements ------------------------------------------------------------------------------------

test("cumsum, flip, roll, triangles", function()
  local x = lv.arange(1, 6):view(2, 3)
  equal(x:cumsum(2):tolist(), { { 1, 3, 6 }, { 4, 9, 15 } })
  equal(i32 { 1, 2 }:cumsum(1).dtype, "f64")
  equal(x:flip(1, 2):tolist(), { { 6, 5, 4 }, { 3, 2, 1 } })
  equal(x:flip({ -1 }):tolist(), { { 3, 2, 1 }, { 6, 5, 4 } })
  equal(x:roll(1):tolist(), { { 6, 1, 2 }, { 3, 4, 5 } })
  equal(x:roll(-1, 2):tolist(), { { 2, 3, 1 }, { 5, 6, 4 } })
  equal(x:roll({ 1, 1 }, { 1, 2 }):tolist(), { { 6, 4, 5 }, { 3, 1, 2 } })
  equal(x:tril():tolist(), { { 1, 0, 0 }, { 4, 5, 0 } })
  equal(x:triu(1):tolist(), { { 0, 2, 3 }, { 0, 0, 6 } })
  raises(function() x:flip(1, 1) end, "flip: a dimension is named twice")
  raises(function() x:roll(1, { 1, 2 }) end, "roll: expected a shift for each dimension")
end)

test("meshgrid gives a tensor for each list", function()
  local y, x = lv.meshgrid { lv.tensor { 1, 2 }, lv.tensor { 3, 4, 5 } }
  equal(y:tolist(), { { 1, 1, 1 }, { 2, 2, 2 } })
  equal(x:tolist(), { { 3, 4, 5 }, { 3, 4, 5 } })
  local a, b = lv.meshgrid({ lv.tensor { 1, 2 }, lv.tensor { 3, 4, 5 } }, { indexing = "xy" })
  equal({ a:tolist(), b.shape }, { { { 1, 2 }, { 1, 2 }, { 1, 2 } }, { 3, 2 } })
  raises(function() lv.meshgrid {} end, "meshgrid: expected at least one tensor")
  raises(function() lv.meshgrid({ a }) end, "meshgrid: tensor 1: expected one dimension")
  raises(function() lv.meshgrid({ lv.ones(1) }, { indexing = "yx" }) end, "known: ij, xy")
end)

test("einsum", function()
  local a, b = lv.arange(1, 6):view(2, 3), lv.arange(1, 6):view(3, 2)
  equal(lv.einsum("ij,jk->ik", a, b):tolist(), a:matmul(b):tolist())
  equal(lv.einsum("ij, jk", a, b):tolist(), a:matmul(b):tolist())
  equal(lv.einsum("ij->j", a):tolist(), a:sum(1):tolist())
  equal(lv.einsum("ii", lv.eye(4)):item(), 4)
  equal(lv.outer(lv.tensor { 1, 2 }, lv.tensor { 3, 4 }):tolist(), { { 3, 4 }, { 6, 8 } })
  equal(lv.bmm(lv.ones(2, 1, 3), lv.ones(2, 3, 1)):tolist(), { { { 3 } }, { { 3 } } })
  equal(lv.einsum("...i->i", a):tolist(), a:sum(1):tolist())
  equal(lv.einsum("ij,jk,k->i", a, b, lv.ones(2)):tolist(), a:matmul(b):sum(2):tolist())
  raises(function() lv.einsum("..i->i", a) end, "einsum: expected letters, '...', ',' and '->'")
  raises(function() lv.einsum("ij,jk->ik", a) end, "names 2 tensors, but 1 were given")
  raises(function() lv.einsum("ij,ik->jk", a, b) end, "einsum: 'i': expected one size, got 2 and 3")
  raises(function() lv.einsum("ij->il", a) end, "einsum: 'l' of the result is in no tensor")
  raises(function() lv.einsum("i;j->i", a) end, "got ';'")
  raises(function() lv.einsum("abcde,fghijkl->abcdefghijkl", lv.ones(1, 1, 1, 1, 1),
    lv.ones(1, 1, 1, 1, 1, 1, 1)) end, "einsum: a tensor has at most 8 dimensions")
end)

-- Functions, norms --------------------------------------------------------------------------------

test("functions by their forms", function()
  local x = lv.tensor { -2, 0, 2 }
  near(x:softplus()[2]:item(), math.log(2), 1e-7)
  near(x:softplus { beta = 2 }[2]:item(), math.log(2) / 2, 1e-7)
  equal(x:leaky_relu { slope = 0.5 }:tolist(), { -1, 0, 2 })
  equal(x:leaky_relu(0.25):tolist(), { -0.5, 0, 2 })
  near(x:leaky_relu()[1]:item(), -0.02, 1e-8)
  near(lv.atan2(lv.tensor { 1 }, -1):item(), 3 * math.pi / 4, 1e-6)
  near(x:logsumexp():item(), math.log(math.exp(-2) + 1 + math.exp(2)), 1e-6)
  equal(lv.zeros(2, 3):logsumexp(1, true).shape, { 1, 3 })
  equal(lv.zeros(2, 3):logsumexp({ dim = { 1, 2 }, keepdim = true }).shape, { 1, 1 })
  equal(lv.zeros(2, 3):logsumexp({ 1, 2 }, { keepdim = true }).shape, { 1, 1 })
end)

test("batch normalisation follows batches in training, and is its statistics' after", function()
  local norm = nn.BatchNorm2d(3)
  local x = lv.randn(4, 3, 5, 6) * 2 + 1
  local y = norm(x)
  near(y:mean():item(), 0, 1e-5)
  near(y:std():item(), 1, 1e-3)
  local mean, var = x:mean { 1, 3, 4 }, x:var({ 1, 3, 4 }, { unbiased = true })
  near((norm.running_mean - mean * 0.1):abs():amax():item(), 0, 1e-6)
  near((norm.running_var - 0.9 - var * 0.1):abs():amax():item(), 0, 1e-5)
  local before = norm.running_mean:tolist()
  local calm = evaluated(norm, x)
  equal(norm.running_mean:tolist(), before)
  local expected = x:batch_norm(norm.running_mean, norm.running_var, norm.weight, norm.bias)
  equal(calm:tolist(), expected:tolist())
  norm.training = false
  equal(norm(x):tolist(), calm:tolist())
  norm.training = true
  evaluated(norm, x)
  equal(norm.running_mean:tolist()[1] == before[1], false)
  -- Buffers are stored with the state, and are not trained.
  equal(#norm:parameters(), 2)
  local names = {}
  for i, entry in ipairs(norm:state_dict()) do names[i] = entry[1] end
  equal(names, { "weight", "bias", "running_mean", "running_var" })
  equal(#nn.BatchNorm2d(3, { affine = false }):parameters(), 0)
  -- A checkpointed part is repeated in the backward pass, but its statistics move once.
  local twin, whole = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
  local map = lv.randn(3, 2, 4, 5, { requires_grad = true })
  lv.checkpoint(twin, map):sum():backward()
  whole(map):sum():backward()
  equal(twin.running_mean:tolist(), whole.running_mean:tolist())
  equal(twin.running_var:tolist(), whole.running_var:tolist())
  raises(function() norm(lv.ones(2, 3)) end, "nn.BatchNorm2d: expected (n, channels, h, w), got (2")
  raises(function() norm(lv.ones(2, 4, 1, 1)) end, "nn.BatchNorm2d: expected 3 channels, got 4")
  raises(function() x:batch_norm(lv.ones(4), lv.ones(3)) end,
    "batch_norm: mean must have shape (3), got (4)")
  raises(function() nn.BatchNorm2d(3, { moment = 1 }) end, "unknown option 'moment'")
end)

test("norms of groups and vectors, with gradients", function()
  -- Differences are taken without recording.
  gradients.check(nn.BatchNorm2d(3, { training = true }), { lv.randn(2, 3, 4, 5) })
  gradients.check(nn.BatchNorm2d(3, { training = false }), { lv.randn(2, 3, 4, 5) })
  gradients.check(nn.GroupNorm(2, 4), { lv.randn(2, 4, 3, 3) })
  gradients.check(nn.RMSNorm(4), { lv.randn(2, 4, 3, 3) })
  gradients.check(nn.RMSNorm(5, { dim = -1 }), { lv.randn(3, 5) })
  raises(function() nn.GroupNorm(3, 4) end, "nn.GroupNorm: expected groups that divide 4 channels")
  raises(function() lv.ones(1, 4):group_norm(3) end, "group_norm: expected groups that divide 4")
end)

test("dropout drops while gradients are recorded, by default", function()
  local drop, x = nn.Dropout(0.5), lv.ones(1000)
  lv.seed(3)
  local share = drop(x):gt(0):sum():item()
  assert(share > 400 and share < 600, share)
  lv.seed(3)
  equal(drop(x):gt(0):sum():item(), share)
  equal(evaluated(drop, x):sum():item(), 1000)
  drop.training = false
  equal(drop(x):sum():item(), 1000)
  equal(x:dropout(0.5, { training = false }):sum():item(), 1000)
  raises(function() x:dropout(2) end, "dropout: expected a probability from 0 to 1, got 2")
  raises(function() nn.Dropout(-1) end, "nn.Dropout: expected a probability from 0 to 1, got -1")
end)

-- Linear algebra ----------------------------------------------------------------------------------

test("decompositions", function()
  local a = lv.tensor({ { 2, 1 }, { 1, 2 } }, { dtype = "f64" })
  local values, vectors = a:eigh()
  near(values[1]:item(), 1, 1e-12)
  near(values[2]:item(), 3, 1e-12)
  near((vectors:t():matmul(vectors) - lv.eye(2, { dtype = "f64" })):abs():amax():item(), 0, 1e-12)
  local q, r = a:qr()
  near((q:matmul(r) - a):abs():amax():item(), 0, 1e-12)
  local l = a:cholesky()
  near((l:matmul(l:t()) - a):abs():amax():item(), 0, 1e-12)
  local x = a:solve(lv.tensor({ 3, 3 }, { dtype = "f64" }))
  near((x - 1):abs():amax():item(), 0, 1e-12)
  raises(function() lv.ones(2, 2):solve(lv.ones(2)) end, "solve: the matrix is singular")
  raises(function() lv.ones(2, 3):eigh() end, "eigh: expected (…, n, n), got (2, 3)")
  raises(function() (-a):cholesky() end, "cholesky: expected a positive definite matrix",
    "got one whose leading 1×1 block is not")
  raises(function() (a / 0):qr() end, "qr: expected finite numbers, got inf or nan")
end)

test("irfft2 undoes rfft2", function()
  for _, width in ipairs { 6, 7 } do
    local x = lv.randn(2, 5, width)
    near((x:rfft2():irfft2 { width = width } - x):abs():amax():item(), 0, 1e-5)
  end
  equal(lv.zeros(4, 3, 2):irfft2().shape, { 4, 4 })
  raises(function() lv.zeros(4, 3, 2):irfft2 { width = 7 } end,
    "irfft2: expected a width of 4 or 5, got 7")
end)

-- Programs in files -----------------------------------------------------------------------------

test("all but dropout may be used by decoders in files", function()
  local pure = {}
  for _, name in ipairs(native.pure_operators) do pure[name] = true end
  for name in ([[sort argsort topk argmax argmin unique gather scatter scatter_add index_select
    index_add one_hot cumsum flip roll tril triu meshgrid bmm outer einsum softplus leaky_relu
    hardswish log1p expm1 log2 atan2 logsumexp batch_norm group_norm rms_norm eigh qr solve cholesky
    irfft2]]):gmatch "%S+" do
    equal({ name, pure[name] }, { name, true })
  end
  equal(pure.dropout, nil)
end)
