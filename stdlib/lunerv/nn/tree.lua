-- Modules as a tree: which tables are modules, in which order their fields were assigned, what is
-- inside them, and the path that leads to one.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local tree <const> = {}

-- A module's list of field names, oldest first, is stored under this key: a table, which no field
-- name can equal.
tree.ORDER = {}
local ORDER <const> = tree.ORDER

-- The module of which a module is a field.
tree.owners = setmetatable({}, { __mode = "k" })
local owners <const> = tree.owners

function tree.is_module(value) return type(value) == "table" and rawget(value, ORDER) ~= nil end
local is_module <const> = tree.is_module

function tree.is_tensor(value) return type(value) == "userdata" and native.is_tensor(value) end
local is_tensor <const> = tree.is_tensor

-- Tensors that represent parameters that are only counted.
tree.shapes = setmetatable({}, { __mode = "k" })
local shapes <const> = tree.shapes

-- Tensors computed from parameters do not count.
function tree.is_parameter(tensor)
  return tensor.requires_grad and tensor.is_leaf or shapes[tensor] ~= nil
end
local is_parameter <const> = tree.is_parameter

local function joined(prefix, key)
  return prefix == "" and tostring(key) or prefix .. "." .. tostring(key)
end

-- Calls visit(name, tensor) for every tensor in the module and those inside it, in order of
-- assignment, once for each; enter(name, module) before the content of a module. `seen` holds what
-- was visited, and what to skip.
function tree.traverse(module, prefix, seen, visit, enter)
  if seen[module] then return end
  seen[module] = true
  if enter then enter(prefix, module) end
  for _, key in ipairs(module[ORDER]) do
    local value = rawget(module, key)
    if is_module(value) then
      tree.traverse(value, joined(prefix, key), seen, visit, enter)
    elseif is_tensor(value) and not seen[value] then
      seen[value] = true
      visit(joined(prefix, key), value)
    end
  end
end

local function nothing() end

-- The tensors inside `module` with wanted(tensor), or all: a list of { name, tensor }.
function tree.tensors(module, wanted)
  local list = {}
  tree.traverse(module, "", {}, function(name, tensor)
    if not wanted or wanted(tensor) then list[#list + 1] = { name, tensor } end
  end)
  return list
end

-- The module itself, called "", and all inside it: a list of { name, module }.
function tree.modules(module)
  local list = {}
  tree.traverse(module, "", {}, nothing, function(name, inner)
    list[#list + 1] = { name, inner }
  end)
  return list
end

-- The modules that are fields of `module`: a list of { name, module }, each once.
function tree.children(module)
  local list, seen = {}, {}
  for _, key in ipairs(module[ORDER]) do
    local value = rawget(module, key)
    if is_module(value) and not seen[value] then
      seen[value] = true
      list[#list + 1] = { tostring(key), value }
    end
  end
  return list
end

-- for name, value in tree.each(list) do … end, of a list of { name, value }.
function tree.each(list)
  local i = 0
  return function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end
end

-- Paths --------------------------------------------------------------------------------------

local function field_of(parent, child)
  for _, key in ipairs(parent[ORDER]) do
    if rawget(parent, key) == child then
      return math.type(key) and ("[%d]"):format(key) or "." .. tostring(key)
    end
  end
end

-- A counter of modules that have moved: paths are valid until it changes.
tree.moves = 0

-- Records the module that now owns another as a field.
function tree.place(child, parent)
  owners[child] = parent
  tree.moves = tree.moves + 1
end

-- The longest path: modules may be fields of each other, in a cycle.
local longest_path <const> = 64

-- "Decoder.body[2].conv": the path of a module from the outermost one that contains it.
function tree.path(module)
  local path = ""
  for _ = 1, longest_path do
    local parent = owners[module]
    local field = parent and field_of(parent, module)
    if not field then return module.class_name .. path end
    path, module = field .. path, parent
  end
  return "…" .. path
end

-- Parameters out of reach --------------------------------------------------------------------

-- Whether `value` is a trained tensor, or a module with one, that `seen` lacks.
function tree.is_unseen(value, seen)
  if is_tensor(value) then return is_parameter(value) and not seen[value] end
  if not is_module(value) then return false end
  for _, entry in ipairs(tree.tensors(value, is_parameter)) do
    if not seen[entry[2]] then return true end
  end
  return false
end

-- The place in a plain table `value`, called `name`, of something that `seen` lacks; nil if none.
local function path_of_unseen(value, name, seen, visited)
  if type(value) ~= "table" or is_module(value) or visited[value] then return nil end
  local meta = getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__name") then return nil end -- for example a clip
  visited[value] = true
  for key, item in next, value do
    if tree.is_unseen(key, seen) then return name end
    local place = math.type(key) and ("%s[%s]"):format(name, key) or name .. "." .. tostring(key)
    if tree.is_unseen(item, seen) then return place end
    place = path_of_unseen(item, place, seen, visited)
    if place then return place end
  end
end

-- Raises if a plain table holds modules or parameters: training would not find them.
function tree.refuse_hidden(module)
  local seen, visited, modules = {}, {}, {}
  tree.traverse(module, "", seen, nothing, function(_, inner) modules[#modules + 1] = inner end)
  for _, inner in ipairs(modules) do
    for _, key in ipairs(inner[ORDER]) do
      local place = path_of_unseen(rawget(inner, key), tostring(key), seen, visited)
      if place then
        errors.raise("%s: '%s' is in a plain table, whose parameters would not be trained: make it "
          .. "nn.List { … }, or a field of its own", inner.class_name, place)
      end
    end
  end
end

return tree
