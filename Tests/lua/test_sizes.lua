-- Sizes, depths and lengths that a script can make but no machine can hold: errors, not crashes.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- A view of this many elements.
local function view(...) return lv.zeros(1):expand(...) end

test("views that broadcast over each other have a size", function()
  for _, join in ipairs {
    function(a, b) return a + b end, lv.eq, lv.maximum,
    function(a, b) return lv.where(a, b, a) end,
  } do
    raises(function() join(view(1 << 40, 1), view(1, 1 << 40)) end, "is too large")
  end
end)

test("sizes are summed and multiplied as far as numbers go", function()
  local list = {}
  for i = 1, 1 << 16 do list[i] = view(1 << 48) end
  raises(function() lv.cat(list) end, "too large")
  raises(function() lv.zeros(1, 1 << 48, 0, 0):pixel_unshuffle(1 << 14) end, "too large")
  raises(function() lv.zeros(1, 0, 1 << 47, 1 << 40):pixel_shuffle(1 << 14) end, "too large")
  for _, limits in ipairs { { 1e300, 0 }, { 1e308, -1e308 } } do
    equal(lv.arange(table.unpack(limits)).shape, { 0 })
  end
  raises(function() lv.arange(-1e308, 1e308) end, "too many")
end)

test("every division terminates", function()
  local x = lv.zeros(1, 0, 0, 0)
  for _ = 1, 100000 do x = x:pixel_unshuffle(2) end
  equal(x:sum():item(), 0)
  local y = lv.ones(1, 1, 1, 1):expand(1, 1, 512, 512)
  for _ = 1, 9 do
    y = y:pixel_unshuffle(2)
    for _ = 1, 60 do y = y + 1 end
  end
  equal({ y:size(2), y:mean():item() }, { 1 << 18, 541 })
end)

test("a list's length does not bound its content", function()
  local list = {}
  for i = 0, 61 do list[1 << i] = 1 end
  for _, f in ipairs { lv.zeros, lv.tensor, function(t) return lv.zeros(3):index_select(1, t) end,
    function(t) return lv.zeros(3):sum(t) end } do
    raises(function() f(list) end, "argument")
  end
end)

test("shared rows are counted at every occurrence", function()
  local row = {}
  for i = 1, 999 do row[i] = 1 end
  local rows = {}
  for i = 1, 9999 do rows[i] = row end
  raises(function() native.work_charged(function() lv.tensor(rows) end, 1e8) end, "max_work")
  for _ = 1, 3 do rows = { rows, rows, rows, rows } end
  raises(function() lv.tensor(rows) end, "more than 16777216 values")
  -- Values other than tensors are not inspected.
  local tree = { 1 }
  for _ = 1, 40 do tree = { tree, tree } end
  equal(lv.is_tensor(tree), false)
end)

test("an expression may be of any width", function()
  local x, parts = lv.rand(8, 8), {}
  for i = 1, 5000 do parts[i] = x:maximum(lv.full(i, 8, 1)) end
  while #parts > 1 do
    local pairs_of = {}
    for i = 1, #parts, 2 do
      pairs_of[#pairs_of + 1] = parts[i + 1] and parts[i]:maximum(parts[i + 1]) or parts[i]
    end
    parts = pairs_of
  end
  equal(parts[1]:sum():item(), 64 * 5000)
end)

test("the length of equations and messages is limited", function()
  local long = ("x"):rep(1 << 22)
  raises(function() lv.einsum(long, lv.zeros(1)) end, "at most 4096 letters")
  local _, message = pcall(lv.zeros(1).to, lv.zeros(1), long)
  assert(#tostring(message) < 1 << 17, #tostring(message))
end)

test("a module that is one of its own fields has a path", function()
  local Loop = lv.nn.class "Loop"
  function Loop:init() self.me = self end
  function Loop:forward() return lv.zeros(2) + lv.zeros(3) end
  raises(function() Loop()() end, "….me.me", "do not broadcast")
end)

-- The search for a user's line among hundreds of thousands of the library's took minutes.
test("an endless recursion of modules is an error soon", function()
  local Deep = lv.nn.class "Deep"
  function Deep:forward(x) return self(x) end
  raises(function() lv.no_grad(function() return Deep()(1) end) end, "stack overflow")
end)
