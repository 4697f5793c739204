-- The state of modules other than parameters: statistics, and tensors that are carried between
-- frames in fields that a new module does not have. A method `restart` marks modules with the
-- latter (codec/order.lua).
local tree <const> = require "lunerv.nn.tree"

local buffers <const> = {}

-- Whether a module, or one that contains it, carries state between frames.
local function keeps(module)
  while module do
    if type(module.restart) == "function" then return true end
    module = tree.owners[module]
  end
  return false
end

-- Resets this state in a module and those inside it.
function buffers.reset(module)
  for _, entry in ipairs(tree.modules(module)) do
    if type(entry[2].restart) == "function" then entry[2]:restart() end
  end
end

-- A field by its name in a state: those of lists are integers.
local function field(name)
  return name:match "^%d+$" and math.tointeger(tonumber(name)) or name
end

-- Creates the fields that `tensors`, a state by name, has and a new module lacks, so that it can be
-- loaded; removes all other carried state.
function buffers.restore(module, tensors)
  buffers.reset(module)
  local known, inner = {}, {}
  for _, entry in ipairs(tree.tensors(module)) do known[entry[1]] = true end
  for _, entry in ipairs(tree.modules(module)) do inner[entry[1]] = entry[2] end
  for name, tensor in pairs(tensors) do
    local path, key = name:match "^(.*)%.([^.]+)$"
    local owner = inner[path or ""]
    if not known[name] and owner and keeps(owner) then
      owner[field(key or name)] = tensor:clone()
    end
  end
end

local function collect(module, found)
  if found[module] then return end
  local fields = {}
  found[module] = fields
  for _, key in ipairs(module[tree.ORDER]) do
    local value = rawget(module, key)
    if tree.is_module(value) then
      collect(value, found)
    elseif tree.is_tensor(value) and not value.requires_grad then
      fields[key] = value:detach() -- values never change, so this copies nothing
    end
  end
end

-- The present tensors of a module that are not parameters. A forward pass may change them, as in
-- batch normalisation, and its step may never be completed.
function buffers.snapshot(module)
  local found = {}
  collect(module, found)
  return found
end

-- The state of a module, { name, tensor } each: buffers from a snapshot, parameters as they are.
function buffers.state(module, snapshot)
  local earlier, state, named = {}, {}, {}
  for _, entry in ipairs(tree.modules(module)) do
    for key, tensor in pairs(snapshot[entry[2]] or {}) do
      earlier[entry[1] == "" and tostring(key) or entry[1] .. "." .. tostring(key)] = tensor
    end
  end
  for _, entry in ipairs(tree.tensors(module)) do
    local name, tensor = entry[1], entry[2]
    if not tensor.requires_grad then tensor = earlier[name] end
    earlier[name] = nil
    if tensor then state[#state + 1] = { name, tensor } end
  end
  for name in pairs(earlier) do named[#named + 1] = name end
  table.sort(named)
  for _, name in ipairs(named) do state[#state + 1] = { name, earlier[name] } end
  return state
end

return buffers
