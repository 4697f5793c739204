-- lv.gradcheck: gradients against finite differences.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local takes <const> = options.takes("gradcheck", {
  { "step", 1e-5, "the change of an element in either direction" },
  { "tolerance", 1e-6, "largest error of a gradient, relative to the difference quotient where "
    .. "that is above 1" },
  { "elements", 200, "number of elements compared in each tensor, evenly spaced, with the "
    .. "first and the last", type = "integer" },
})

local function is_tensor(value) return type(value) == "userdata" and native.is_tensor(value) end
local function is_float(x) return x.dtype == "f32" or x.dtype == "f64" end

-- A leaf of 64 bits with the values of x.
local function widened(x)
  local wide = x:detach():to("f64"):clone()
  wide.requires_grad = true
  return wide
end

-- The tensors whose gradients are compared, { tensor =, name = } each, and a function without
-- arguments that computes with them. A module is copied.
local function prepared(f, inputs)
  local leaves, arguments = {}, { n = #inputs }
  for i = 1, #inputs do
    local value = inputs[i]
    if is_tensor(value) and is_float(value) then
      value = widened(value)
      leaves[#leaves + 1] = { tensor = value, name = ("argument %d"):format(i) }
    end
    arguments[i] = value
  end
  if type(f) == "table" and f.class_name and f.named_parameters then
    f = f:clone():to "f64"
    for name, tensor in f:named_parameters() do
      leaves[#leaves + 1] = { tensor = tensor, name = ("parameter '%s'"):format(name) }
    end
  end
  return leaves, function() return f(table.unpack(arguments, 1, arguments.n)) end
end

-- A function that reduces all results to one number: their sum, with a different weight for each
-- element. Every call draws the same random numbers.
local function total_of(run)
  local state <const>, weights = native.rng_state(), {}
  return function()
    native.set_rng_state(state)
    local results, total = table.pack(run()), nil
    native.set_rng_state { seed = 1, counter = 0 }
    for i = 1, results.n do
      local y = results[i]
      if is_tensor(y) and is_float(y) then
        if not weights[i] then
          weights[i] = native.randn(table.unpack(y.shape)):to "f64"
        end
        local part = (y:to "f64" * weights[i]):sum()
        total = total and total + part or part
      end
    end
    if not total then
      errors.raise("gradcheck: expected a function that returns a tensor of floating point, got %s",
        results.n == 0 and "nothing" or type(results[1]))
    end
    return total
  end
end

-- At most `most` numbers from 1 to count, evenly spaced.
local function spread(count, most)
  local list = {}
  if count <= most then
    for i = 1, count do list[i] = i end
  else
    for i = 1, most do list[i] = 1 + (i - 1) * (count - 1) // math.max(most - 1, 1) end
  end
  return list
end

-- The position of an element in each dimension, from its index in logical order.
local function index_of(place, shape)
  local index, rest = {}, place - 1
  for d = #shape, 1, -1 do
    index[d] = rest % shape[d] + 1
    rest = rest // shape[d]
  end
  return index
end

local function put(tensor, index, value)
  native.no_grad(function()
    if #index == 0 then tensor:fill_(value) else tensor[index] = value end
  end)
end

-- Compares the elements of one tensor. Returns the worst, { off =, index =, ours =, theirs = }, and
-- the number of elements whose error is too large.
local function compare(leaf, gradient, total, o)
  local tensor, shape = leaf.tensor, leaf.tensor.shape
  local ours = gradient and gradient:reshape(-1):tolist()
  local worst, wrong = nil, 0
  local values = tensor:detach():reshape(-1):tolist()
  for _, place in ipairs(spread(#values, o.elements)) do
    local index = index_of(place, shape)
    local function at(value)
      put(tensor, index, value)
      return native.no_grad(total):item()
    end
    local high, low = values[place] + o.step, values[place] - o.step
    local theirs = (at(high) - at(low)) / (high - low)
    put(tensor, index, values[place])
    local own = ours and ours[place] or 0
    local off = math.abs(own - theirs) / math.max(1, math.abs(theirs))
    if off ~= off then off = math.huge end -- not a number
    if off > o.tolerance then wrong = wrong + 1 end
    if not worst or off > worst.off then
      worst = { off = off, index = index, ours = own, theirs = theirs, name = leaf.name }
    end
  end
  return worst, wrong
end

--- Compares the gradients of a function with finite differences in 64 bits. The error names the
--- element with the largest deviation, and both values.
--- Unlike PyTorch, it accepts f32 arguments, and compares only some elements of large tensors. Each
--- element is changed in both directions, and the results are computed again. Floating-point
--- arguments become 64-bit tensors; all others are passed unchanged. A module is copied in 64 bits,
--- and its parameters are checked too. Several results are checked together, each element with its
--- own weight.
---
---     lv.gradcheck(function(x, w) return (x * w):sin() end, { lv.randn(2, 3), lv.randn(3) })
---     lv.gradcheck(nn.Linear(4, 3), { lv.randn(2, 4) })
---
---@param f fun(...: lunerv.Tensor): lunerv.Tensor ...|lunerv.Module
---@param inputs lunerv.Tensor|any[]  its arguments
---@param given? lunerv.gradcheck.Options
---@return boolean  true
local function gradcheck(f, inputs, given)
  local o = takes(given)
  if o.elements < 1 or o.step <= 0 then
    errors.raise("gradcheck: expected elements of at least 1 and a step above 0, got %d and %g",
      o.elements, o.step)
  end
  if is_tensor(inputs) then inputs = { inputs } end
  if type(inputs) ~= "table" or inputs.class_name then
    errors.raise("gradcheck: expected a list of arguments, got %s", type(inputs))
  end
  local before <const> = native.rng_state()
  local _ <close> = setmetatable({}, { __close = function() native.set_rng_state(before) end })
  local leaves, run = prepared(f, inputs)
  if #leaves == 0 then
    errors.raise("gradcheck: expected a tensor of floating point among the arguments, got none")
  end
  local total, tensors = total_of(run), {}
  for i, leaf in ipairs(leaves) do tensors[i] = leaf.tensor end
  local value, gradients = total(), {}
  if value.requires_grad then
    gradients = table.pack(native.grad(value, tensors, { allow_unused = true }))
  end
  local worst, wrong = nil, 0
  for i, leaf in ipairs(leaves) do
    local found, count = compare(leaf, gradients[i], total, o)
    wrong = wrong + count
    if found and (not worst or found.off > worst.off) then worst = found end
  end
  if wrong > 0 then
    errors.raise("gradcheck: %s, element (%s): expected %.12g, by differences, got %.12g "
      .. "(%d %s off)", worst.name, table.concat(worst.index, ", "), worst.theirs, worst.ours,
      wrong, wrong == 1 and "element is" or "elements are")
  end
  return true
end

return gradcheck
