-- nn.List { a, b, … }: modules in a row, whose parameters count as its owner's. Use it like any
-- list: `#list`, `list[2]`, `ipairs(list)`, and `list:append(module)`.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"

local List <const> = class "List"

function List:init(modules, ...)
  errors.check_list("List", modules or {}, ...)
  for _, module in ipairs(modules or {}) do self:append(module) end
end

function List:append(module, ...)
  local is_table = type(module) == "table"
  local is_class = is_table and rawget(module, "class_name")
  if is_class or not is_table or not module.class_name then
    errors.raise("List: expected a module, got %s", is_class and "the class " .. is_class
      or type(module))
  end
  if select("#", ...) > 0 then
    errors.raise("append: expected one module, got %d more", select("#", ...))
  end
  self[#self + 1] = module
  return self
end

return List
