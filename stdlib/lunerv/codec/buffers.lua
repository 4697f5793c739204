-- The section 'buffers': constants of a decoder that are not trained.
local errors <const> = require "lunerv.errors"
local layout <const> = require "lunerv.codec.layout"
local native <const> = require "lunerv.native"

local buffers <const> = {}

-- The tensors of a model that are not parameters.
local function buffers_of(model)
  local parameters, list = {}, {}
  for _, tensor in ipairs(model:parameters()) do parameters[tensor] = true end
  for _, entry in ipairs(model:state_dict()) do
    if not parameters[entry[2]] and not entry[1]:match "^encoder%." then list[#list + 1] = entry end
  end
  return list
end

-- The buffers that differ from a new model's: 32-bit floats in order, all or none.
function buffers.pack(model, fresh)
  local parts, differ = {}, false
  local theirs = buffers_of(fresh)
  for i, entry in ipairs(buffers_of(model)) do
    local their = theirs[i]
    if not their or their[1] ~= entry[1] or their[2]:numel() ~= entry[2]:numel() then
      errors.raise("a file cannot hold %s: a new one does not have its tensor '%s' of %d elements "
        .. "(a method `restart` may remove it)", model.class_name, entry[1], entry[2]:numel())
    end
    local values = entry[2]:view(-1):tolist()
    local other = their[2]:view(-1):tolist()
    for k, value in ipairs(values) do
      differ = differ or value ~= other[k]
      parts[#parts + 1] = string.pack("<f", value)
    end
  end
  return differ and table.concat(parts) or nil
end

function buffers.unpack(model, bytes)
  local at = 1
  for _, entry in ipairs(buffers_of(model)) do
    local values, count = {}, entry[2]:numel()
    if at + 4 * count - 1 > #bytes then layout.damaged("buffers", "it ends too early") end
    for k = 1, count do values[k], at = string.unpack("<f", bytes, at) end
    native.no_grad(function()
      native.settle(entry[2]):copy_(native.tensor(values):view(table.unpack(entry[2].shape)))
    end)
  end
  if at ~= #bytes + 1 then layout.damaged("buffers", "it is too long") end
end

return buffers
