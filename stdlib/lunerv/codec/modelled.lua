-- Weights whose symbols have models that a user's own module chooses: the section 'modelled
-- weights'. Codec/ModelledTensors tells its bytes. The module travels in the section 'decoder
-- program'.
local bridge <const> = require "lunerv.bridge"
local coding <const> = require "lunerv.coder.models"
local errors <const> = require "lunerv.errors"
local layout <const> = require "lunerv.codec.layout"
local native <const> = require "lunerv.native"

local modelled <const> = {}

-- Its name.
local section <const> = "modelled weights"

-- Whether a segment, as layout.read has it, has such weights.
function modelled.is(segment) return segment.kinds.weights == section end

-- Whether `value` can be what such a module returns: a model of lv.coder, or a function
-- (name, shape, index) that gives one for each tensor, or nil.
function modelled.is_model(value)
  return type(value) == "function" or type(value) == "table" and type(value.family) == "string"
end

-- The model of a tensor; nil for one that has none.
local function chosen(model, slot, index)
  if type(model) ~= "function" then return model end
  local found = model(slot.name, slot.tensor.shape, index)
  if found == nil or type(found) == "table" and type(found.family) == "string" then
    return found
  end
  errors.raise("the model of '%s': expected a table with a family, or nil, got %s", slot.name,
    type(found) == "table" and "one without" or type(found))
end

-- The kind of the section, and its bytes. `slots` are the decoder's (compress/slots.lua),
-- `families` those that tensors without a model may have.
function modelled.encode(name, model, slots, weights, steps, families)
  if #weights ~= #slots then
    errors.raise("codec: %d weights were given, the decoder has %d", #weights, #slots)
  end
  local encoder = native.coder_encoder()
  for i, weight in ipairs(weights) do
    local symbols, found = encoder:tensor(weight, steps[i]), chosen(model, slots[i], i)
    if found then
      coding.put(encoder, symbols, found)
    else
      encoder:fitted(symbols, families)
    end
  end
  return section, string.pack("s1", name) .. encoder:finish()
end

local function decode(stream, slots, model)
  local decoder, tensors = native.coder_decoder(stream), {}
  for i, slot in ipairs(slots) do
    local shape = slot.tensor.shape
    local steps = decoder:steps(shape[1] or 1)
    local found = chosen(model, slot, i)
    local symbols = found and coding.take(decoder, shape, found) or decoder:fitted(shape)
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

-- The tensors that were given. `find(name)` gives what the module of a name returns.
function modelled.decode(bytes, slots, find)
  local readable, name, at = pcall(string.unpack, "s1", bytes)
  if not readable then layout.damaged(section, "it ends too early") end
  local model = find(name)
  local ok, result = errors.attempt(decode, bytes:sub(at), slots, model)
  if ok then return result end
  -- What is wrong with the model is told with its own line.
  if not bridge.is_error(result) or result.kind ~= "data" then error(result, 0) end
  layout.damaged(section, "%s", errors.reason(result))
end

return modelled
