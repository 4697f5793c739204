-- The state of modules: loaded by name, copied, converted, and through files.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local shared <const> = require "pair"
local nn <const> = lv.nn

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test
local Pair <const>, names_of <const> = shared.Pair, shared.names_of

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

test("a copy has separate parameters, and shared ones stay shared within it", function()
  local pair = Pair()
  pair.tied, pair.weight, pair.config = pair.first, pair.second.weight, { list = { 1, 2 } }
  pair.config.self = pair.config
  local other = pair:clone()
  equal(names_of(other), names_of(pair))
  assert(getmetatable(other) == getmetatable(pair) and other.first ~= pair.first)
  assert(other.tied == other.first and rawequal(other.weight, other.second.weight))
  assert(other.config.self == other.config and other.config.list ~= pair.config.list)
  assert(not other.mean.requires_grad and other.first.weight.requires_grad)
  local x = lv.rand(4, 2)
  equal(other(x):tolist(), pair(x):tolist())
  lv.no_grad(function() pair.first.weight:fill_(0) end)
  assert(other.first.weight:amax():item() ~= 0)
  raises(function() other.first(lv.rand(4, 7)) end, "Pair.first: ")
end)

test("a copy begins where the module did", function()
  local parameter <const> = require "lunerv.nn.parameter"
  local layer = nn.Linear(2, 2)
  assert(parameter.origin(layer.weight))
  equal(parameter.origins(layer:clone()), parameter.origins(layer))
end)

test("a module's numbers become 64-bit ones in their places, and come back", function()
  local pair = Pair()
  pair.weight, pair.count = pair.second.weight, lv.tensor({ 1 }, { dtype = "i32" })
  local before = pair.first.weight:tolist()
  assert(pair:to "f64" == pair)
  equal(pair.first.weight.dtype, "f64")
  equal(pair.mean.dtype, "f64")
  equal(pair.count.dtype, "i32")
  assert(rawequal(pair.weight, pair.second.weight))
  equal(names_of(pair), { "second.weight", "second.bias", "first.weight", "first.bias" })
  pair(lv.rand(2, 2):to "f64"):sum():backward()
  equal(pair.first.weight.grad.dtype, "f64")
  equal(pair:to("f32").first.weight:tolist(), before)
  local encoded = nn.PositionEncoding { levels = 3 }
  equal(encoded:to("f64")(0.5).dtype, "f64")
  raises(function() pair:to "f16" end, "to: expected 'f32' or 'f64', got 'f16'")
  raises(function() pair:to(64) end, "to: expected 'f32' or 'f64', got number")
end)

test("values go through files and lists by whatever way", function()
  local folder <close> = harness.folder()
  local path, pair = folder.path .. "/pair.safetensors", Pair()
  local first = pair.first.weight:tolist()
  local function arrived(other) equal(other.first.weight:tolist(), first) end

  assert(pair:save(path, { note = "two" }) == true)
  local other = Pair()
  assert(other:load(path) == other)
  arrived(other)
  local tensors, metadata = lv.load_safetensors(path)
  equal(metadata.note, "two")
  arrived(Pair():load_state_dict(tensors))
  local list = {}
  for i, entry in ipairs(pair:state_dict()) do list[i] = { entry[1], entry[2] } end
  arrived(Pair():load_state_dict(list))
  arrived(Pair():to("f64"):load_state_dict(tensors):to "f32")

  -- A table by name is written too, in the order of its names.
  assert(lv.save_safetensors(path, tensors))
  arrived(Pair():load(path))
  assert(lv.save_safetensors(path, pair:state_dict()))
  arrived(Pair():load(path))
  local _, _, names = lv.load_safetensors(path)
  equal(names[1], "second.weight")

  local none, problem = Pair():load(folder.path .. "/none")
  equal({ none == nil, problem.kind }, { true, "io" })
  raises(function() nn.Linear(3, 2):load(path) end,
    ("load: '%s': 'weight' is missing from the values to load"):format(path))
  raises(function() nn.Tanh():save(path) end, "save: Tanh has no tensors to write")
end)

test("loaded values take the module's types, and are never lost silently", function()
  local folder <close> = harness.folder()
  local path, pair = folder.path .. "/pair.safetensors", Pair()
  local wide = {}
  for _, entry in ipairs(pair:state_dict()) do wide[entry[1]] = entry[2]:detach():to "f64" end
  local other = Pair():load_state_dict(wide)
  equal({ other.first.weight.dtype, other.first.weight:tolist() },
    { "f32", pair.first.weight:tolist() })

  wide["first.bias"] = lv.full(-1e300, wide["first.bias"].shape, { dtype = "f64" })
  local before = other.second.weight:tolist()
  wide["second.weight"] = wide["second.weight"] + 1
  raises(function() other:load_state_dict(wide) end, "load_state_dict: first.bias: expected values "
    .. "within the range of f32, got 1e+300")
  equal(other.second.weight:tolist(), before)
  assert(lv.save_safetensors(path, wide))
  raises(function() other:load(path) end, "first.bias", "1e+300")
  local double = Pair():to "f64":load_state_dict(wide)
  raises(function() double:to "f32" end, "to: first.bias: expected values within the range of f32")
  equal(double.first.bias.dtype, "f64")
  -- What was infinite before is no loss.
  wide["first.bias"] = lv.full(math.huge, wide["first.bias"].shape, { dtype = "f64" })
  equal(Pair():load_state_dict(wide).first.bias:amin():item(), math.huge)

  -- Integers of 32 bits that f32 does not have.
  local odd = lv.full(2 ^ 24 + 1, wide["first.bias"].shape, { dtype = "i32" })
  wide["first.bias"] = odd
  raises(function() other:load_state_dict(wide) end,
    "load_state_dict: first.bias: expected values that f32 holds exactly, got others as i32")
  wide["first.bias"] = odd - 1
  equal(other:load_state_dict(wide).first.bias:amax():item(), 2.0 ^ 24)
  local Counter = nn.class "Counter"
  function Counter:init() self.steps = lv.zeros(1, { dtype = "i32" }) end
  raises(function() Counter():load_state_dict { steps = lv.tensor { 1.5 } } end, "steps", "i32")
  raises(function() Counter():load_state_dict { steps = lv.tensor { 1e30 } } end, "steps", "i32")
  raises(function() Counter():load_state_dict { steps = lv.tensor { 0 / 0 } } end, "steps", "i32")
  equal(Counter():load_state_dict({ steps = lv.tensor { 7 } }).steps:item(), 7)
end)

test("entries that either side lacks are skipped on request, and reported", function()
  local folder <close> = harness.folder()
  local path, pair = folder.path .. "/more.safetensors", Pair()
  local more = { ["a.step"] = lv.zeros(1), b = lv.zeros(2) }
  for _, entry in ipairs(pair:state_dict()) do more[entry[1]] = entry[2] end
  assert(lv.save_safetensors(path, more))
  raises(function() Pair():load_state_dict(more) end, "Pair has no", "a.step")
  local other, left_out = Pair():load_state_dict(more, { extra = "skip" })
  equal({ other.first.weight:tolist(), left_out },
    { pair.first.weight:tolist(), { missing = {}, extra = { "a.step", "b" } } })
  other, left_out = assert(Pair():load(path, { extra = "skip" }))
  equal({ other.first.weight:tolist(), left_out.extra },
    { pair.first.weight:tolist(), { "a.step", "b" } })
  -- Skipping what is too much does not allow for what is missing; strict = false allows for both.
  more["first.weight"] = nil
  raises(function() Pair():load_state_dict(more, { extra = "skip" }) end,
    "load_state_dict: 'first.weight' is missing from the values to load")
  local _, both = Pair():load_state_dict(more, { strict = false })
  equal(both, { missing = { "first.weight" }, extra = { "a.step", "b" } })
  raises(function() pair:load_state_dict(more, { extra = "drop" }) end,
    "load_state_dict: option 'extra': expected 'refuse' or 'skip', got 'drop'")

  -- A file may hold types that no tensor has, but not under a name that the module has.
  local function with_short(name)
    local file <close> = assert(io.open(path, "wb"))
    local text = ('{"%s":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}'):format(name)
    assert(file:write(string.pack("<s8", text), "\1\0\2\0"))
  end
  with_short "table"
  local none, problem = Pair():load(path)
  assert(none == nil and problem:find "I16", problem)
  equal(select(2, assert(Pair():load(path, { strict = false }))).extra, { "table" })
  with_short "first.weight"
  raises(function() Pair():load(path, { strict = false }) end,
    "'first.weight' is of a type or range that no tensor here has")
end)

test("a failed load changes nothing", function()
  local pair = Pair()
  local before = pair.second.weight:tolist()
  local dict = { ["second.weight"] = lv.zeros(2, 3), ["second.bias"] = lv.zeros(2) }
  raises(function() pair:load_state_dict(dict) end,
    "load_state_dict: 'first.weight' is missing from the values to load")
  equal(pair.second.weight:tolist(), before)
  raises(function() pair:load_state_dict { ["second.weight"] = 3 } end,
    "load_state_dict: second.weight: expected a tensor, got number")
  raises(function() pair:load_state_dict { { "second.weight", lv.zeros(2, 3) }, { 3 } } end,
    "load_state_dict: expected names of tensors, got the key '3'")
  raises(function() pair:load_state_dict { { "a", lv.zeros(1) }, { "a", lv.zeros(1) } } end,
    "load_state_dict: expected each name once, got 'a' twice")
  raises(function() pair:load_state_dict(pair) end,
    "load_state_dict: expected a table of tensors by name, got Pair: give it module:state_dict()")
  raises(function() pair:load_state_dict({}, { strikt = false }) end,
    "Module:load_state_dict: unknown option 'strikt': did you mean 'strict'? (known: extra, "
      .. "strict)")
end)
