-- The methods of every module. State and observing are in separate files, which add to it.
local errors <const> = require "lunerv.errors"
local tree <const> = require "lunerv.nn.tree"

--- The base class of lv.nn: an object that lists its parameters, its buffers and the modules inside
--- it, in the order of assignment to its fields.
--- Unlike PyTorch, there is no training mode, and nothing is registered: a tensor in a field that
--- needs no gradient is a buffer. Put several modules into an nn.List, not into a plain table.
local Module <const> = { class_name = "Module" }

--- The constructor: gets the arguments of the class's call. Override it in your own class.
---
---     function Block:init(width) self.conv = nn.Conv2d(width, width, 3) end
---
---@param ... any
function Module.init() end

--- The computation of a module; `module(x)` calls it.
---
---     function Block:forward(x) return self.conv(x):gelu() + x end
---
---@param ... any
---@return any ...
function Module:forward()
  errors.raise("expected a method forward, got none: define function %s:forward(x)",
    self.class_name)
end

-- Parts --------------------------------------------------------------------------------------

--- The trained tensors of this module and those inside it, each once, in order of assignment.
--- Parameters in a plain table are an error.
---
---     local optimiser = lv.optim.Adam(model:parameters(), { lr = 1e-3 })
---
---@return lunerv.Tensor[]
function Module:parameters()
  tree.refuse_hidden(self)
  local list = tree.tensors(self, tree.is_parameter)
  for i, entry in ipairs(list) do list[i] = entry[2] end
  return list
end

--- The trained tensors with their names.
---
---     for name, tensor in model:named_parameters() do print(name, tensor:numel()) end
---
---@return fun(): string, lunerv.Tensor
function Module:named_parameters()
  tree.refuse_hidden(self)
  return tree.each(tree.tensors(self, tree.is_parameter))
end

--- The number of trained values.
---
---     print(model:parameter_count())
---
---@return integer
function Module:parameter_count()
  local count = 0
  for _, tensor in ipairs(self:parameters()) do count = count + tensor:numel() end
  return count
end

--- This module and all inside it, each once, in order of assignment.
---
---     for _, module in ipairs(model:modules()) do print(module.class_name) end
---
---@return lunerv.Module[]
function Module:modules()
  local list = tree.modules(self)
  for i, entry in ipairs(list) do list[i] = entry[2] end
  return list
end

--- This module, whose name is "", and all inside it, with their names.
---
---     for name, module in model:named_modules() do print(name, module.class_name) end
---
---@return fun(): string, lunerv.Module
function Module:named_modules() return tree.each(tree.modules(self)) end

--- The modules that are fields of this one, without those inside them.
---
---     for _, child in ipairs(model:children()) do print(child) end
---
---@return lunerv.Module[]
function Module:children()
  local list = tree.children(self)
  for i, entry in ipairs(list) do list[i] = entry[2] end
  return list
end

--- The modules that are fields of this one, with the fields' names.
---
---     for name, child in model:named_children() do print(name, child:parameter_count()) end
---
---@return fun(): string, lunerv.Module
function Module:named_children() return tree.each(tree.children(self)) end

--- Calls a function with every module: children first, this one last.
---
---     model:apply(function(module)
---       if module.bias then lv.no_grad(function() module.bias:zero_() end) end
---     end)
---
---@param visit fun(module: lunerv.Module)
---@return lunerv.Module  this module
function Module:apply(visit)
  if type(visit) ~= "function" then
    errors.raise("apply: expected a function, got %s", type(visit))
  end
  local seen = {}
  local function inner_first(module)
    if seen[module] then return end
    seen[module] = true
    for _, entry in ipairs(tree.children(module)) do inner_first(entry[2]) end
    visit(module)
  end
  inner_first(self)
  return self
end

--- Replaces a module by another wherever it occurs in this module or those inside it, under the
--- same field name. The new one may hold the old one.
---
---     local places = model:replace(model.head, nn.Sequential(model.head, nn.Sigmoid()))
---
---@param old lunerv.Module
---@param new lunerv.Module
---@return integer  the number of places
function Module:replace(old, new)
  if not tree.is_module(new) then
    errors.raise("replace: expected a module, got %s", type(new))
  end
  local places = 0
  for _, module in ipairs(self:modules()) do
    for _, key in ipairs(module[tree.ORDER]) do
      if rawget(module, key) == old and module ~= new then
        rawset(module, key, new)
        tree.place(new, module)
        places = places + 1
      end
    end
  end
  return places
end

return Module
