-- lv.checkpoint, parameters that are replaced, and what lv.func and hooks leave behind.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local nn <const> = lv.nn

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local function leaf(numbers)
  local x = lv.tensor(numbers)
  x.requires_grad = true
  return x
end

-- lv.checkpoint ----------------------------------------------------------------------------------

local Block <const> = nn.class "Block"
function Block:init(width)
  self.spread = nn.Conv2d(width, 2 * width, 3, { padding = 1 })
  self.gather = nn.Conv2d(2 * width, width, 3, { padding = 1 })
end
function Block:forward(x, z)
  local noise = lv.rand(table.unpack(x.shape))
  return x + self.gather((self.spread(x) * z):gelu()) * noise
end

local Net <const> = nn.class "Net"
function Net:init()
  self.stem = nn.Conv2d(3, 8, 3, { padding = 1 })
  self.blocks = nn.List { Block(8), Block(8), Block(8) }
end
function Net:forward(x, z, run)
  x = self.stem(x)
  for _, block in ipairs(self.blocks) do x = run(block, x, z) end
  return x
end

-- The result, all gradients, and a random number drawn afterwards, as numbers.
local function computed(net, image, z, run)
  lv.seed(7)
  for _, p in ipairs(net:parameters()) do p.grad = nil end
  z.grad = nil
  local y = net(image, z, run)
  local loss = y:square():mean()
  local numbers = { y:detach():reshape(-1):tolist(), lv.rand(1):item() }
  loss:backward()
  for _, p in ipairs(net:parameters()) do
    numbers[#numbers + 1] = p.grad:reshape(-1):tolist()
  end
  numbers[#numbers + 1] = z.grad:tolist()
  numbers[#numbers + 1] = lv.rand(1):item()
  return numbers
end

test("checkpoint: the same bits, random numbers included", function()
  lv.seed(3)
  local net, image, z = Net(), lv.rand(1, 3, 12, 16), leaf { 0.7 }
  local plain = computed(net, image, z, function(f, ...) return f(...) end)
  equal(computed(net, image, z, lv.checkpoint), plain)
  -- Nested, and with one more around all of it.
  local function twice(f, ...) return lv.checkpoint(lv.checkpoint, f, ...) end
  equal(computed(net, image, z, twice), plain)
end)

test("checkpoint keeps neither graph nor memory", function()
  lv.seed(3)
  local net, image, z = Net(), lv.rand(1, 3, 64, 64), leaf { 0.7 }
  local function held(run)
    collectgarbage()
    local before = lv.stats()
    local y = net(image, z, run):evaluate()
    collectgarbage()
    collectgarbage()
    local after = lv.stats()
    y:square():mean():backward()
    return after.tape_entries - before.tape_entries, after.live_bytes - before.live_bytes
  end
  local entries, bytes = held(function(f, ...) return f(...) end)
  local few, less = held(lv.checkpoint)
  assert(few < entries / 2 and less < bytes / 2,
    ("%d of %d, %d of %d"):format(few, entries, less, bytes))
end)

test("checkpoint: several results, values that are no tensors, grad and hooks", function()
  local x, w = leaf { 1, 2 }, leaf { 3, 4 }
  local outer = w * 2 -- from elsewhere, and no parameter
  local hooks = 0
  w:register_hook(function() hooks = hooks + 1 end)
  local function f(a, by)
    return a * outer * by, "text", a:detach(), a + w
  end
  local p, text, constant, s = lv.checkpoint(f, x, 10)
  equal({ text, constant.requires_grad, p:tolist(), s:tolist() },
    { "text", false, { 60, 160 }, { 4, 6 } })
  local dx, dw = lv.grad((p + s * 100):sum(), { x, w })
  equal({ dx:tolist(), dw:tolist() }, { { 160, 180 }, { 120, 140 } })
  equal({ hooks, x.grad, w.grad }, { 1, nil, nil })
  -- An argument that comes back as it is.
  local same = lv.checkpoint(function(a) return a end, x)
  equal(lv.grad(same:sum(), x):tolist(), { 1, 1 })
  -- Retained.
  local y = lv.checkpoint(function(a) return (a * w):sin() end, x):sum()
  local one = lv.grad(y, x, { retain = true })
  equal(lv.grad(y, x):tolist(), one:tolist())
  lv.no_grad(function() equal(lv.checkpoint(f, x, 1).requires_grad, false) end)
  -- Backward inside of no_grad records nevertheless.
  local q = lv.checkpoint(function(a) return a * a end, x):sum()
  equal(lv.no_grad(lv.grad, q, x):tolist(), { 2, 4 })
end)

test("checkpoint: parameters that were replaced then are replaced again", function()
  lv.seed(4)
  local net, x = nn.Sequential(nn.Linear(3, 4), "gelu", nn.Linear(4, 3)), lv.randn(2, 3)
  nn.reparametrise(net[1], "weight", function(w) return w:tanh() end)
  local scale = leaf { 2 }
  local function gradients(run)
    local y = nn.with_parameters(net, { ["3.weight"] = net[3].weight * scale }, run, net, x)
    return { lv.grad(y:sum(), { scale, net[1].weight, net[3].weight }) }
  end
  local plain = gradients(function(f, a) return f(a) end)
  for i, gradient in ipairs(gradients(lv.checkpoint)) do
    equal(gradient:tolist(), plain[i]:tolist())
  end
  -- Inside of the module that is reparametrised.
  local linear = nn.Linear(3, 3)
  function linear:forward(a)
    return lv.checkpoint(function(b) return b:linear(self.weight, self.bias) end, a)
  end
  nn.reparametrise(linear, "weight", function(w) return w:tanh() end)
  lv.gradcheck(linear, { x })
end)

test("checkpoint: what is refused, and errors", function()
  local x, w = leaf { 1, 2 }, leaf { 3, 4 }
  raises(function() lv.checkpoint(5, x) end,
    "checkpoint: expected a function or a module, got number")
  local calls = 0
  local function moody(a)
    calls = calls + 1
    return calls % 2 == 1 and a * 2 or (a * 2):sum()
  end
  raises(function() lv.checkpoint(moody, x):sum():backward() end,
    "checkpoint: expected the same results")
  local y = lv.checkpoint(function(a) return a * w end, x):sum()
  lv.no_grad(function() w:mul_(2) end)
  raises(function() y:backward() end, "checkpoint: a parameter was changed")
  calls = 0
  local function second(a)
    calls = calls + 1
    if calls == 2 then error "the second time" end
    return a * lv.rand(2)
  end
  lv.seed(1)
  local z = lv.checkpoint(second, x):sum()
  local state = lv.rng_state()
  raises(function() z:backward() end, "test_gradients_parts.lua:", "the second time")
  equal(lv.rng_state(), state)
end)

-- Other tensors in the place of parameters -------------------------------------------------------

test("with_parameters: other tensors for as long as a function runs", function()
  lv.seed(2)
  local net = nn.Sequential(nn.Linear(3, 4), "gelu", nn.Linear(4, 2))
  local own, x = net[1].weight, lv.randn(5, 3)
  local before = net(x):tolist()
  local scale = leaf { 2 }
  local y = nn.with_parameters(net, { ["1.weight"] = own * scale }, net, x)
  assert(rawequal(net[1].weight, own))
  local doubled = net:clone()
  lv.no_grad(function() doubled[1].weight:mul_(2) end)
  equal(y:tolist(), doubled(x):tolist())
  y:sum():backward()
  assert(scale.grad and own.grad)
  -- After an error, and in a coroutine that ends early, too.
  raises(function()
    nn.with_parameters(net, { ["1.weight"] = lv.ones(4, 3) }, function() error "no" end)
  end, "no")
  local co = coroutine.wrap(function()
    nn.with_parameters(net, { ["1.weight"] = lv.ones(4, 3) }, coroutine.yield)
  end)
  co()
  co()
  equal(net(x):tolist(), before)
  raises(function() nn.with_parameters(net, { ["1.wieght"] = own }, net, x) end,
    "with_parameters: Sequential has no '1.wieght': did you mean '1.weight'")
  raises(function() nn.with_parameters(net, { ["1.weight"] = lv.ones(3) }, net, x) end,
    "with_parameters: 1.weight: expected shape (4, 3), got (3)")
  raises(function() nn.with_parameters(net, { ["1.weight"] = 1 }, net, x) end,
    "expected a tensor, got number")
  raises(function() nn.with_parameters(x, {}, net, x) end, "expected a module, got userdata")
  -- One tensor in two places.
  local shared = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
  shared[2].weight = shared[1].weight
  nn.with_parameters(shared, { ["1.weight"] = lv.ones(2, 2) }, function()
    assert(rawequal(shared[1].weight, shared[2].weight))
    equal(shared[2].weight:tolist(), { { 1, 1 }, { 1, 1 } })
  end)
end)

test("reparametrise: a module that computes with f of its parameter", function()
  lv.seed(2)
  local layer, x = nn.Linear(3, 2), lv.randn(4, 3)
  local own = layer.weight
  local expected = x:linear(own:tanh() * 2, layer.bias):tolist()
  equal(nn.reparametrise(layer, "weight", function(w) return w:tanh() end), layer)
  nn.reparametrise(layer, "weight", function(w) return w * 2 end)
  equal(layer(x):tolist(), expected)
  assert(rawequal(layer.weight, own))
  equal(layer:parameter_count(), 8)
  equal(layer:clone()(x):tolist(), expected)
  lv.gradcheck(layer, { x })
  -- A module as the function is trained too, and a clone has its own.
  local conv = nn.Conv2d(3, 2, 3)
  nn.reparametrise(conv, "weight", lv.quant.Scale(conv.weight, { bits = 3 }))
  equal(conv:state_dict()["weight_by.step"]:numel(), 1)
  conv(lv.randn(1, 3, 5, 5)):sum():backward()
  assert(conv.weight.grad and conv.weight_by.step.grad)
  local copy = conv:clone()
  lv.no_grad(function() copy.weight_by.step:mul_(100) end)
  local image = lv.randn(1, 3, 5, 5)
  assert(copy(image):sub(conv(image)):abs():sum():item() > 0.1)
  raises(function() nn.reparametrise(layer, "wieght", print) end,
    "reparametrise: Linear has no tensor 'wieght': did you mean 'weight'?")
  raises(function() nn.reparametrise(layer, "weight", 1) end, "expected a function or a module")
end)

-- What is left behind ----------------------------------------------------------------------------

test("ten thousand failing custom calls leave nothing", function()
  local x = lv.randn(2, 3)
  x.requires_grad = true
  local bad = lv.func {
    forward = function(save, a)
      save.a, save.twice = a, a * 2
      return save.twice, a + 1
    end,
    backward = function(saved) error(saved.a) end,
  }
  local few = lv.func { forward = function(_, a, b) return a * b end,
    backward = function(saved) return saved end }
  local early = lv.func { forward = function(_, a) error(a * 2) end, backward = print }
  local failing = {
    function() (bad(x) * 3):sum():backward() end,
    function() lv.grad(bad(x * 2):sum(), x) end,
    function() few(x, x):sum():backward() end,
    function() early(x) end,
    function() -- the hook refers to its own tensor, and is never reached
      local y = x * 2
      y:register_hook(function() return y end)
      bad(y):sum():backward()
    end,
    function()
      local y = leaf { 1, 2 }
      y:register_hook(function(g) error(g + y) end)
      y:sum():backward()
    end,
    function()
      local calls = 0
      lv.checkpoint(function(a)
        calls = calls + 1
        return calls == 1 and (a * x):sin() or error(a)
      end, x):sum():backward()
    end,
    function() lv.checkpoint(function(a) return bad(a * 2) end, x):sum():backward() end,
    function() coroutine.wrap(function() bad(x):sum():backward() end)() end,
    function() lv.gradcheck(bad, { x }) end,
    function() nn.with_parameters(nn.Linear(2, 2), { weight = x }, print) end,
  }
  local function round(count)
    for i = 1, count do
      local which = i % #failing + 1
      if pcall(failing[which]) then error(("call %d did not fail"):format(which)) end
    end
    for _ = 1, 3 do collectgarbage() end
    local stats = lv.stats()
    return { stats.live_tensors, stats.tape_entries, stats.live_bytes }
  end
  local before = round(110)
  equal(round(10000), before)
end)

test("hooks that come and go leave nothing", function()
  local x, held = leaf { 1 }, setmetatable({}, { __mode = "k" })
  for _ = 1, 200 do
    local function hook(g) return g + x end
    held[hook] = true
    x:register_hook(hook):remove()
  end
  for _ = 1, 3 do collectgarbage() end
  local left = 0
  for _ in pairs(held) do left = left + 1 end
  assert(left <= 1, left) -- the last one goes when the next comes
end)

test("gradients of a step's frames are complete when they are taken, or it is an error", function()
  local inner, outer = leaf { 2, 3 }, leaf { 5, 7 }
  local function loss(hook)
    local product = inner * inner
    if hook then product:register_hook(hook) end
    return (product * outer):sum()
  end
  local exchange <const> = native.gradient_exchange({ outer, inner }, { 0, 0 })
  exchange:begin(3)
  for frame = 1, 3 do exchange:backward(frame, loss()) end
  exchange:finish(false)
  equal({ outer.grad:tolist(), inner.grad:tolist() }, { { 12, 27 }, { 60, 126 } })

  exchange:begin(2)
  raises(function() exchange:backward(3, loss()) end, "frame 3 belongs to another rank")
  outer.grad, inner.grad = nil, nil
  local other = outer:sum()
  raises(function() exchange:backward(1, loss(function() other:backward() end)) end,
    "a backward pass inside that of the loss changed a gradient that was complete")
  raises(function() exchange:take(math.mininteger) end, "belongs to another rank")
  exchange:drop()
  raises(function() exchange:finish(false) end, "expected a step that has begun")
  raises(function() exchange:backward(1, loss()) end, "expected a step that has begun")
end)

-- Who is charged ---------------------------------------------------------------------------------

local Charged <const> = nn.class "Charged"
function Charged:init()
  self.weight = nn.parameter(lv.ones(1, 1, 64, 64))
  self.own = lv.func {
    name = "doubled",
    forward = function(_, x) return x * 2 end,
    backward = function(_, dy) return (dy:exp():log() * 2):evaluate() end,
  }
end
function Charged:forward(x) return self.own(x * self.weight) end

test("a profile charges backward to the module that asked", function()
  local model = nn.Sequential(Charged())
  local x = lv.ones(1, 1, 64, 64)
  local result = lv.profile(function() model(x):sum():backward() end)
  local found = {}
  for _, record in ipairs(result.records) do
    if record.backward and record.path == "Sequential[1]" then found[record.operator] = true end
  end
  assert(found.doubled and found.exp and found.Lua, "exp, doubled and Lua are charged elsewhere")
end)
