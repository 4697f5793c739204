-- Modules: fields, parameters, state, paths in errors.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local nn <const> = lv.nn

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local Pair <const> = nn.class "Pair"

function Pair:init()
  self.second = nn.Linear(3, 2)
  self.first = nn.Linear(2, 3)
  self.note = "no parameter"
  self.mean = lv.zeros(2)
end

function Pair:forward(x) return self.second(self.first(x)) end

local function names_of(module)
  local names = {}
  for name in module:named_parameters() do names[#names + 1] = name end
  return names
end

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
  raises(function() pair.gains = { nn.parameter(lv.ones(3)) } end, "'gains'", "of parameters")
end)

test("what hides in plain tables is refused when training begins", function()
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

  -- What is seen elsewhere, and what is not trained, may stand anywhere; a table may hold itself.
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
  local x = lv.rand(1, 16, 128, 128)
  local function run() return lv.no_grad(function() return deep(x) end) end
  equal(deep:observe(run)[1].seconds, nil)
  -- A clock that tells memory: what is computed within a call has taken some by its end.
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
  raises(function() return nn.List({ a }, b) end, "List: expected one list, got 1 values more")
  raises(function() return nn.List { first = a } end, "the key 'first'")
  raises(function() return nn.Sequential(a, b) end, "Sequential: expected one list")
  raises(function() return nn.Sequential(a) end, "Sequential: expected a list, got Linear")
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
  raises(function() lv.coder.encode { {} } end, "encode: part 1")
  raises(function() lv.ones(2):clamp { min = 0 / 0 } end, "nan")
  -- A gradient that is given twice is scaled once.
  local p = nn.parameter(lv.ones(4))
  ;(p * 3):sum():backward()
  equal(lv.clip_grad_norm({ p, p }, 3), 6)
  harness.near(p.grad:amax():item(), 1.5, 1e-5)
  raises(function() lv.optim.Adam { { params = a } } end, "params: expected a list")
  raises(function() lv.clip_grad_norm(a, 1) end, "expected list, got")
  raises(function() lv.save_safetensors("x", { y = lv.ones(1) }) end, "expected list", "'y'")
  raises(function() return lv.ones(2):sum { dims = 1 } end, "unknown option 'dims'", "'dim'")
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

test("values are loaded by name", function()
  local a, b = Pair(), Pair()
  b:load_state_dict(a:state_dict())
  equal(b.first.weight:tolist(), a.first.weight:tolist())
end)

test("a wrong shape names the parameter", function()
  local dict = {}
  for _, entry in ipairs(Pair():state_dict()) do dict[entry[1]] = entry[2] end
  dict["first.weight"] = lv.zeros(3, 4)
  raises(function() Pair():load_state_dict(dict) end, "first.weight", "(3, 2)", "(3, 4)")
end)

test("missing and unexpected names are refused, unless not strict", function()
  raises(function() Pair():load_state_dict {} end, "second.weight", "missing")
  local dict = {}
  for _, entry in ipairs(Pair():state_dict()) do dict[entry[1]] = entry[2] end
  dict.extra = lv.zeros(1)
  raises(function() Pair():load_state_dict(dict) end, "extra")
  Pair():load_state_dict({ extra = lv.zeros(1) }, { strict = false })
end)

-- A model whose innermost layer asks for what there is not: the library says where.
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
