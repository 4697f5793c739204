-- Converts tensors to another type without silent loss; shared by the readers of foreign files.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local conversion <const> = {}

local function finite(tensor) return tensor:abs():lt(math.huge) end

local function count(mask) return mask:sum():item() end

-- The largest finite magnitude.
local function largest(tensor)
  return native.where(finite(tensor), tensor, native.zeros_like(tensor)):abs():amax():item()
end

--- `tensor` as `dtype`. Floating point is rounded to floating point, and finite values stay finite;
--- between other types, every value stays exact.
---
---@param tensor lunerv.Tensor
---@param dtype string
---@return lunerv.Tensor?  or nil, with the expected and the actual values
---@return string?
function conversion.of(tensor, dtype)
  local from <const> = tensor.dtype
  if from == dtype then return tensor end
  if from == "f32" and dtype == "f64" or tensor:numel() == 0 then return tensor:to(dtype) end
  if from == "f64" and dtype == "f32" then
    local narrow = tensor:to "f32"
    if count(finite(narrow)) == count(finite(tensor)) then return narrow end
    return nil, ("expected values within the range of f32, got %g"):format(largest(tensor))
  end
  local ok, result = errors.attempt(function()
    local other = tensor:to(dtype)
    return other:to(from):eq(tensor):amin():item() == 1 and other
  end)
  if ok and result then return result end
  return nil, ("expected values that %s holds exactly, got others as %s"):format(dtype, from)
end

--- Whether to skip unexpected entries: the meaning of the option `extra`.
---
---@param what string  the function that takes the option
---@param extra string
---@return boolean
function conversion.skips(what, extra)
  if extra ~= "refuse" and extra ~= "skip" then
    errors.raise("%s: option 'extra': expected 'refuse' or 'skip', got %s", what,
      errors.show(extra))
  end
  return extra == "skip"
end

return conversion
