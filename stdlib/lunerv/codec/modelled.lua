-- Weights whose symbols are coded with models from a user's module: the section 'modelled weights',
-- whose bytes Codec/ModelledTensors describes. The module is stored in the section 'decoder
-- program'.
local bridge <const> = require "lunerv.bridge"
local coding <const> = require "lunerv.coder.models"
local errors <const> = require "lunerv.errors"
local layout <const> = require "lunerv.codec.layout"
local native <const> = require "lunerv.native"

local modelled <const> = {}

-- The section's name; and its name if a model uses slices or reads the codes of other tensors.
-- Older programs, which support neither, reject the second.
local section <const>, sliced <const> = "modelled weights", "sliced weights"

-- Whether a segment, from layout.read, has such weights.
function modelled.is(segment)
  local kind = segment.kinds.weights
  return kind == section or kind == sliced
end

-- Whether `value` is a valid result of such a module: a model of lv.coder, or a function (name,
-- shape, index, codes) that returns one for each tensor, or nil. `codes` are the symbols of the
-- previous tensors, by name: i32 tensors.
function modelled.is_model(value)
  return type(value) == "function" or type(value) == "table" and type(value.family) == "string"
end

-- Codes by name, for models to read; and the underlying table, whose `was_read` records whether
-- any was read.
local function codes_by_name()
  local known = { was_read = false, list = {} }
  return known, setmetatable({}, { __index = function(_, name)
    known.was_read = true
    return known.list[name]
  end })
end

-- The model of a tensor; nil if it has none.
local function chosen(model, slot, index, codes)
  if type(model) ~= "function" then return model end
  local found = model(slot.name, slot.tensor.shape, index, codes)
  if found == nil or type(found) == "table" and type(found.family) == "string" then
    return found
  end
  errors.raise("the model of '%s': expected a table with a family, or nil, got %s", slot.name,
    type(found) == "table" and "one without" or type(found))
end

-- The kind of the section, and its bytes. `slots` are the decoder's (compress/slots.lua),
-- `families` those for tensors without a model.
function modelled.encode(name, model, slots, weights, steps, families)
  if #weights ~= #slots then
    errors.raise("codec: %d weights were given, the decoder has %d", #weights, #slots)
  end
  local encoder, is_plain = native.coder_encoder(), true
  local known, codes = codes_by_name()
  for i, weight in ipairs(weights) do
    local symbols = encoder:tensor(weight, steps[i])
    local found = chosen(model, slots[i], i, codes)
    if found then
      is_plain = is_plain and coding.is_plain(found)
      coding.put(encoder, symbols, found)
    else
      encoder:fitted(symbols, families)
    end
    known.list[slots[i].name] = symbols
  end
  return is_plain and not known.was_read and section or sliced,
    string.pack("s1", name) .. encoder:finish()
end

local function decode(stream, slots, model)
  local decoder, tensors = native.coder_decoder(stream), {}
  local known, codes = codes_by_name()
  for i, slot in ipairs(slots) do
    local shape = slot.tensor.shape
    local steps = decoder:steps(shape[1] or 1)
    local found = chosen(model, slot, i, codes)
    local symbols = found and coding.take(decoder, shape, found) or decoder:fitted(shape)
    known.list[slot.name] = symbols
    local values = symbols:to "f32"
    if #steps == 1 then
      values = values * steps[1]
    else
      local rows = {}
      for k = 1, #shape do rows[k] = k == 1 and #steps or 1 end
      values = values * native.tensor(steps):view(table.unpack(rows))
    end
    tensors[i] = values:evaluate()
  end
  decoder:finish()
  return tensors
end

-- Decodes the tensors. `find(name)` returns the result of a module.
function modelled.decode(bytes, slots, find)
  local readable, name, at = pcall(string.unpack, "s1", bytes)
  if not readable then layout.damaged(section, "it ends too early") end
  local model = find(name)
  local ok, result = errors.attempt(decode, bytes:sub(at), slots, model)
  if ok then return result end
  -- Errors of the model keep their own line.
  if not bridge.is_error(result) or result.kind ~= "data" then error(result, 0) end
  layout.damaged(section, "%s", errors.reason(result))
end

return modelled
