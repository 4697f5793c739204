-- The modules of a model as plain data, for pages and records.
local tree <const> = {}

-- Deeper and longer than any model of the library.
local deepest <const>, longest <const> = 24, 4096

-- What a part of a name refers to in a module: its field, or an item of a list.
local function field(module, part)
  if type(module) ~= "table" then return nil end
  local value = rawget(module, part)
  if value == nil and tonumber(part) then value = rawget(module, math.tointeger(tonumber(part))) end
  return value
end

local function child_of(node, part, module)
  for _, child in ipairs(node.children) do
    if child.name == part then return child end
  end
  local class = type(module) == "table" and module.class_name
  local child = { name = part, class = class or nil, count = 0, tensors = {}, children = {} }
  node.children[#node.children + 1] = child
  return child
end

--- The modules of a model as a tree of plain tables.
--- Each node has `name`, `class`, `count` (the trained values in it and below), `tensors` (a list
--- of `{ name, shape, trained }`) and `children`, in the order of assignment.
---
---     local root = require("lunerv.report.tree").of(model)
---     print(root.class, root.count)
---
---@param model lunerv.Module  the model to describe
---@return table  the root
function tree.of(model)
  local trained = {}
  for _, tensor in ipairs(model:parameters()) do trained[tensor] = true end
  local root = { name = "", class = model.class_name, count = 0, tensors = {}, children = {} }
  for k, entry in ipairs(model:state_dict()) do
    if k > longest then break end
    local name, tensor = entry[1], entry[2]
    local parts = {}
    for part in name:gmatch "[^.]+" do parts[#parts + 1] = part end
    local node, module, path = root, model, { root }
    for i = 1, math.min(#parts - 1, deepest) do
      module = field(module, parts[i])
      node = child_of(node, parts[i], module)
      path[#path + 1] = node
    end
    local is_trained = trained[tensor] or false
    node.tensors[#node.tensors + 1] = { name = parts[#parts], shape = tensor.shape,
      trained = is_trained }
    for _, above in ipairs(is_trained and path or {}) do
      above.count = above.count + tensor:numel()
    end
  end
  return root
end

return tree
