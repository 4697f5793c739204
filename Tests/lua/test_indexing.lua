-- Elements of tensors by their place, read and assigned; forms that people type first.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local function f64(...) return lv.tensor(..., { dtype = "f64" }) end
local function i32(...) return lv.tensor(..., { dtype = "i32" }) end
local function u8(...) return lv.tensor(..., { dtype = "u8" }) end

-- The whole message, without the place where it was raised.
local function says(body, message)
  local ok, problem = pcall(body)
  if ok then error("expected an error, none came", 2) end
  local text = tostring(problem):gsub("^[^:]*:%d+: ", "")
  if text ~= message then error(("expected '%s', got '%s'"):format(message, text), 2) end
end

-- x is (2, 3, 4): 1 to 24.
local function cube() return lv.arange(1, 24):view(2, 3, 4):clone() end

-- Reading -----------------------------------------------------------------------------------------

test("a number gives a row, from either end", function()
  local x = cube()
  equal(x[1].shape, { 3, 4 })
  equal(x[2][3][4]:item(), 24)
  equal(x[-1]:tolist(), x:select(1, 2):tolist())
  equal(x[2.0][-3]:tolist(), { 13, 14, 15, 16 })
  local row = lv.tensor { 5, 6, 7 }
  equal({ row[2]:dim(), row[2]:item(), row[-1]:item() }, { 0, 6, 7 })
  for _, dtype in ipairs { "f64", "i32", "u8", "bool" } do
    local bits = lv.tensor({ { 0, 1 }, { 1, 1 } }, { dtype = dtype })
    equal({ bits[1].dtype, bits[1]:tolist() }, { dtype, { 0, 1 } })
  end
end)

test("ipairs visits the rows", function()
  local x, seen = cube()[1], {}
  for i, row in ipairs(x) do seen[i] = row:sum():item() end
  equal(seen, { 10, 26, 42 })
  equal({ #x, x[#x + 1] }, { 3, nil })
  for _ in ipairs(lv.zeros(0, 3)) do error "reached" end
end)

test("a table gives a block: inclusive ranges, steps, dimensions dropped", function()
  local x = cube()
  local function has(key, shape, list)
    equal(x[key].shape, shape)
    equal(x[key]:view(-1):tolist(), list)
  end
  has({ 2, 1, -1 }, {}, { 16 })
  has({ 1, { 2, 3 }, { 1, -1, 3 } }, { 2, 2 }, { 5, 8, 9, 12 })
  has({ {}, {}, -1 }, { 2, 3 }, { 4, 8, 12, 16, 20, 24 })
  has({ {}, { 2, 2 }, 1 }, { 2, 1 }, { 5, 17 })
  has({ { -1, -1 }, 3 }, { 1, 4 }, { 21, 22, 23, 24 })
  has({ {}, { 1, 3, 2 }, { 1, 4, 5 } }, { 2, 2, 1 }, { 1, 9, 13, 21 })
  has({ { 1, 2, math.maxinteger }, 3, { -2, -1 } }, { 1, 2 }, { 11, 12 })
  equal(x[{}]:tolist(), x:tolist())
  equal(lv.zeros(0, 3)[{ {}, 2 }].shape, { 0 })
  -- Channels lie last in what a convolution makes.
  local map = lv.arange(1, 60):view(1, 5, 3, 4):conv2d(lv.eye(5):view(5, 5, 1, 1))
  equal(map[{ {}, { 2, 4, 2 }, {}, { 1, 2 } }]:tolist(),
    lv.arange(1, 60):view(1, 5, 3, 4)[{ {}, { 2, 4, 2 }, {}, { 1, 2 } }]:tolist())
  equal(map[{ 1, -1, 2 }]:tolist(), { 53, 54, 55, 56 })
  equal((map * 2)[1][5][1][1]:item(), 98)
end)

test("a mask gives the elements it chooses", function()
  local x = lv.tensor { { 1, -2 }, { -3, 4 } }
  equal(x[x:gt(0)]:tolist(), { 1, 4 })
  for _, dtype in ipairs { "bool", "u8", "i32", "f64" } do
    equal(x[x:lt(0):to(dtype)]:tolist(), { -2, -3 })
  end
  equal(x[x:gt(9)].shape, { 0 })
  equal(u8 { 7, 8, 9 }[u8 { 1, 0, 1 }]:tolist(), { 7, 9 })
  equal(f64(2)[f64(1)]:tolist(), { 2 })
end)

-- Writing -----------------------------------------------------------------------------------------

test("numbers, tensors and tables are assigned", function()
  local x = lv.zeros(2, 3)
  x[1] = 5
  x[-1] = lv.tensor { 1, 2, 3 }
  equal(x:tolist(), { { 5, 5, 5 }, { 1, 2, 3 } })
  x[{ {}, 2 }] = lv.tensor { 7, 8 }
  x[{ 2, { 1, 3, 2 } }] = -1
  equal(x:tolist(), { { 5, 7, 5 }, { -1, 8, -1 } })
  x[{ 1, 1 }] = lv.tensor { { 4 } }
  x[x:lt(0)] = 0
  x[x:eq(7)] = lv.tensor { 70 }
  equal(x:tolist(), { { 4, 70, 5 }, { 0, 8, 0 } })
  x[x:gt(7)] = lv.tensor { 1, 2 }
  x[2] = { 6, 6, 9 }
  equal(x:tolist(), { { 4, 1, 5 }, { 6, 6, 9 } })
  x[{}] = lv.tensor { 1, 2, 3 }
  equal(x:tolist(), { { 1, 2, 3 }, { 1, 2, 3 } })
  x[{ {}, { 1, 2 } }] = lv.tensor { { 10 }, { 20 } }
  equal(x:tolist(), { { 10, 10, 3 }, { 20, 20, 3 } })
  local levels = u8 { 1, 2, 3 }
  levels[2], levels[levels:eq(u8(3))] = 255, 0
  equal(levels:tolist(), { 1, 255, 0 })
  lv.zeros(0, 3)[{ {}, 2 }] = 5
end)

test("earlier results of a tensor do not see writes to it, nor write to it", function()
  local x = lv.arange(1, 4)
  local pending, view, row, part = x * 10, x:view(2, 2), x[2], x[{ { 1, 2 } }]
  x[2] = 50
  x[x:gt(3.5)] = 0
  equal(x:tolist(), { 1, 0, 3, 0 })
  equal({ pending:tolist(), view:tolist(), row:item(), part:tolist() },
    { { 10, 20, 30, 40 }, { { 1, 2 }, { 3, 4 } }, 2, { 1, 2 } })
  local y = cube()
  y[1] = y[2]
  y[{ 2, {}, 1 }] = y[{ 1, {}, 4 }]
  equal(y[{ {}, 1 }]:tolist(), { { 13, 14, 15, 16 }, { 16, 14, 15, 16 } })
  y[{}] = y
  equal(y:sum():item(), cube()[2]:sum():item() * 2 + 9)
  local own <const> = "x[…] returns a separate value"
  raises(function() x[{ { 1, 2 } }][1] = 5 end, own, ":clone()")
  raises(function() x[{ { 1, 2 } }]:fill_(5) end, "fill_: " .. own)
  raises(function() y[1][1][1] = 5 end, "tensor: " .. own, "x[{ … }] = y")
  raises(function() y:view(-1)[1] = 5 end, ":view returns")
  -- A copy is separate storage.
  local copy = y[1]:clone()
  copy[1] = 0
  local chosen = x[x:gt(0)]
  chosen[1] = 9
  equal({ copy:amin():item(), chosen:tolist(), x:tolist() }, { 0, { 9, 3 }, { 1, 0, 3, 0 } })
end)

test("padding lanes stay zero, whatever is written", function()
  local map = lv.ones(1, 3, 4, 4):conv2d(lv.ones(3, 3, 1, 1))
  map[{ {}, 2 }] = 7
  map[map:eq(3)] = 2
  equal({ map:sum():item(), map:mean { 1, 3, 4 }:tolist() }, { 16 * 11, { 2, 7, 2 } })
  equal(map:conv2d(lv.ones(1, 3, 1, 1)):amax():item(), 11)
end)

-- Gradients ---------------------------------------------------------------------------------------

local function leaf(numbers) return lv.nn.parameter(f64(numbers)) end

test("gradients flow through what is read", function()
  local x = leaf { { 1, 2, 3 }, { 4, 5, 6 } }
  local y = (x[1] * f64 { 1, 10, 100 }):sum() + 3 * x[-1][2] + x[{ {}, { 1, 3, 2 } }]:square():sum()
    + 7 * x[x:gt(4)]:sum()
  y:backward()
  equal(x.grad:tolist(), { { 1 + 2, 10, 100 + 6 }, { 8, 3 + 7, 12 + 7 } })
end)

test("gradients flow through what is written, to both", function()
  local a, b = leaf { 1, 2, 3, 4 }, leaf { 5, 6 }
  local y = a * 2
  equal({ y.requires_grad, y.is_leaf }, { true, false })
  local before = y:square():sum()
  y[{ { 2, 3 } }] = b
  y[4] = 0
  y[f64 { 1, 0, 0, 0 }] = b[2] * 10
  equal(y:tolist(), { 60, 5, 6, 0 })
  ;((y * f64 { 1, 2, 3, 4 }):sum() + before):backward()
  equal(a.grad:tolist(), { 8, 16, 24, 32 })
  equal(b.grad:tolist(), { 2, 3 + 10 })
  -- A tensor that no gradient flowed to becomes part of the graph.
  local canvas = lv.zeros(2, 2, { dtype = "f64" })
  b.grad = nil
  canvas[{ {}, 1 }] = b
  canvas[2] = b * 3
  assert(canvas.requires_grad and not canvas.is_leaf)
  ;(canvas * f64 { { 1, 2 }, { 3, 4 } }):sum():backward()
  equal(b.grad:tolist(), { 1 + 9, 12 })
  -- One number for many places gets all their gradients.
  local c, wide = leaf(2), lv.zeros(3, { dtype = "f64" })
  wide[{}] = c
  wide[f64 { 1, 0, 1 }] = c * c
  ;(wide * f64 { 1, 10, 100 }):sum():backward()
  equal(c.grad:item(), 10 + 101 * 4)
end)

test("writing to a parameter is an error while gradients are recorded", function()
  local w = leaf { 1, 2 }
  local refused <const> = "tensor: a tensor that gradients flow through cannot be written in place "
    .. "(use no_grad or :detach():clone())"
  says(function() w[1] = 5 end, refused)
  says(function() w[w:gt(0)] = 5 end, refused)
  local loss, y = w:square():sum(), w * 2
  lv.no_grad(function()
    w[1] = 5
    says(function() y[1] = 5 end, refused)
  end)
  loss:backward()
  equal({ w:tolist(), w.grad:tolist() }, { { 5, 2 }, { 2, 4 } })
  -- Inside no_grad what is assigned counts as a constant.
  local canvas = lv.zeros(2, { dtype = "f64" })
  lv.no_grad(function() canvas[1] = w[2] end)
  equal({ canvas.requires_grad, canvas:tolist() }, { false, { 2, 0 } })
end)

test("long chains of writes are traversed, and their saved values are freed", function()
  local w, y = leaf { 1 }, lv.zeros(200, { dtype = "f64" })
  for i = 1, 200 do y[i] = w[1] * i end
  y:sum():backward()
  equal(w.grad:tolist(), { 20100 })
end)

-- Errors ------------------------------------------------------------------------------------------

test("a bad index is an error that says what was expected", function()
  local x = lv.zeros(4, 3)
  says(function() return x[7] end, "tensor: expected an index from 1 to 4 or -4 to -1, got 7")
  says(function() return x[0] end, "tensor: expected an index from 1 to 4 or -4 to -1, got 0")
  says(function() return x[-5] end, "tensor: expected an index from 1 to 4 or -4 to -1, got -5")
  says(function() x[5] = 1 end, "tensor: expected an index from 1 to 4 or -4 to -1, got 5")
  says(function() return x[1.5] end, "tensor: expected an integer as index, got 1.5")
  says(function() return x[math.mininteger] end,
    "tensor: expected an index from 1 to 4 or -4 to -1, got -9223372036854775808")
  says(function() return x[true] end,
    "tensor: expected a number, a table or a mask as index, got boolean")
  says(function() return lv.zeros(0)[2] end, "tensor: expected no index into a size of 0, got 2")
  says(function() return lv.full(1)[1] end,
    "tensor: expected no index into a tensor without dimensions (:item() is its number)")
  says(function() return x[{ 1, 1, 1 }] end,
    "tensor: expected an index of at most 2 dimensions, got 3")
  says(function() return x[{ {}, 4 }] end,
    "tensor: dimension 2: expected an index from 1 to 3 or -3 to -1, got 4")
  says(function() return x[{ { 3, 1 } }] end,
    "tensor: dimension 1: expected an ascending range with a step of at least 1, got {3, 1, 1}")
  says(function() return x[{ { 1, 3, 0 } }] end,
    "tensor: dimension 1: expected an ascending range with a step of at least 1, got {1, 3, 0}")
  local forms <const> = "expected a number, {}, {first, last} or {first, last, step}"
  says(function() return x[{ { 1 } }] end,
    "tensor: dimension 1: " .. forms .. ", got another table")
  says(function() return x[{ 1, "a" }] end, "tensor: dimension 2: " .. forms .. ", got string")
  says(function() return x[{ { first = 1 } }] end,
    "tensor: dimension 1: " .. forms .. ", got another table")
  for _, key in ipairs { { nil, 2 }, { row = 1 }, { 1, 1, 1, 1, 1, 1, 1, 1, 1 } } do
    says(function() return x[key] end, "tensor: expected a list as index: a number, {}, "
      .. "{first, last} or {first, last, step} for each dimension")
  end
  says(function() return x[lv.zeros(3)] end,
    "tensor: expected a mask of shape (4, 3), got (3)")
  raises(function() return x[lv.full(2, 4, 3)] end, "a mask must contain zeros and ones, got 2.0")
end)

test("an impossible assignment is an error, and nothing is written", function()
  local x = lv.zeros(2, 3)
  says(function() x[1] = lv.ones(2) end, "tensor: expected (3) to assign, got (2)")
  says(function() x[{ {}, 1 }] = lv.ones(1, 3) end, "tensor: expected (2) to assign, got (1, 3)")
  says(function() x[1] = f64 { 1, 2, 3 } end, "tensor: expected f32 to assign, got f64 (use :to)")
  says(function() x[x:eq(0)] = lv.ones(5) end,
    "tensor: expected a number or shape (6) to assign, got (5)")
  says(function() x[1] = "one" end,
    "tensor: expected a number, a tensor or tables of numbers, got string")
  says(function() x[1] = nil end,
    "tensor: expected a number, a tensor or tables of numbers, got nil")
  says(function() x[1] = { 1, 2 } end, "tensor: expected (3) to assign, got (2)")
  says(function() x[1] = { 1, "b", 2 } end,
    "tensor: expected numbers in nested tables, got a string")
  says(function() u8 { 1 }[1] = 256 end, "tensor: expected an integer from 0 to 255, got 256")
  says(function() x.shape = { 6 } end, "'shape' of a tensor cannot be assigned")
  says(function() x.sum = 1 end, "tensor: 'sum' of a tensor cannot be assigned")
  equal(x:abs():sum():item(), 0)
end)

test("a name that does not exist comes with the nearest ones", function()
  local x = lv.zeros(2)
  says(function() return x.shpae end, "a tensor has no field 'shpae': did you mean 'shape'?")
  says(function() x:relo() end, "a tensor has no field 'relo': did you mean 'relu'?")
  says(function() x:Relu() end, "a tensor has no field 'Relu': did you mean 'relu'?")
  says(function() x.requires_gard = true end,
    "a tensor has no field 'requires_gard': did you mean 'requires_grad'?")
  says(function() return x.colour end, "a tensor has no field 'colour'")
  says(function() x:pad { lefft = 1 } end, "pad: argument 1 (sides): unknown option 'lefft': "
    .. "did you mean 'left'? (known: left, right, top, bottom, mode, value)")
  raises(function() x:to "f23" end, "unknown dtype 'f23': did you mean 'f32'? (known: f32, f64")
end)

-- New functions -----------------------------------------------------------------------------------

test("tensors are made like others, spaced and as identities", function()
  local x = f64 { { 1, 2 }, { 3, 4 } }
  for name, value in pairs { zeros_like = 0, ones_like = 1 } do
    local y = lv[name](x)
    equal({ y.dtype, y:tolist() }, { "f64", { { value, value }, { value, value } } })
    equal(lv[name](x, { dtype = "i32" }).dtype, "i32")
  end
  equal(x:full_like(0.5):sum():item(), 2)
  assert(lv.zeros_like(x, { requires_grad = true }).requires_grad)
  lv.seed(3)
  local uniform, normal = lv.rand_like(x), lv.randn_like(x, { dtype = "f32" })
  assert(uniform:amin():item() >= 0 and uniform:amax():item() < 1 and uniform.dtype == "f64")
  equal({ normal.dtype, normal.shape, normal:is_finite() }, { "f32", { 2, 2 }, true })
  says(function() i32 { 1 }:rand_like() end, "rand_like: expected f32 or f64, got i32")
  equal(lv.linspace(0, 1, 5):tolist(), { 0, 0.25, 0.5, 0.75, 1 })
  equal(lv.linspace(3, 1, 2):tolist(), { 3, 1 })
  raises(function() lv.linspace(-1.7e308, 1.7e308, 3, { dtype = "f64" }) end,
    "linspace: expected numbers less than 1.8e308 apart")
  equal({ lv.linspace(2, 9, 1):tolist(), lv.linspace(2, 9, 0).shape }, { { 2 }, { 0 } })
  equal(lv.linspace(0, 0.7, 8, { dtype = "f64" })[-1]:item(), 0.7)
  says(function() lv.linspace(0, 1, -1) end,
    "linspace: expected finite numbers and a count of at least 0")
  raises(function() lv.linspace(0, 1, 1 << 40) end, "too many")
  equal(lv.eye(2):tolist(), { { 1, 0 }, { 0, 1 } })
  equal({ lv.eye(0).shape, lv.eye(3, { dtype = "u8" }):sum():item() }, { { 0, 0 }, 3 })
  lv.eye(2)[1] = 5 -- separate storage
  raises(function() lv.eye(-1) end, "eye: ", "must not be negative")
end)

test("shapes change by every form", function()
  local x = cube()
  equal(x:reshape(4, -1).shape, { 4, 6 })
  equal(x:reshape({ 6, 4 }):tolist(), x:view(6, 4):tolist())
  equal(x:transpose(1, 3):reshape(-1):tolist(), x:permute(3, 2, 1):flatten():tolist())
  equal({ x:flatten().shape, x:flatten(2).shape, x:flatten(-3, 2).shape },
    { { 24 }, { 2, 12 }, { 6, 4 } })
  equal({ lv.full(3):flatten().shape, x:size(-1), x[1]:t().shape }, { { 1 }, 4, { 4, 3 } })
  assert(x:contiguous() == x)
  says(function() x:reshape(5, -1) end,
    "reshape: (2, 3, 4) has 24 elements, which do not fill (5, -1)")
  says(function() x:flatten(3, 1) end, "flatten: expected dimensions in order, got 3 and 1")
  raises(function() x:t() end, "t: expected a tensor of 2 dimensions, got 3")
  equal(lv.cat({ x, x }).shape, { 4, 3, 4 })
  equal(lv.stack({ x, x }).shape, { 2, 2, 3, 4 })
  raises(function() x:view(2, {}) end, "view: ")
end)

test("clamps and reductions take numbers and options", function()
  local x = lv.tensor { { -1, 0.5, 2 }, { 3, -4, 1 } }
  equal(x:clamp(0, 1):tolist(), { { 0, 0.5, 1 }, { 1, 0, 1 } })
  equal(x:clamp { max = 1 }:tolist(), x:clamp(nil, 1):tolist())
  equal(x:clamp(0):tolist(), x:relu():tolist())
  raises(function() x:clamp({ min = 0 }, 1) end, "clamp: expected two numbers or one table")
  raises(function() x:clamp { mni = 0 } end, "unknown option 'mni': did you mean 'min'?")
  raises(function() x:clamp "0" end, "expected number or table, got string")
  for _, name in ipairs { "sum", "mean", "amax", "amin", "max", "min", "var", "std" } do
    local want = x[name](x, 2, true)
    equal(want.shape, { 2, 1 })
    equal(x[name](x, 2, { keepdim = true }):tolist(), want:tolist())
    equal(x[name](x, { dim = 2, keepdim = true }):tolist(), want:tolist())
    equal(x[name](x, { -1 }, true):tolist(), want:tolist())
    equal(x[name](x, { keepdim = true }).shape, { 1, 1 })
    equal(x[name](x).shape, {})
    raises(function() x[name](x, 2, { keepdims = true }) end, name .. ": ",
      "unknown option 'keepdims': did you mean 'keepdim'?")
    says(function() x[name](x, 2, { dim = 1 }) end, name .. ": dimensions were given twice")
    raises(function() x[name](x, "2") end, "expected integer or table, got string")
  end
  equal(x:max():item(), 3)
  near(x:std():item() ^ 2, x:var():item(), 1e-5)
  local unbiased = x:var(2, { unbiased = true }):tolist()
  near(unbiased[1] / x:var(2):tolist()[1], 3 / 2, 1e-6)
  equal(x:var(2, false, { unbiased = true }):tolist(), unbiased)
  equal(x:sum({}):tolist(), x:tolist())
  local still = lv.nn.parameter(lv.ones(3))
  still:std():backward()
  equal(still.grad:tolist(), { 0, 0, 0 })
end)

test("in place: minus, over, bounds", function()
  local x = lv.tensor { 1, 2, 3 }
  equal(x:sub_(1):tolist(), { 0, 1, 2 })
  equal(x:sub_(lv.ones(3), 2):tolist(), { -2, -1, 0 })
  equal(x:div_(2):tolist(), { -1, -0.5, 0 })
  equal(x:clamp_(-0.7, -0.1):tolist()[2], -0.5)
  equal(x:clamp_ { min = 0 }:tolist(), { 0, 0, 0 })
  local w = lv.nn.parameter(lv.ones(2))
  raises(function() w:sub_(1) end, "sub_: a tensor that gradients flow through")
  equal(u8 { 3 }:sub_(1):tolist(), { 2 })
end)

test("floor division and remainder are Lua's", function()
  local numbers = { 7, -7, 7.5, -7.5, 0, 3 }
  for _, dtype in ipairs { "f32", "f64" } do
    for _, by in ipairs { 2, -2, 0.5, 3 } do
      local x = lv.tensor(numbers, { dtype = dtype })
      local quotient, rest = x // by, x % by
      for i, n in ipairs(numbers) do
        equal({ quotient[i]:item(), rest[i]:item() }, { n // by, n % by })
      end
      equal((5 // x)[1]:item(), 5 // 7)
      equal((-5 % x)[1]:item(), -5 % 7)
      equal(x:floor_divide(by):tolist(), quotient:tolist())
      equal(lv.remainder(x, by):tolist(), rest:tolist())
    end
  end
  local a, b = leaf { 7.5, -7.5 }, leaf { 2, 2 }
  ;((a % b) * f64 { 1, 10 }):sum():backward()
  equal({ a.grad:tolist(), b.grad:tolist() }, { { 1, 10 }, { -3, 40 } })
end)

-- Integers ----------------------------------------------------------------------------------------

test("integers are computed exactly, or not at all", function()
  local x, y = i32 { 7, -7, 2147483647 }, i32 { 2, 2, -1 }
  equal((x + y):tolist(), { 9, -5, 2147483646 })
  equal((x - 1):tolist(), { 6, -8, 2147483646 })
  equal((1 - i32 { 3 }):tolist(), { -2 })
  equal({ (x // y):tolist(), (x % y):tolist() }, { { 3, -4, -2147483647 }, { 1, 1, 0 } })
  equal((-x):abs():tolist(), { 7, 7, 2147483647 })
  equal((i32 { 3 } ^ 4):item(), 81)
  equal({ x:clamp(-5, 5):tolist(), x:maximum(y)[2]:item() }, { { 5, -5, 5 }, 2 })
  equal({ x:gt(y):tolist(), x:gt(y).dtype }, { { 1, 0, 1 }, "i32" })
  equal({ (x / y).dtype, (x / y)[1]:item() }, { "f64", 3.5 })
  equal((i32 { { 1 }, { 2 } } * i32 { 3, 4 }):tolist(), { { 3, 4 }, { 6, 8 } })
  equal(i32 { 1 }:expand(2, 2):tolist(), { { 1, 1 }, { 1, 1 } })
  says(function() return x + 1 end,
    "'+': expected a result that i32 holds, got 2147483648 (convert the operands by :to first)")
  says(function() return u8 { 2 } - 3 end,
    "'-': expected a result that u8 holds, got -1 (convert the operands by :to first)")
  says(function() return 3 - u8 { 4 } end,
    "'-': expected a result that u8 holds, got -1 (convert the operands by :to first)")
  equal((5 - u8 { 4 }):item(), 1)
  says(function() return u8 { 200 }:add(u8 { 100 }) end,
    "add: expected a result that u8 holds, got 300 (convert the operands by :to first)")
  says(function() return i32 { 3 } * 0.5 end,
    "'*': expected a result that i32 holds, got 1.5 (convert the operands by :to first)")
  raises(function() return i32 { 3 } // 0 end, "'//': expected a result that i32 holds, got inf")
  raises(function() return i32 { 3 } % 0 end, "'%': ", "expected a result that i32 holds")
  raises(function() return i32 { 3 } + u8 { 3 } end, "i32 and u8 do not mix (use :to)")
  raises(function() return i32 { 3 } + lv.ones(1) end, "i32 and f32 do not mix (use :to)")
  raises(function() return i32 { 3 }:exp() end, "exp: expected f32 or f64, got i32 (use :to)")
end)

test("sums of integers widen", function()
  local x = u8 { { 255, 255 }, { 255, 1 } }
  for name, want in pairs { sum = 766, mean = 191.5, amax = 255, amin = 1 } do
    local got = x[name](x)
    equal({ got:item(), got.dtype }, { want, name:find "^a" and "u8" or "f64" })
  end
  equal(x:sum(1):tolist(), { 510, 256 })
  equal(lv.full(2147483647, 1000, { dtype = "i32" }):sum():item(), 2147483647000)
  near(x:var():item(), 64516 * 3 / 16, 1e-9)
  equal(x:gt(100):to "bool":sum():item(), 3)
  equal({ x:amax(2):tolist(), x:amax(2).dtype }, { { 255, 255 }, "u8" })
end)

test("masks are combined, and choose numbers of any type", function()
  local a, b = lv.tensor { 1, 0, 1 }:to "bool", lv.tensor { 1, 1, 0 }:to "bool"
  equal({ (a * b):tolist(), lv.maximum(a, b):tolist(), (1 - a):tolist() },
    { { 1, 0, 0 }, { 1, 1, 1 }, { 0, 1, 0 } })
  says(function() return a + b end,
    "'+': expected a result that bool holds, got 2 (convert the operands by :to first)")
  says(function() return a:eq(2) end, "eq: expected 0 or 1 with a bool tensor, got 2.0")
  equal(lv.where(a, lv.tensor { 5, 6, 7 }, 0):tolist(), { 5, 0, 7 })
  equal({ lv.where(a, 0.5, f64(2)):tolist(), lv.where(a, 0.5, f64(2)).dtype },
    { { 0.5, 2, 0.5 }, "f64" })
  equal({ lv.where(a, 0.5, 2):tolist(), lv.where(i32 { 3 }, i32 { 4 }, 5):item() },
    { { 0.5, 2, 0.5 }, 4 })
  local x = leaf { 1, 2, 3 }
  lv.where(a, x, 0):sum():backward()
  equal(x.grad:tolist(), { 1, 0, 1 })
end)
