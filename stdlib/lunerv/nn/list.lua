local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"

-- nn.List { a, b, … }: modules in a row, whose parameters count as its owner's. Use it like any
-- list: `#list`, `list[2]`, `ipairs(list)`, and `list:append(module)`.
local List <const> = class "List"

function List:init(modules, ...)
  errors.check_list("List", modules or {}, ...)
  for _, module in ipairs(modules or {}) do self:append(module) end
end

function List:append(module)
  if type(module) ~= "table" then
    errors.raise("a module expected, got %s", type(module))
  end
  self[#self + 1] = module
  return self
end

return List
