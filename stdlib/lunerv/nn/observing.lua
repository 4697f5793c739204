-- Records the calls of a module and of those inside it.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local Module <const> = require "lunerv.nn.module"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local tree <const> = require "lunerv.nn.tree"

-- Called for each call of a module while Module:observe runs; nil otherwise.
local observing <const> = { observer = nil }

local function computed(values)
  for i = 1, values.n do
    if tree.is_tensor(values[i]) then values[i]:evaluate() end
  end
end

-- A tensor that is not a leaf keeps no gradient. A leaf of zeros that is added to it gets the same
-- gradient. Returns the sum to continue with, and the zeros, or nil if no gradient will flow.
local function with_probe(output)
  if not (tree.is_tensor(output) and output.requires_grad) then return output, nil end
  local zeros = native.zeros(table.unpack(output.shape)):to(output.dtype)
  zeros.requires_grad = true
  return output + zeros, zeros
end

-- `call.gradient` is looked up on access, because backward may run later.
local function with_gradient(call, probe)
  return setmetatable(call, { __index = function(_, key)
    return key == "gradient" and probe and probe.grad or nil
  end })
end

local takes <const> = options.takes("Module:observe", {
  { "time", false, "whether to time each call; its output is then computed within it" },
  { "gradients", false, "whether outputs keep their gradients: after backward, call.gradient" },
})

--- Runs a function, and returns the calls of this module and those inside it, in the order in which
--- they ended: { { name =, module =, inputs = { … }, output =, seconds =, gradient = }, … }. Names
--- are paths as in errors, "Net.body[2].conv". A call normally only builds the graph. With `time =
--- true`, the inputs are computed before it and the output within it, and it is timed.
---
---     local function run() model(x):mean():backward() end
---     for _, call in ipairs(model:observe(run, { gradients = true })) do
---       print(call.name, call.output, call.gradient)
---     end
---
---@param run fun()
---@param given? lunerv.Module.observe.Options
---@return table[]
function Module:observe(run, given)
  if type(run) ~= "function" then
    errors.raise("observe: expected a function, got %s", type(run))
  end
  local o = takes(given)
  local calls, inside, outer = {}, {}, observing.observer
  for _, entry in ipairs(tree.modules(self)) do inside[entry[2]] = true end
  local function restore() observing.observer = outer end
  bridge.on_error(function()
    observing.observer = function(module, ...)
      local inputs = table.pack(...)
      if o.time then computed(inputs) end
      local began = o.time and native.time()
      local results = table.pack(module:forward(...))
      if o.time then computed(results) end
      if inside[module] then
        local probe
        if o.gradients then results[1], probe = with_probe(results[1]) end
        local call = {
          name = tree.path(module), module = module, inputs = inputs, output = results[1],
          seconds = o.time and native.time() - began or nil,
        }
        calls[#calls + 1] = o.gradients and with_gradient(call, probe) or call
      end
      return table.unpack(results, 1, results.n)
    end
    run()
  end, restore) -- after an error
  restore()
  return calls
end

return observing
