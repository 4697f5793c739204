-- The parameters of our models under published names: export and import.
local conversion <const> = require "lunerv.conversion"
local errors <const> = require "lunerv.errors"
local families <const> = require "lunerv.interop.families"
local names <const> = require "lunerv.interop.names"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local parameters <const> = {}

-- Calls each(tensor, theirs) for every parameter of `model` with its published name.
local function each_parameter(model, each)
  for name, tensor in model:named_parameters() do
    local theirs = families.published(model.kind, name)
      or errors.raise("interop: '%s' has no published name", name)
    each(tensor, theirs)
  end
end

--- The parameters of a model by published name: a list of { name, tensor }.
---
---     lv.save_safetensors("theirs.safetensors", lv.interop.published_parameters(model))
---
---@param model lunerv.Module  of one of the kinds
---@return table
function parameters.list(model)
  local list = {}
  each_parameter(model, function(tensor, theirs) list[#list + 1] = { theirs, tensor } end)
  return list
end

--- The parameters of a model by published name and in the published shapes, as values without
--- gradients: a list of { name, tensor }.
---
---     for _, entry in ipairs(lv.interop.published_values(model)) do print(entry[1]) end
---
---@param model lunerv.Module  of one of the kinds
---@return table
function parameters.values(model)
  local list = parameters.list(model)
  for i, entry in ipairs(list) do
    local shape = names.published_shape(entry[1], entry[2].shape)
    list[i] = { entry[1], entry[2]:detach():view(table.unpack(shape)) }
  end
  return list
end

--- A published tensor in the shape of ours: linear layers are stored as 1×1 convolutions and the
--- other way round, so only sizes of 1 may differ.
---
---     local weight = lv.interop.reshaped(theirs, { 64, 160 }, "stem.0.weight")
---
---@param tensor lunerv.Tensor
---@param shape integer[]
---@param name string  its name in errors
---@return lunerv.Tensor
local function reshaped(tensor, shape, name)
  local function without_ones(sizes)
    local text = {}
    for _, size in ipairs(sizes) do
      if size ~= 1 then text[#text + 1] = size end
    end
    return table.concat(text, ", ")
  end
  if without_ones(tensor.shape) ~= without_ones(shape) then
    errors.data("interop: '%s': expected shape (%s), got (%s)", name, table.concat(shape, ", "),
      table.concat(tensor.shape, ", "))
  end
  return tensor:view(table.unpack(shape))
end

parameters.reshaped = reshaped

local published_takes <const> = options.takes("interop.load_published", {
  { "dtype", nil, "the model's type, 'f32' or 'f64': other types are converted, and a value out "
    .. "of its range is an error", type = "string" },
  { "extra", "refuse", "'skip' leaves out entries that the model lacks" },
})

-- `value` in the type of `tensor`. A different type is converted only if `dtype` names that of
-- `tensor`.
local function typed(value, tensor, theirs, dtype)
  if value.dtype == tensor.dtype then return value end
  if dtype ~= tensor.dtype then
    errors.data("interop: '%s': expected %s, got %s (the option dtype = '%s' converts)", theirs,
      tensor.dtype, value.dtype, tensor.dtype)
  end
  local converted, problem = conversion.of(value, dtype)
  return converted or errors.data("interop: '%s': %s", theirs, problem)
end

--- Copies published parameters into a model. By default, all must be there, in the model's type,
--- and nothing else.
---
---     lv.interop.load_published(model, lv.load_safetensors "theirs.safetensors")
---     local given = { dtype = "f32", extra = "skip" }
---     local _, skipped = lv.interop.load_published(model, tensors, given)
---
---@param model lunerv.Module  of one of the kinds
---@param tensors table  tensors by published name
---@param given? lunerv.interop.load_published.Options
---@return lunerv.Module  the model
---@return string[]  the names of the entries that were skipped, sorted
function parameters.load(model, tensors, given)
  local o = published_takes(given)
  local skips <const>, values, used = conversion.skips("interop.load_published", o.extra), {}, {}
  native.no_grad(function()
    each_parameter(model, function(tensor, theirs)
      local value = tensors[theirs] or errors.data("interop: '%s' is missing", theirs)
      values[#values + 1] = { tensor,
        reshaped(typed(value, tensor, theirs, o.dtype), tensor.shape, theirs) }
      used[theirs] = true
    end)
  end)
  local unexpected = {}
  for name in pairs(tensors) do
    if not used[name] then unexpected[#unexpected + 1] = name end
  end
  table.sort(unexpected)
  if #unexpected > 0 and not skips then
    errors.data("interop: %s has no %s", model.class_name, errors.list(unexpected))
  end
  native.no_grad(function()
    for _, pair in ipairs(values) do pair[1]:copy_(pair[2]) end
  end)
  return model, unexpected
end

return parameters
