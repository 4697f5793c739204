-- Optimisers from Lua: groups, state, errors.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local function parameter(...) return lv.nn.parameter(lv.randn(...)) end

-- A convolution's weight, a matrix, and other tensors: a bias, a scale, a row, a column.
local function parameters()
  lv.seed(1)
  return {
    parameter(6, 2, 3, 3), parameter(6), parameter(4, 5), parameter(1, 5, 1, 1), parameter(1, 8),
    parameter(8, 1),
  }
end

-- Names of the states of each parameter, in the order of the groups: "m.1 v.2 …".
local function state_names(optimiser)
  local names = {}
  for name in pairs(optimiser:state()) do
    if name ~= "step" then names[#names + 1] = name end
  end
  table.sort(names)
  return table.concat(names, " ")
end

-- One step down the sum of the squares.
local function step(optimiser, list)
  optimiser:zero_grad()
  local loss = 0
  for _, p in ipairs(list) do loss = loss + p:square():sum() end
  loss:backward()
  optimiser:step()
  return loss:item()
end

test("matrices are recognised by their shapes, the rest goes to another optimiser", function()
  local muon = lv.optim.Muon(parameters(), { rest = { optimiser = "adam" } })
  equal(state_names(muon), "m.1 m.2 m.3 m.4 m.5 m.6 v.3 v.4 v.5 v.6")
  local soap = lv.optim.SOAP(parameters(), { largest = 10, rest = { optimiser = "sgd" } })
  equal(state_names(soap), "l.1 l.2 m.1 m.2 m.3 m.4 m.5 m.6 ql.1 ql.2 qr.2 r.2 t.1 t.2 v.1 v.2")
  equal(soap:state()["l.1"].shape, { 6, 6 })
  equal(soap:state()["qr.2"].shape, { 5, 5 })
  -- Adan is what others get unless they say so.
  equal(state_names(lv.optim.SOAP { parameter(3) }), "d.1 g.1 m.1 n.1")
  equal({ muon.lr, soap.lr }, { 1e-2, 3e-3 })
end)

test("every optimiser goes down, by name as well", function()
  for _, name in ipairs { "adam", "adan", "muon", "sgd", "soap" } do
    local list = parameters()
    local optimiser = lv.optim.by_name(name)(list, { lr = 0.01 })
    local first = step(optimiser, list)
    local last
    for _ = 1, 12 do last = step(optimiser, list) end
    assert(last < first, name)
  end
end)

test("groups name their optimiser, take options from the call, keep their ratio", function()
  local p = parameters()
  local optimiser = lv.optim.SOAP({
    { params = { p[1], p[2] } },
    { params = p[3], optimiser = "sgd", lr = 0.1 },
    { params = { p[4] }, optimiser = "adam" },
  }, { lr = 0.01, rest = { optimiser = "sgd", lr = 0.02 } })
  equal(state_names(optimiser), "l.1 m.1 m.2 m.3 m.4 ql.1 qr.1 r.1 t.1 v.1 v.4")
  equal(optimiser.lr, 0.01)
  optimiser.lr = 0.005
  local before = { p[2]:tolist(), p[3]:tolist() }
  step(optimiser, p)
  -- Half of 0.02 and of 0.1, times the gradient 2x.
  near(p[2]:tolist()[1], before[1][1] * (1 - 0.02), 1e-6)
  near(p[3]:tolist()[1][1], before[2][1][1] * (1 - 0.1), 1e-6)
end)

test("shampoo_beta is beta2 unless it is given, by a group or for all", function()
  local function run(groups, given)
    lv.seed(2)
    local p = parameter(4, 5)
    local optimiser = lv.optim.SOAP(groups(p), given)
    for _ = 1, 3 do step(optimiser, { p }) end
    return optimiser:state()["l.1"]:tolist()
  end
  local function plain(p) return { p } end
  local own = run(plain, { beta2 = 0.8 })
  equal(run(plain, { beta2 = 0.8, shampoo_beta = 0.8 }), own)
  equal(run(function(p) return { { params = p, shampoo_beta = 0.8 } } end, { beta2 = 0.8 }), own)
  assert(math.abs(run(plain, { beta2 = 0.8, shampoo_beta = 0.5 })[1][1] - own[1][1]) > 1e-3)
end)

test("weight decay is decoupled", function()
  local p, q = parameter(3), parameter(3)
  lv.no_grad(function() q:copy_(p) end)
  step(lv.optim.SGD({ p }, { lr = 0.1 }), { p })
  step(lv.optim.SGD({ q }, { lr = 0.1, weight_decay = 0.5 }), { q })
  -- p is 0.8 of what it was, and q has lost 0.05 of that more.
  near(q:tolist()[1], p:tolist()[1] * 0.75 / 0.8, 1e-6)
end)

test("a saved optimiser continues to the bit", function()
  for _, name in ipairs { "muon", "soap", "sgd" } do
    local function make()
      local list = parameters()
      return list, lv.optim.by_name(name)(list, { lr = 0.02 })
    end
    local whole, reference = make()
    for _ = 1, 14 do step(reference, whole) end
    local list, first = make()
    for _ = 1, 5 do step(first, list) end
    local again, second = make()
    lv.no_grad(function()
      for i, p in ipairs(again) do p:copy_(list[i]) end
    end)
    second:load_state(first:state())
    for _ = 6, 14 do step(second, again) end
    for i, p in ipairs(again) do equal(p:tolist(), whole[i]:tolist()) end
    equal(second:state().step, 14)
  end
end)

test("wrong arguments are errors", function()
  local list = parameters()
  local known = "adam, adan, muon, sgd, soap"
  raises(function() lv.optim.by_name "lion" end, "unknown optimiser 'lion'", known)
  raises(function() lv.optim.Adam { { params = list, optimiser = "lion" } } end, known, "'lion'")
  raises(function() lv.optim.SOAP(list, { rest = { optimiser = "lion" } }) end, known, "'lion'")
  raises(function() lv.optim.SOAP(list, { beta3 = 1 }) end, "option 'beta3'", "shampoo_beta")
  raises(function() lv.optim.Muon(list, { shampoo_beta = 1 }) end, "unknown option 'shampoo_beta'")
  raises(function() lv.optim.Muon(list, { rest = { nesterov = true } }) end, "'nesterov'")
  raises(function() lv.optim.SOAP(list, { frequency = 0 }) end, "soap", "at least 1, got 0")
  raises(function() lv.optim.SOAP(list, { largest = 0 }) end, "soap", "from 1 to 16384, got 0")
  raises(function() lv.optim.SOAP(list, { lr = "fast" }) end, "'lr'", "number")
  raises(function() lv.optim.SOAP { { lr = 1 } } end, "group 1", "params")
  raises(function() lv.optim.SGD(3) end, "list of parameters or groups, got number")
  raises(function() lv.optim.Adan { { params = { list[2] }, optimiser = "soap" } } end,
    "soap: parameter 1: expected two dimensions or more, got 1")
  raises(function() lv.optim.Adam { list[1], list[1] } end, "expected each parameter once")
  local optimiser = lv.optim.Adam(list)
  local state = optimiser:state()
  for _, number in ipairs { -1, math.maxinteger } do
    state.step = number
    raises(function() optimiser:load_state(state) end,
      "optimiser: step: expected from 0 to 2^53, got " .. number)
  end
end)
