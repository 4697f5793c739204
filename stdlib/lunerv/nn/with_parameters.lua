-- Replaces a module's parameters by other tensors.
local errors <const> = require "lunerv.errors"
local replaced <const> = require "lunerv.nn.replacements"
local tree <const> = require "lunerv.nn.tree"

-- Tensor of the module → its replacement.
local function replacements(module, tensors)
  local own, names, others = {}, {}, {}
  for _, entry in ipairs(tree.tensors(module)) do
    own[entry[1]] = entry[2]
    names[#names + 1] = entry[1]
  end
  for name, tensor in next, tensors do
    local old = own[name]
    if not old then
      errors.raise("with_parameters: %s has no '%s'%s", module.class_name, tostring(name),
        errors.meant(name, names))
    end
    if not tree.is_tensor(tensor) then
      errors.raise("with_parameters: %s: expected a tensor, got %s", name, type(tensor))
    end
    local expected, got = table.concat(old.shape, ", "), table.concat(tensor.shape, ", ")
    if got ~= expected then
      errors.raise("with_parameters: %s: expected shape (%s), got (%s)", name, expected, got)
    end
    others[old] = tensor
  end
  return others
end

-- The fields to replace, and their replacements: { module, key, tensor } each.
local function places_of(module, others)
  local places = {}
  for _, entry in ipairs(tree.modules(module)) do
    local inner = entry[2]
    for _, key in ipairs(inner[tree.ORDER]) do
      local value = rawget(inner, key)
      if tree.is_tensor(value) and others[value] then
        places[#places + 1] = { inner, key, others[value] }
      end
    end
  end
  return places
end

--- Calls a function with other tensors instead of a module's parameters and buffers, and returns
--- its results.
--- Use it for weights that are computed, such as quantised, masked or predicted ones. Afterwards,
--- also after an error, the module has its own tensors again.
--- Unlike PyTorch (`torch.func.functional_call`), it calls a function, which may be the module.
---
---     local y = nn.with_parameters(model, { ["head.weight"] = rough }, model, x)
---
---@param module lunerv.Module
---@param tensors table  by name, as in named_parameters; those left out stay
---@param f fun(...: any): any
---@param ... any  the arguments of the function
---@return any ...  the results of the function
local function with_parameters(module, tensors, f, ...)
  if not tree.is_module(module) then
    errors.raise("with_parameters: expected a module, got %s", type(module))
  end
  if type(tensors) ~= "table" or tensors.class_name then
    errors.raise("with_parameters: expected tensors by name, got %s", type(tensors))
  end
  local _ <close> = replaced.put(places_of(module, replacements(module, tensors)))
  return f(...)
end

return with_parameters
