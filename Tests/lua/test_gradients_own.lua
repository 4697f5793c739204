-- Custom gradients: lv.func, seeds, lv.grad, hooks, straight-through, lv.gradcheck.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local nn <const> = lv.nn

local equal <const>, near <const> = harness.equal, harness.near
local raises <const>, test <const> = harness.raises, harness.test

local function leaf(numbers, options)
  local x = lv.tensor(numbers, options)
  x.requires_grad = true
  return x
end

-- The text of the error that a function raises.
local function problem_of(f, ...)
  local ok, problem = pcall(f, ...)
  assert(not ok, "expected an error, none came")
  return problem
end

-- "test_gradients_own.lua:LINE", where the next line after the call is.
local function line(offset)
  return ("test_gradients_own.lua:%d"):format(debug.getinfo(2, "l").currentline + (offset or 0))
end

-- lv.func ----------------------------------------------------------------------------------------

local product <const> = lv.func {
  forward = function(save, x, y)
    save.x, save.y = x, y
    return x * y, x + y
  end,
  backward = function(saved, dp, ds) return dp * saved.y + ds, dp * saved.x + ds end,
}

test("a custom operator: several arguments and results", function()
  local x, y = leaf { 1, 2, 3 }, leaf { 4, 5, 6 }
  local p, s = product(x, y)
  equal({ p:tolist(), s:tolist() }, { { 4, 10, 18 }, { 5, 7, 9 } })
  assert(p.requires_grad and s.requires_grad and not p.is_leaf);
  (p * lv.tensor { 1, 10, 100 } + s * 1000):sum():backward()
  equal(x.grad:tolist(), { 1004, 1050, 1600 })
  equal(y.grad:tolist(), { 1001, 1020, 1300 })
  -- Both results go through one backward, whatever uses them.
  local a, b = leaf { 2 }, leaf { 3 }
  local q, r = product(a, b)
  local da, db = lv.grad((q * r * q):sum(), { a, b })
  equal({ da:item(), db:item() }, { 216, 156 }) -- of a²b²(a + b)
  lv.gradcheck(product, { lv.randn(2, 3), lv.randn(2, 3) })
end)

test("the gradient of a result that is not used is zeros", function()
  local seen
  local both = lv.func {
    forward = function(_, x) return x * 2, x:to "i32", "text", x * 3 end,
    backward = function(_, a, b, c, d)
      seen = { a:tolist(), b == nil, c == nil, d:tolist() }
      return a * 2 + d * 3
    end,
  }
  local x = leaf { 1, 2 }
  local a, b, c, d = both(x)
  equal({ b.dtype, b.requires_grad, c, d.requires_grad }, { "i32", false, "text", true })
  a:sum():backward()
  equal(seen, { { 1, 1 }, true, true, { 0, 0 } })
  equal(x.grad:tolist(), { 2, 2 })
end)

test("arguments that are no tensors, and gradients that are none", function()
  local scaled = lv.func {
    forward = function(save, x, by, w, settings)
      save.by = by
      return x * by * settings.more + w
    end,
    backward = function(saved, dy) return dy * saved.by * 10, nil, nil end,
  }
  local x, w = leaf { 1, 2 }, leaf { 3, 4 }
  scaled(x, 5, w, { more = 10 }):sum():backward()
  equal(x.grad:tolist(), { 50, 50 })
  equal(w.grad, nil)
  -- Nothing that requires a gradient: nothing is recorded, and backward never called.
  local y = scaled(lv.ones(2), 5, lv.ones(2), { more = 1 })
  equal({ y.requires_grad, y:tolist() }, { false, { 6, 6 } })
  equal(lv.no_grad(scaled, x, 1, w, { more = 1 }).requires_grad, false)
end)

test("forward does not record, and gradients are not recorded", function()
  local recorded = {}
  local f = lv.func {
    forward = function(_, x)
      recorded[1] = (x * 2).requires_grad
      return x * 2
    end,
    backward = function(_, dy)
      recorded[2], recorded[3] = dy.requires_grad, (dy * 2).requires_grad
      return dy * 2
    end,
  }
  local x = leaf { 1 }
  f(x):sum():backward()
  equal(recorded, { false, false, false })
end)

test("the results of backward are checked, at the user's line", function()
  local results
  local f = lv.func {
    name = "mine",
    forward = function(_, x, y) return x + y end,
    backward = function() return table.unpack(results, 1, results.n) end, -- the line that is named
  }
  local place <const> = debug.getinfo(1, "S").short_src .. line(-2):match ":%d+$"
  local x, y = leaf { 1, 2, 3 }, leaf { 1, 2, 3 }
  local function text(...)
    results = table.pack(...)
    local here <const>, problem = line(1), problem_of(function()
      f(x, y):sum():backward() end)
    assert(tostring(problem):find(here, 1, true), tostring(problem))
    return problem.message
  end
  local g = lv.ones(3)
  equal(text(), ("mine: backward (%s): expected 2 gradients, one or nil for each argument, got 0")
    :format(place))
  assert(text(g):find("expected 2 gradients, one or nil for each argument, got 1", 1, true))
  assert(text(g, g, g):find("expected 2 gradients, one or nil for each argument, got 3", 1, true))
  assert(text(g, lv.ones(2)):find("gradient 2: expected f32 (3), got f32 (2)", 1, true))
  assert(text(g:to "f64", g):find("gradient 1: expected f32 (3), got f64 (3)", 1, true))
  assert(text(5, g):find("gradient 1: expected a tensor or nil, got number", 1, true))
  results = { nil, nil, n = 2 }
  f(x, y):sum():backward()
  local one = lv.func { forward = function(_, a) return a * 2 end,
    backward = function(_, d) return d, d end }
  raises(function() one(x):sum():backward() end, "expected 1 gradient, one or nil", "got 2")
  local number = lv.func { forward = function(_, a, n) return a * n end,
    backward = function(_, d) return d, d end }
  raises(function() number(x, 2):sum():backward() end, "gradient 2: expected nil for an argument")
end)

test("a definition is checked", function()
  raises(function() lv.func { forward = print } end,
    "func: expected a function `backward`, got nil")
  raises(function() lv.func { forward = 1, backward = print } end, "expected function, got number")
  raises(function() lv.func { forwrad = print } end, "unknown option 'forwrad': did you mean")
  local f = lv.func { forward = function() return 1 end, backward = print }
  raises(function() f(lv.ones(1)) end, "func: forward (",
    "expected a tensor among its results, got number")
end)

local Failing <const> = nn.class "Failing"
function Failing:init(how)
  self.weight = nn.parameter(lv.ones(2))
  self.own = lv.func {
    forward = function(_, x)
      if how == "forward" then error "no way forward" end
      return x * 2
    end,
    backward = function(saved, dy)
      if how == "index" then return saved.absent.field end
      if how == "operator" then return dy:view(7) end
      error "no way back"
    end,
  }
end
function Failing:forward(x) return self.own(x * self.weight) end

test("an error in forward or backward keeps its line and names its module", function()
  for _, case in ipairs {
    { "forward", "no way forward" }, { "error", "no way back" }, { "index", "field 'absent'" },
    { "operator", "view: " },
  } do
    local model = nn.Sequential(Failing(case[1]))
    local function step() model(lv.ones(2)):sum():backward() end
    local where = "test_gradients_own.lua:%d+: "
    for _, run in ipairs { step, function() coroutine.wrap(step)() end } do
      local ok, problem = xpcall(run, function(p) return native and debug.traceback(p) end)
      assert(not ok)
      assert(problem:find(where) and problem:find(case[2], 1, true), problem)
      assert(problem:find("in function", 1, true), problem)
      local raised = require("lunerv.bridge").error_of(select(2, pcall(run)))
      equal(raised.module, "Sequential[1]")
      local number = tonumber(raised.where:match ":(%d+)$")
      local source = debug.getinfo(Failing.init, "S")
      assert(number > source.linedefined and number < source.lastlinedefined, raised.where)
    end
  end
end)

test("a custom operator in a coroutine, and one that yields", function()
  local x = leaf { 3 }
  local slow = lv.func {
    forward = function(_, a)
      coroutine.yield "forward"
      return a * 2
    end,
    backward = function(_, d)
      coroutine.yield "backward"
      return d
    end,
  }
  local co = coroutine.create(function() slow(x):sum():backward() end)
  equal({ coroutine.resume(co) }, { true, "forward" })
  local ok, problem = coroutine.resume(co)
  assert(not ok and tostring(problem):find "yield across", tostring(problem))
end)

-- Seeds and lv.grad ------------------------------------------------------------------------------

test("backward of what is no scalar takes a seed", function()
  local x = leaf { 1, 2, 3 };
  (x * x):backward(lv.tensor { 1, 10, 100 })
  equal(x.grad:tolist(), { 2, 40, 600 })
  local y = x * 2
  raises(function() y:backward() end, "backward: expected a scalar, got shape (3)", "seed")
  raises(function() y:backward(lv.ones(2)) end, "seed: expected f32 (3), got f32 (2)")
  raises(function() y:backward(lv.ones(3, { dtype = "f64" })) end, "expected f32 (3), got f64 (3)")
  raises(function() y:backward(1) end, "argument 1 (seed): expected tensor, got number")
  -- A refused traversal has freed nothing.
  y:backward(lv.ones(3))
  raises(function() y:backward(lv.ones(3)) end, "already traversed", "retain = true")
end)

test("a graph that is retained is traversed again", function()
  local x = leaf { 1, 2 }
  local y = product(x, x):sin():sum()
  y:backward(nil, { retain = true })
  local once = x.grad:clone():tolist()
  y:backward()
  equal(x.grad:tolist(), { 2 * once[1], 2 * once[2] })
  raises(function() y:backward() end, "already traversed")
end)

test("grad: gradients without touching .grad", function()
  local x, w = leaf { 1, 2 }, leaf { 3, 4 }
  local hidden = x * w
  local y = hidden:square():sum() + x:sum()
  local dw, dh, dx = lv.grad(y, { w, hidden, x }, { retain = true })
  equal(dh:tolist(), { 6, 16 })
  equal(dx:tolist(), { 19, 65 })
  equal(dw:tolist(), { 6, 32 })
  equal({ x.grad, w.grad, dx.requires_grad }, { nil, nil, false })
  -- Only entries that lead to an input are traversed, and freed.
  equal(lv.grad(y, hidden):tolist(), { 6, 16 })
  equal(lv.grad(hidden, w, { seed = lv.ones(2) }):tolist(), { 1, 2 })
  -- Of several outputs the gradients add up.
  local seed = { lv.ones(2), lv.full(10, 2) }
  equal(lv.grad({ x * 2, x * 3 }, x, { seed = seed }):tolist(), { 32, 32 })
  equal(lv.grad(x:sum(), x):tolist(), { 1, 1 })
end)

test("grad: what is refused", function()
  local x, w = leaf { 1, 2 }, leaf { 3, 4 }
  local y = x:sum()
  raises(function() lv.grad(y, { x, w }) end, "grad: the output does not depend on input 2")
  local found = table.pack(lv.grad(x:sum(), { x, w }, { allow_unused = true }))
  equal({ found.n, found[1]:tolist(), found[2] }, { 2, { 1, 1 } })
  raises(function() lv.grad(x:sum(), { x, lv.ones(2) }) end, "input 2 requires no gradient")
  raises(function() lv.grad(lv.ones(1), x) end,
    "grad: expected a value computed from a tensor that requires a gradient")
  raises(function() lv.grad(x * 2, x) end, "grad: expected a scalar, got shape (2)")
  raises(function() lv.grad(x * 2, x, { seed = lv.ones(3) }) end, "grad: seed: expected f32 (2)")
  raises(function() lv.grad({ x:sum(), w:sum() }, x, { seed = lv.ones(1) }) end,
    "expected a seed for each of 2 outputs, got 1")
  raises(function() lv.grad({}, x) end, "grad: expected")
  raises(function() lv.grad(x:sum(), x, { create_graph = true }) end,
    "gradients cannot be differentiated again")
  local slope = lv.grad(x:square():sum(), x)
  raises(function() slope:square():sum():backward() end, "second derivatives are not supported")
end)

-- Hooks ------------------------------------------------------------------------------------------

test("hooks see gradients, and may replace them", function()
  local x = leaf { 1, 2 }
  local seen = {}
  local y = x * 3
  y:register_hook(function(g) seen[#seen + 1] = g:tolist() end)
  y:register_hook(function(g) return g * 10 end)
  local hook = x:register_hook(function(g)
    seen[#seen + 1] = g:tolist()
    return g + 1
  end);
  (y * 2 + y * 5):sum():backward()
  equal(seen, { { 7, 7 }, { 210, 210 } })
  equal(x.grad:tolist(), { 211, 211 })
  equal(lv.grad((x * 2):sum(), x):tolist(), { 3, 3 })
  equal(hook.active, true)
  hook:remove()
  hook:remove()
  equal(hook.active, false)
  equal(lv.grad((x * 2):sum(), x):tolist(), { 2, 2 })
end)

test("hooks: what is refused", function()
  local x = leaf { 1, 2 }
  raises(function() lv.ones(1):register_hook(print) end, "that requires a gradient")
  raises(function() x:register_hook(1) end, "expected function, got number")
  x:register_hook(function() return 1 end)
  raises(function() x:sum():backward() end, "register_hook (",
    "expected a tensor or nil, got number")
  local y = leaf { 1, 2 }
  y:register_hook(function() return lv.ones(3) end)
  raises(function() y:sum():backward() end, "expected f32 (2), got f32 (3)")
end)

test("a hook of a parameter does not keep it, and stays while it lives", function()
  local gone = setmetatable({}, { __mode = "k" })
  local calls = 0
  do
    local x = leaf { 1 }
    local big = {}
    gone[big] = true
    x:register_hook(function() calls = calls + (big and x and 1 or 0) end)
    collectgarbage()
    collectgarbage()
    x:sum():backward()
    equal(calls, 1)
  end
  for _ = 1, 4 do collectgarbage() end
  equal(next(gone), nil)
end)

-- Straight through -------------------------------------------------------------------------------

test("straight-through: these values, that gradient", function()
  local x = leaf { -0.3, 0.2, 1.7 }
  local y = lv.straight_through(x:sign(), x)
  equal(y:tolist(), { -1, 1, 1 });
  (y * lv.tensor { 1, 2, 3 }):sum():backward()
  equal(x.grad:tolist(), { 1, 2, 3 })
  equal(x:sign():straight_through(x):tolist(), { -1, 1, 1 })
  raises(function() lv.straight_through(lv.ones(2), x) end, "straight_through: expected f32 (3)")
end)

-- lv.gradcheck -----------------------------------------------------------------------------------

test("gradcheck agrees with right gradients and names the worst of wrong ones", function()
  lv.seed(1)
  local before = lv.rng_state()
  equal(lv.gradcheck(function(x, n, w) return (x * w):sin() * n, w:exp() end,
    { lv.randn(2, 3), 3, lv.randn(3) }), true)
  equal(lv.gradcheck(function(x) return x:square() end, lv.randn(3)), true)
  lv.gradcheck(nn.Linear(3, 2), { lv.randn(4, 3) })
  lv.gradcheck(function(x) return x * lv.rand(3, { dtype = "f64" }) end, { lv.ones(3) })
  equal(lv.gradcheck(function(x, mask) return x * mask:to "f64" end,
    { lv.randn(3), lv.tensor({ 1, 0, 1 }, { dtype = "i32" }) }), true)
  local wrong = lv.func {
    forward = function(save, x)
      save.x = x
      return x:square()
    end,
    backward = function(saved, d)
      local slope = saved.x * 2
      slope[{ 2, 1 }] = slope[{ 2, 1 }] + 0.5
      slope[{ 1, 2 }] = slope[{ 1, 2 }] + 0.1
      return slope * d
    end,
  }
  local text = problem_of(lv.gradcheck, function(x) return wrong(x) end, { lv.ones(2, 2) }).message
  local theirs, ours = text:match
    "argument 1, element %(2, 1%): expected (%S+), by differences, got (%S+) "
  near(math.abs(tonumber(ours) / tonumber(theirs)), 1.25, 1e-6)
  assert(text:find("(2 elements are off)", 1, true), text)
  lv.set_rng_state(before)
  lv.gradcheck(nn.Linear(3, 2), { lv.ones(4, 3) })
  equal(lv.rng_state().seed, before.seed)
end)

test("gradcheck: what is refused", function()
  raises(function() lv.gradcheck(print, 5) end, "gradcheck: expected a list of arguments")
  raises(function() lv.gradcheck(print, { 5 }) end,
    "a tensor of floating point among the arguments")
  raises(function() lv.gradcheck(function() return 1 end, { lv.ones(1) }) end,
    "returns a tensor of floating point, got number")
  raises(function() lv.gradcheck(function(x) return x:detach() * 2 end, { lv.ones(1) }) end,
    "gradcheck: argument 1, element (1): expected", "got 0 (")
end)
