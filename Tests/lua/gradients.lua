-- Gradients of whole modules against finite differences, in 64 bits.
local native <const> = require "lunerv.native"
local parameter <const> = require "lunerv.nn.parameter"

local gradients <const> = {}

local step <const>, tolerance <const> = 1e-5, 1e-7

-- Turns every tensor of a module into 64 bits; returns its parameters.
local function widen(module)
  for _, part in ipairs(module:modules()) do
    for key, value in pairs(part) do
      if type(value) == "userdata" and native.is_tensor(value) then
        local wide = value:detach():to "f64"
        rawset(part, key, value.requires_grad and parameter.from(wide) or wide)
      end
    end
  end
  return module:parameters()
end

-- Three numbers of a tensor: the first, one in the middle, and the last.
local function places(tensor)
  local count = tensor:numel()
  return { 1, (count + 1) // 2, count }
end

local function nudged(tensor, place, by)
  local change = {}
  for i = 1, tensor:numel() do change[i] = i == place and by or 0 end
  return tensor:detach() + native.tensor(change):to "f64":view(table.unpack(tensor.shape))
end

-- Raises an error unless a weighted sum over module(table.unpack(inputs)) has the gradients that
-- differences show, in some elements of every parameter and input.
function gradients.check(module, inputs)
  local leaves = widen(module)
  for i, input in ipairs(inputs) do
    inputs[i] = parameter.from(input:detach():to "f64")
    leaves[#leaves + 1] = inputs[i]
  end
  local weights
  local function value()
    local y = module(table.unpack(inputs))
    weights = weights or native.randn(table.unpack(y.shape)):to "f64"
    return (y * weights):sum()
  end
  value():backward()
  for n, leaf in ipairs(leaves) do
    local ours = (leaf.grad or native.zeros(1):to "f64"):clone():view(-1):tolist()
    local original = leaf:detach():clone()
    for _, place in ipairs(places(leaf)) do
      local function at(by)
        return native.no_grad(function()
          leaf:copy_(nudged(original, place, by))
          return value():item()
        end)
      end
      local expected = (at(step) - at(-step)) / (2 * step)
      native.no_grad(function() leaf:copy_(original) end)
      local agrees = math.abs(ours[place] - expected) <= tolerance * math.max(1, math.abs(expected))
      if not agrees then -- also when either is no number
        error(("%s, leaf %d, element %d: gradient %.12g, differences say %.12g"):format(
          module.class_name, n, place, ours[place], expected), 2)
      end
    end
  end
end

return gradients
