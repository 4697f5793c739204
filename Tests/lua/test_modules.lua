-- Modules: fields, parameters, state, paths in errors.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local shared <const> = require "pair"
local nn <const> = lv.nn

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test
local Pair <const>, names_of <const> = shared.Pair, shared.names_of

test("parameters are listed in order of assignment", function()
  local pair = Pair()
  equal(names_of(pair), { "second.weight", "second.bias", "first.weight", "first.bias" })
  equal(#pair:parameters(), 4)
  equal(pair:parameter_count(), 17)
end)

test("buffers are state but no parameters", function()
  local dict = Pair():state_dict()
  equal(#dict, 5)
  equal(dict[5][1], "mean")
  assert(dict["first.weight"])
end)

test("a shared tensor is listed once", function()
  local pair = Pair()
  pair.tied = pair.first
  pair.weight = pair.second.weight
  equal(#pair:parameters(), 4)
end)

test("a replaced field keeps its place", function()
  local pair = Pair()
  pair.second = nn.Linear(3, 5, { bias = false })
  equal(names_of(pair), { "second.weight", "first.weight", "first.bias" })
end)

test("lists count from 1, in names too", function()
  local list = nn.List { nn.Linear(1, 1), nn.Linear(1, 1) }
  list:append(nn.Linear(1, 1, { bias = false }))
  equal(#list, 3)
  equal(names_of(list), { "1.weight", "1.bias", "2.weight", "2.bias", "3.weight" })
end)

test("a plain table of modules is refused", function()
  local pair = Pair()
  raises(function() pair.blocks = { nn.Linear(1, 1) } end, "nn.List", "'blocks'", "of modules")
  raises(function() pair.gains = { nn.parameter(lv.ones(3)) } end, "'gains'", "of parameters",
    "a field of its own")
end)

test("modules in plain tables are an error when training begins", function()
  local function linear() return nn.Linear(2, 2) end
  local function refused(fill, place)
    local pair = Pair()
    fill(pair)
    raises(function() pair:parameters() end, "nn.List", "'" .. place .. "'", "Pair")
    raises(function() lv.optim.Adam(pair:parameters()) end, "nn.List")
  end
  refused(function(pair)
    pair.blocks = {}
    pair.blocks[1] = linear()
  end, "blocks[1]")
  refused(function(pair) pair.blocks = { up = linear() } end, "blocks.up")
  refused(function(pair) pair.blocks = { 1, { linear() } } end, "blocks[2][1]")
  refused(function(pair)
    pair.blocks = nn.List { linear() }
    pair.blocks = { linear() }
  end, "blocks[1]")
  refused(function(pair) pair.gains = { up = nn.parameter(lv.ones(3)) } end, "gains.up")

  -- Tensors that are found elsewhere, or not trained, may be anywhere; a table may contain itself.
  local pair = Pair()
  pair.names = { first = pair.first, weights = { pair.first.weight }, sizes = { 1, 2 } }
  pair.names.self = pair.names
  pair.cache = { lv.ones(2), pair.first.weight * 2 }
  equal(#pair:parameters(), #Pair():parameters())
end)

test("a tensor that comes back from a method is the same one, and counts once", function()
  local weight = nn.parameter(lv.ones(3))
  assert(rawequal(weight, weight:evaluate()))
  local Twice = nn.class "Twice"
  function Twice:init() self.first, self.second = weight, weight:evaluate() end
  local twice = Twice()
  equal(twice:parameter_count(), 3)
  lv.optim.Adam(twice:parameters())
end)

test("a module's time is that of computing, where it is asked for", function()
  local layer = nn.Conv2d(16, 16, { kernel = 3, padding = 1 })
  local deep = nn.Sequential { layer, layer, layer, layer }
  collectgarbage() -- what is freed meanwhile would count
  collectgarbage()
  local x = lv.rand(1, 16, 128, 128)
  local function run() return lv.no_grad(function() return deep(x) end) end
  equal(deep:observe(run)[1].seconds, nil)
  -- A clock that measures memory: results computed within a call take some by its end.
  local clock <const>, bytes <const> = native.time, 4 * 16 * 128 * 128
  local _ <close> = setmetatable({}, { __close = function() native.time = clock end })
  native.time = function() return native.stats().live_bytes end
  local calls = deep:observe(run, { time = true })
  equal(#calls, 5)
  for i = 1, 4 do assert(calls[i].seconds >= bytes, calls[i].seconds) end
  assert(calls[5].seconds >= bytes, calls[5].seconds)
  raises(function() deep:observe(3) end, "observe: expected a function, got number")
end)

test("lists are lists and nothing else", function()
  local a, b = nn.Linear(1, 1), nn.Linear(1, 1)
  raises(function() return nn.List(a) end, "List: expected a list, got Linear")
  raises(function() return nn.List({ a }, b) end, "List: expected one list, got 1 more values")
  raises(function() return nn.List { first = a } end, "the key 'first'")
  raises(function() return nn.Sequential({ a }, b) end,
    "nn.Sequential: expected one list, got 1 more values")
  raises(function() return nn.Sequential() end, "nn.Sequential: expected a list, got nil")
  raises(function() return nn.Sequential(nn.GELU) end, "nn.Sequential: step 1: expected a module "
    .. "or a function, got the class GELU: call it, GELU(…)")
  raises(function() return nn.MLP { foo = 1 } end, "MLP: expected a list", "'foo'")
  raises(function() return nn.MLP { 3 } end, "MLP: expected at least two widths, got 1")
  raises(function() lv.optim.Adam(a) end, "got the module Linear", "parameters()")
  raises(function() lv.optim.Adam {} end, "got an empty list")
  raises(function() lv.optim.Adam { { params = {} } } end, "empty groups")
  raises(function() lv.optim.SGD { a.weight * 2 } end, "computed from one")
  raises(function() lv.optim.Adam({ a.weight }, { beta1 = 1 }) end, "beta1", "below 1")
  raises(function() lv.clip_grad_norm({}, 1) end, "empty list")
  raises(function() lv.clip_grad_norm({ a.weight }, -1) end, "limit")
  raises(function() return nn.Linear(1, 1, {}, 4) end, "Linear: expected at most 3 arguments")
  raises(function() return nn.List { a, nil, b } end, "nothing at 2")
  raises(function() return nn.List { nn.Linear } end, "the class Linear")
  raises(function() return nn.Conv2d(2, 2, { kernel = 3, stride = 0 }) end, "stride")
  raises(function() return nn.Conv2d(2, 2, { kernel = 3, init = "conv" }) end, "init")
  raises(function() return nn.LayerNorm(0) end, "width")
  raises(function() return nn.PositionEncoding { levels = 0 } end, "levels")
  raises(function() return lv.quant.ScaleOffset { bits = 0 } end, "bits")
  raises(function() return lv.loss.mse end, "lv.loss has no 'mse'")
  raises(function() return lv.schedule.cosine end, "lv.schedule has no 'cosine'")
  raises(function() lv.coder.encode { {} } end, "coder.encode: part 1")
  raises(function() lv.ones(2):clamp { min = 0 / 0 } end, "nan")
  -- A gradient that is given twice is scaled once.
  local p = nn.parameter(lv.ones(4))
  ;(p * 3):sum():backward()
  equal(lv.clip_grad_norm({ p, p }, 3), 6)
  harness.near(p.grad:amax():item(), 1.5, 1e-5)
  raises(function() lv.optim.Adam { { params = a } } end, "params: expected a list")
  raises(function() lv.clip_grad_norm(a, 1) end, "expected list, got")
  raises(function() return lv.ones(2):sum { dims = 1 } end, "unknown option 'dims'", "'dim'")
  raises(function() lv.save_safetensors("x", { y = 3 }) end, "save_safetensors: expected a list of "
    .. "{name, tensor} or a table of tensors by name, got something else under 'y'")
  raises(function() lv.save_safetensors("x", { { "y" } }) end, "got something else at 1")
  raises(function() lv.save_safetensors("x", {}) end, "expected tensors, got an empty list")
  local codes = lv.tensor({ 1, 2 }, { dtype = "i32" })
  local part = { symbols = codes, count = 2, model = lv.coder.fit(codes) }
  raises(function() return lv.coder.encode(part) end, "encode: expected a list, got a table")
  raises(function() return lv.coder.decode("", part) end, "decode: expected a list, got a table")
  raises(function() lv.metrics.evaluate(a, {}) end, "evaluate: expected at least one frame")
  for _, share in ipairs { 2, -0.1, 0 / 0 } do
    raises(function() lv.schedule.warmup_linear { warmup = share } end, "from 0 to 1")
    raises(function() lv.schedule.warmup_cosine { warmup = share } end, "from 0 to 1")
  end
end)

-- A model whose innermost layer fails in the library: the error names its path.
local function fail() nn.activation "bogus" end

local Probe <const> = nn.class "Probe"

function Probe.forward(_, act) act() end

local Block <const> = nn.class "Block"

function Block:init() self.probe = Probe() end

function Block:forward(act) return self.probe(act) end

local Net <const> = nn.class "Net"

function Net:init() self.body = nn.List { Block(), Block() } end

function Net:forward(act) return self.body[2](act) end

local function message_of(body)
  local _, message = pcall(body)
  return tostring(message)
end

test("an error in the library carries the path of the module", function()
  raises(function() Net()(fail) end, "test_modules.lua", "Net.body[2].probe: ")
end)

test("the path is forgotten after an error", function()
  Net()(function() end)
  message_of(function() Net()(fail) end)
  assert(not message_of(fail):find("Net", 1, true))
end)

test("coroutines have paths of their own", function()
  local net = Net()
  local waiting = coroutine.wrap(function()
    net(function()
      coroutine.yield()
      fail()
    end)
  end)
  waiting()
  assert(not message_of(fail):find("Net", 1, true))
  raises(waiting, "Net.body[2].probe: ")
end)

test("a native error carries the path", function()
  local net = nn.List { nn.Conv2d(4, 4, { kernel = 3 }) }
  raises(function() net[1](lv.zeros(1, 3, 8, 8)) end, "List[1]")
end)

test("a class extends another", function()
  local Child = nn.class("Child", Pair)
  local child = Child()
  equal(#child:parameters(), 4)
  assert(tostring(child):find("Child", 1, true))
end)

-- Parts --------------------------------------------------------------------------------------

local function listed(each, ...)
  local names, values = {}, {}
  for name, value in each(...) do names[#names + 1], values[#values + 1] = name, value end
  return names, values
end

test("modules and children have names", function()
  local net = Net()
  local names, modules = listed(net.named_modules, net)
  equal(names, { "", "body", "body.1", "body.1.probe", "body.2", "body.2.probe" })
  assert(modules[1] == net and modules[6] == net.body[2].probe)
  names, modules = listed(net.body.named_children, net.body)
  equal(names, { "1", "2" })
  assert(modules[2] == net.body[2] and net.body:children()[2] == net.body[2])
  equal(#net:children(), 1)
  net.body[2] = net.body[1]
  equal(#net.body:children(), 1)
end)

test("apply comes to what is inside first", function()
  local seen = {}
  local net = Net()
  assert(net:apply(function(module) seen[#seen + 1] = module.class_name end) == net)
  equal(seen, { "Probe", "Block", "Probe", "Block", "List", "Net" })
  raises(function() net:apply(3) end, "apply: expected a function, got number")
end)

test("observed calls have names, and gradients where they are asked for", function()
  local net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
  local x = lv.rand(4, 2)
  local calls = net:observe(function() net(x):sum():backward() end, { gradients = true })
  local names = {}
  for i, call in ipairs(calls) do names[i] = call.name end
  equal(names, { "Sequential[1]", "Sequential[2]", "Sequential[3]", "Sequential" })
  equal(calls[3].gradient:tolist(), { { 1 }, { 1 }, { 1 }, { 1 } })
  local w = net[3].weight:tolist()[1]
  equal(calls[2].gradient:tolist(), { w, w, w, w })
  equal(calls[2].gradient.shape, calls[2].output.shape)
  -- Parameters get what they get without it.
  local own = net[1].weight.grad:tolist()
  net[1].weight.grad:zero_()
  net(x):sum():backward()
  equal(net[1].weight.grad:tolist(), own)

  calls = net:observe(function() net(x) end)
  equal(calls[1].gradient, nil)
  calls = net:observe(function() lv.no_grad(function() net(x) end) end, { gradients = true })
  equal(calls[4].gradient, nil)
  raises(function() net:observe(print, { gradient = true }) end,
    "Module:observe: unknown option 'gradient': did you mean 'gradients'? (known: gradients, time)")
end)

-- Forms that others are used to ----------------------------------------------------------------

test("a kernel may come third", function()
  equal(nn.Conv2d(2, 4, 3).weight.shape, { 4, 2, 3, 3 })
  local conv = nn.Conv2d(2, 4, 3, { stride = 2, bias = false })
  equal({ conv.geometry.stride, conv.bias == nil }, { 2, true })
  equal(nn.Conv2d(2, 4, { kernel = 5 }).weight.shape, { 4, 2, 5, 5 })
  raises(function() return nn.Conv2d(2, 4, 3, { kernel = 3 }) end,
    "nn.Conv2d: expected one kernel, got 3 and the option 'kernel'")
  raises(function() return nn.Conv2d(2, 4, { kernel = 3 }, {}) end,
    "nn.Conv2d: expected the kernel before the options, got table")
  raises(function() return nn.Conv2d(2, 4) end,
    "nn.Conv2d: kernel: expected an integer of at least 1, got nil")
  raises(function() return nn.Conv2d(2, 4, { kernal = 3 }) end,
    "nn.Conv2d: unknown option 'kernal': did you mean 'kernel'? (known: bias, dilation, groups, ")
  raises(function() return nn.Conv2d(2, 4, 3, { stride = "same" }) end,
    "nn.Conv2d: option 'stride': expected number or table, got string")
end)

test("steps stand in a row, or in a list, and activations are modules", function()
  local a, b = nn.Linear(2, 3), nn.Linear(3, 1)
  local x = lv.rand(4, 2)
  local expected = b(a(x):gelu()):tolist()
  for _, net in ipairs { nn.Sequential(a, "gelu", b), nn.Sequential { a, nn.GELU(), b },
    nn.Sequential(a, lv.gelu, nn.Identity(), b) } do
    equal(net(x):tolist(), expected)
  end
  equal(nn.Sequential("relu")(lv.tensor { -1, 2 }):tolist(), { 0, 2 })
  equal(#nn.Sequential(a):parameters(), 2)
  for name, class in pairs { relu = nn.ReLU, silu = nn.SiLU, sigmoid = nn.Sigmoid, tanh = nn.Tanh,
    sin = nn.Sin } do
    equal(class()(x):tolist(), nn.activation(name)(x):tolist())
  end
  equal(select("#", nn.Identity()(1, nil, 3)), 3)
  raises(function() nn.activation "gleu" end,
    "nn.activation: unknown activation 'gleu': did you mean 'gelu'?")
  raises(function() nn.activation "softplus" end, "nn.activation: unknown activation 'softplus' "
    .. "(known: gelu, none, relu, sigmoid, silu, sin, tanh)")
end)

test("unknown names are reported with similar ones, or all", function()
  raises(function() return nn.conv2d end, "lv.nn has no 'conv2d': did you mean 'Conv2d'?")
  raises(function() return nn.Layer_Norm end,
    "lv.nn has no 'Layer_Norm': did you mean 'LayerNorm'?")
  raises(function() return lv.optim.AdamW end, "lv.optim has no 'AdamW': did you mean 'Adam'?")
  raises(function() return lv.loss.mse end, "lv.loss has no 'mse' (known: boosted, by_name, l1, ")
  raises(function() return lv.schedule.warmup end,
    "lv.schedule has no 'warmup': did you mean 'warmup_cosine' or 'warmup_linear'?")
  raises(function() return lv.metrics.psnr8bit end,
    "lv.metrics has no 'psnr8bit': did you mean 'psnr_8bit'")
  raises(function() return lv.interop.opne end, "lv.interop has no 'opne': did you mean 'open'?")
  raises(function() lv.loss.by_name "boost" end,
    "loss.by_name: unknown loss 'boost': did you mean 'boosted'?")
  raises(function() lv.schedule.by_name "step" end,
    "schedule.by_name: unknown schedule 'step' (known: cosine_restarts, warmup_cosine, "
      .. "warmup_linear)")
  raises(function() lv.optim.by_name "adm" end,
    "optim.by_name: unknown optimiser 'adm': did you mean 'adam'? (known: adam, adan, muon, ")
  raises(function() lv.optim.Adam({}, { learning_rate = 1 }) end,
    "optim.Adam: unknown option 'learning_rate' (known: beta1, beta2, eps, lr, weight_decay)")
  raises(function() lv.optim.Muon({}, { rest = { optimiser = "sdg" } }) end,
    "optim.Muon: rest: unknown optimiser 'sdg': did you mean 'sgd'? (known: ")
  raises(function() lv.optim.Muon { { params = {}, rest = {} } } end,
    "optim.Muon: group 1: expected `rest` among the options of all groups")
  raises(function() lv.schedule.constant { lr = "fast" } end,
    "schedule.constant: option 'lr': expected number, got string")
  equal(rawget(nn, "conv2d"), nil)
end)

-- What is at the end of a script that runs into an error, without the place.
local function reported(body)
  local folder <close> = harness.folder()
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  local path = folder.path .. "/script.lua"
  assert(lv.write_file(path, [[
    local lv = require "lunerv"
    local nn = lv.nn
    local Block = nn.class "Block"
    function Block:init() self.conv = nn.Conv2d(1, 1, 1) end
    function Block:rebuild() end
    function Block:forward() return self.conv:froward(3) end
    local block, x = Block(), lv.ones(1)
    if false then print(nn, block, x) end
  ]] .. body))
  local run <close> = assert(io.popen(("'%s' run '%s' 2>&1"):format(pipe:read "l", path)))
  return (run:read("l"):gsub("^.*script%.lua:%d+: ", ""))
end

test("absent fields are nil, and calling one names the methods", function()
  equal(Pair().foward, nil)
  local block = "Block has no method '%s'%s (methods: forward, rebuild)"
  local forward = block:format("foward", ": did you mean 'forward'?")
  equal(reported "block:foward(x)", forward)
  equal(reported "return block:foward(x, nil, 3)", forward)
  equal(reported "coroutine.wrap(function() block:foward(x) end)()", forward)
  equal(reported "lv.no_grad(function() local a, b = nil, 3 print(a, b, block:foward()) end)",
    forward)
  equal(reported "Block:foward(x)", forward)
  equal(reported "block(x)",
    "Block: Conv2d has no method 'froward': did you mean 'forward'? (methods: forward)")
  equal(reported "block:paramters()", block:format("paramters", ": did you mean 'parameters'?"))
  equal(reported "block:conf(x)", block:format("conf", ": did you mean 'conv'?"))
  equal(reported "block:cuda()", block:format("cuda", ""))
  equal(reported "({}):foward()", "attempt to call a nil value (method 'foward')")
end)
