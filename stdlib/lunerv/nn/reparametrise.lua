-- Reparametrisation: parameters are transformed whenever their module computes.
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local tree <const> = require "lunerv.nn.tree"
local with_parameters <const> = require "lunerv.nn.with_parameters"

-- A forward made here → the functions that it runs before the module's own: { { name, f }, … }.
local steps_of <const> = setmetatable({}, { __mode = "k" })

--- Makes a module compute with f(parameter) instead of one of its parameters, on every call: weight
--- normalisation, masks, quantisers.
--- Unlike PyTorch (`torch.nn.utils.parametrize.register_parametrization`), no field is renamed, and
--- the field holds the computed values only inside `module(…)`. The parameter keeps its name and
--- its values, and is what is trained and stored. A function that is itself a module, such as
--- lv.quant.Scale, becomes a field of the module, so that its own parameters are trained too.
--- Several functions for one parameter are applied in the order in which they were added.
---
---     local conv = nn.Conv2d(8, 8, 3)
---     nn.reparametrise(conv, "weight", function(w) return w:tanh() end)
---     nn.reparametrise(conv, "weight", lv.quant.Scale(conv.weight, { bits = 6 }))
---
---@param module lunerv.Module
---@param name string  the field that holds the parameter
---@param f fun(parameter: lunerv.Tensor): lunerv.Tensor|lunerv.Module
---@return lunerv.Module  the module
local function reparametrise(module, name, f)
  if not tree.is_module(module) then
    errors.raise("reparametrise: expected a module, got %s", type(module))
  end
  if not tree.is_tensor(rawget(module, name)) then
    local known = {}
    for _, key in ipairs(module[tree.ORDER]) do
      if tree.is_tensor(rawget(module, key)) then known[#known + 1] = tostring(key) end
    end
    errors.raise("reparametrise: %s has no tensor '%s'%s", module.class_name, tostring(name),
      names.meant(tostring(name), known))
  end
  if type(f) ~= "function" and not tree.is_module(f) then
    errors.raise("reparametrise: expected a function or a module, got %s", type(f))
  end
  if tree.is_module(f) then
    local field, count = name .. "_by", 1
    while rawget(module, field) ~= nil do
      count = count + 1
      field = name .. "_by_" .. count
    end
    module[field] = f
    -- Looked up on every call, so that a clone uses its own.
    f = function(parameter, self) return rawget(self, field)(parameter) end
  end
  local known = steps_of[module.forward]
  local inner, steps = module.forward, { { name, f } }
  if known then
    -- A clone has the same forward, which must not be changed through this one.
    inner = known.inner
    table.move(known, 1, #known, 1, steps)
    steps[#known + 1] = { name, f }
  end
  steps.inner = inner
  local function forward(self, ...)
    local tensors = {}
    for _, step in ipairs(steps) do
      local key = step[1]
      tensors[key] = step[2](tensors[key] or rawget(self, key), self)
    end
    return with_parameters(self, tensors, inner, self, ...)
  end
  steps_of[forward] = steps
  module.forward = forward
  return module
end

return reparametrise
