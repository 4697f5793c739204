-- A list of modules, which cannot be called itself.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"

--- A list of modules whose parameters belong to its owner. It works like any list: `#list`,
--- `list[2]`, `ipairs(list)`.
--- Unlike PyTorch's ModuleList, it counts from 1, and it takes one list.
---
---     self.blocks = nn.List { Block(8), Block(8) }
---     for _, block in ipairs(self.blocks) do x = block(x) end
---
---@param modules? lunerv.Module[]
local List <const> = class "List"

function List:init(modules, ...)
  errors.check_list("nn.List", modules or {}, ...)
  for _, module in ipairs(modules or {}) do self:append(module) end
end

--- Adds a module at the end.
---
---     self.blocks:append(Block(8))
---
---@param module lunerv.Module
---@return lunerv.nn.List  this list
function List:append(module, ...)
  local is_table = type(module) == "table"
  local is_class = is_table and rawget(module, "class_name")
  if is_class or not is_table or not module.class_name then
    errors.raise("nn.List: expected a module, got %s", is_class and "the class " .. is_class
      or type(module))
  end
  if select("#", ...) > 0 then
    errors.raise("nn.List: append: expected one module, got %d more", select("#", ...))
  end
  self[#self + 1] = module
  return self
end

return List
