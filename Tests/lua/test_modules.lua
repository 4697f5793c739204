local harness <const> = require "harness"
local lv <const> = require "lunerv"
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
  raises(function() pair.blocks = { nn.Linear(1, 1) } end, "nn.List", "'blocks'")
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
