-- The values of modules: by name, in files, in other types, and copied.
local conversion <const> = require "lunerv.conversion"
local errors <const> = require "lunerv.errors"
local Module <const> = require "lunerv.nn.module"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local origin <const> = require "lunerv.nn.origin"
local parameter <const> = require "lunerv.nn.parameter"
local tree <const> = require "lunerv.nn.tree"

-- By name ------------------------------------------------------------------------------------

--- Parameters and buffers: a list of { name, tensor } in order of assignment, which also answers
--- dict["name"]. lv.save_safetensors and load_state_dict take it.
---
---     local dict = model:state_dict()
---     print(dict[1][1], dict["head.weight"])
---
---@return table
function Module:state_dict()
  tree.refuse_hidden(self)
  local list, by_name = tree.tensors(self), {}
  for _, entry in ipairs(list) do by_name[entry[1]] = entry[2] end
  return setmetatable(list, { __index = by_name })
end

local function shape_text(shape) return "(" .. table.concat(shape, ", ") .. ")" end

-- The tensors by name of a state_dict, a list of { name, tensor }, or a table by name.
local function by_name(what, dict)
  if type(dict) ~= "table" or dict.class_name then
    errors.raise("%s: expected a table of tensors by name, got %s%s", what,
      type(dict) == "table" and dict.class_name or type(dict),
      type(dict) == "table" and ": give it module:state_dict()" or "")
  end
  local tensors = {}
  for key, value in next, dict do
    local name = key
    if math.type(key) == "integer" and type(value) == "table" then
      name, value = value[1], value[2]
    end
    if type(name) ~= "string" then
      errors.raise("%s: expected names of tensors, got the key '%s'", what, tostring(name))
    end
    if tensors[name] ~= nil then
      errors.raise("%s: expected each name once, got '%s' twice", what, name)
    end
    tensors[name] = value
  end
  return tensors
end

-- Copies `tensors`, by name, into `module`, with the options of load_state_dict. Returns the module
-- and the skipped names: { missing, extra }.
local function load(what, module, tensors, o)
  tree.refuse_hidden(module)
  local skips = conversion.skips(what, o.extra) or not o.strict
  local own, known, values = tree.tensors(module), {}, {}
  local left_out = { missing = {}, extra = {} }
  for _, entry in ipairs(own) do
    local name, value = entry[1], tensors[entry[1]]
    known[name] = true
    if value ~= nil then
      if not tree.is_tensor(value) then
        errors.raise("%s: %s: expected a tensor, got %s", what, name, type(value))
      end
      local expected, got = shape_text(entry[2].shape), shape_text(value.shape)
      if expected ~= got then
        errors.raise("%s: %s: expected shape %s, got %s", what, name, expected, got)
      end
      local problem
      values[name], problem = native.no_grad(conversion.of, value, entry[2].dtype)
      if problem then errors.raise("%s: %s: %s", what, name, problem) end
    elseif o.strict then
      errors.raise("%s: '%s' is missing from the values to load", what, name)
    else
      table.insert(left_out.missing, name)
    end
  end
  for name in next, tensors do
    if not known[name] then table.insert(left_out.extra, name) end
  end
  table.sort(left_out.extra)
  if not skips and #left_out.extra > 0 then
    errors.raise("%s: %s has no %s", what, module.class_name, errors.list(left_out.extra))
  end
  native.no_grad(function()
    for _, entry in ipairs(own) do
      if values[entry[1]] then
        native.settle(entry[2]):copy_(values[entry[1]])
        parameter.set_origin(entry[2], parameter.origin(tensors[entry[1]]))
      end
    end
  end)
  return module, left_out
end

-- Options of both load_state_dict and load.
local loading <const> = {
  { "strict", true, "false: names that only one side has are skipped" },
  { "extra", "refuse", "'skip' leaves out names that this module lacks, and no others" },
}

local load_takes <const> = options.takes("Module:load_state_dict", loading)

--- Copies values into this module: from a state_dict, a list of { name, tensor }, or a table by
--- name such as lv.load_safetensors returns. They take the types of this module: floating point is
--- rounded, other types must hold the values exactly. A wrong shape, or a value beyond the range of
--- its new type, is an error, and nothing is changed then.
---
---     model:load_state_dict(other:state_dict())
---     local dict = lv.load_safetensors "model.safetensors"
---     local _, left_out = model:load_state_dict(dict, { extra = "skip" })
---     print(#left_out.extra, #left_out.missing)
---
---@param dict table
---@param given? lunerv.Module.load_state_dict.Options
---@return lunerv.Module  this module
---@return table  { missing =, extra = }: the names that the values lack, and that this module lacks
function Module:load_state_dict(dict, given)
  local o = load_takes(given)
  return load("load_state_dict", self, by_name("load_state_dict", dict), o)
end

-- In files -----------------------------------------------------------------------------------

--- Writes parameters and buffers into a safetensors file, which other programs read too.
---
---     assert(model:save "model.safetensors")
---
---@param path string
---@param metadata? table  texts by name, stored with the tensors
---@return boolean|nil  true, or nil and an error
function Module:save(path, metadata)
  local dict = self:state_dict()
  if #dict == 0 then errors.raise("save: %s has no tensors to write", self.class_name) end
  return native.save_safetensors(path, dict, metadata)
end

local file_takes <const> = options.takes("Module:load", loading)

--- Reads a file that `save` wrote, or any safetensors file with these names, into this module, as
--- load_state_dict does.
--- Unlike PyTorch, it is a method of an existing module: a file holds values, not classes.
---
---     local model = assert(Net():load "model.safetensors")
---     local _, left_out = assert(model:load("model.safetensors", { extra = "skip" }))
---
---@param path string
---@param given? lunerv.Module.load.Options
---@return lunerv.Module|nil  this module, or nil and an error if the file cannot be read
---@return table  { missing, extra }: the names that the file and this module lacked
function Module:load(path, given)
  local o = file_takes(given)
  local skips = conversion.skips("load", o.extra) or not o.strict
  local tensors, problem, _, unreadable = native.load_safetensors(path,
    { extra = skips and "skip" or "refuse" })
  if not tensors then return nil, problem end
  local what <const>, wanted = ("load: '%s'"):format(path), self:state_dict()
  for _, name in ipairs(unreadable) do
    if wanted[name] then
      errors.raise("%s: '%s' is of a type or range that no tensor here has", what, name)
    end
  end
  local _, left_out = load(what, self, tensors, o)
  table.move(unreadable, 1, #unreadable, #left_out.extra + 1, left_out.extra)
  table.sort(left_out.extra)
  return self, left_out
end

-- Types and copies ----------------------------------------------------------------------------

local floats <const> = { f32 = true, f64 = true }

--- Converts every floating-point parameter and buffer to "f32" or "f64", in place. The module and
--- its fields stay; their tensors are new, so create optimisers afterwards.
---
---     model:to "f64"
---
---@param dtype string  "f32" or "f64"
---@return lunerv.Module  this module
function Module:to(dtype)
  if not floats[dtype] then
    errors.raise("to: expected 'f32' or 'f64', got %s", type(dtype) == "string"
      and ("'%s'"):format(dtype) or type(dtype))
  end
  tree.refuse_hidden(self)
  local others = {}
  native.no_grad(function()
    for _, entry in ipairs(tree.tensors(self)) do
      local tensor = entry[2]
      if floats[tensor.dtype] and tensor.dtype ~= dtype then
        local other, problem = conversion.of(tensor:detach(), dtype)
        if not other then errors.raise("to: %s: %s", entry[1], problem) end
        other:evaluate()
        others[tensor] = tree.is_parameter(tensor) and parameter.from(other) or other
      end
    end
  end)
  for _, entry in ipairs(tree.modules(self)) do
    local module = entry[2]
    for _, key in ipairs(module[tree.ORDER]) do
      local other = others[rawget(module, key)]
      if other then rawset(module, key, other) end
    end
  end
  return self
end

-- A copy of `value`; `copies` holds the copies made so far, so that shared values stay shared.
local function copy(value, copies)
  if tree.is_tensor(value) then
    if not copies[value] then
      local other = native.no_grad(function() return value:detach():clone():evaluate() end)
      if tree.is_parameter(value) then
        parameter.from(other)
        parameter.set_origin(other, parameter.origin(value))
      end
      copies[value] = other
    end
    return copies[value]
  end
  -- Clips, objects of other classes and functions do not belong to the module.
  local is_module = tree.is_module(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil and not is_module then return value end
  if copies[value] then return copies[value] end
  local other = {}
  copies[value] = other
  if not is_module then
    for key, item in next, value do other[copy(key, copies)] = copy(item, copies) end
    return other
  end
  local order = {}
  rawset(other, tree.ORDER, order)
  setmetatable(other, getmetatable(value))
  for i, key in ipairs(value[tree.ORDER]) do
    local item = copy(rawget(value, key), copies)
    order[i] = key
    rawset(other, key, item)
    if tree.is_module(item) then tree.place(item, other) end
  end
  return other
end

--- A copy with separate parameters and buffers; values shared inside stay shared. Unlike PyTorch's
--- deepcopy, it does not copy clips and functions in fields.
---
---     local average = model:clone()
---
---@return lunerv.Module
function Module:clone()
  local copies = {}
  local other = copy(self, copies)
  for old, new in pairs(copies) do
    local built = origin[old]
    if built then
      -- A module among the arguments is replaced by its copy, if there is one.
      local arguments = { n = built.arguments.n }
      for i = 1, arguments.n do
        local argument = built.arguments[i]
        arguments[i] = argument ~= nil and copies[argument] or argument
      end
      origin[new] = { class = built.class, arguments = arguments }
    end
  end
  return other
end

return Module
