-- Coding runs of symbols by a model, including custom ones: shared by lv.coder and files. An
-- encoder is native.coder_encoder(), a decoder native.coder_decoder(bytes). Errors begin with
-- "coder: ".
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local models <const> = {}

local own_fields <const> = { family = true, first = true, context = true, weights = true }

local slice_fields <const> = { dims = true, family = true, of = true, parameters = true }

-- Sizes in words: the limit for all frequencies of a model's contexts; a context, without its
-- weights; a context that is another family instead of a list of weights, at most.
local most_words <const>, words_of_context <const>, words_of_family <const> = 1 << 24, 512, 3100

local function is_own(model) return type(model) == "table" and model.family == "own" end

local function check_own(model)
  if model.first ~= nil and math.type(model.first) ~= "integer" then
    errors.raise("coder: own: first: expected an integer, got %s", tostring(model.first))
  end
  if model.context ~= nil and type(model.context) ~= "function" then
    errors.raise("coder: own: context: expected a function, got %s", type(model.context))
  end
  local kind = type(model.weights)
  if kind ~= "function" and kind ~= "table" then
    errors.raise("coder: own: weights: expected a function or a table, got %s", kind)
  end
  for key in pairs(model) do
    if not own_fields[key] then
      errors.raise("coder: own: unknown field '%s' (known: context, family, first, weights)",
        tostring(key))
    end
  end
end

local function check_weights(weights, where)
  for i = 1, rawlen(weights) do
    local weight = rawget(weights, i)
    if math.type(weight) ~= "integer" or weight < 0 or weight > 0xffffffff then
      errors.raise("coder: own: %s: weight %d: expected an integer from 0 to 4294967295, got %s%s",
        where, i, type(weight) == "number" and tostring(weight) or type(weight),
        math.type(weight) == "float" and ": floats may differ from machine to machine" or "")
    end
  end
end

-- The model of a context, of another family, and its size in words; `where` names it.
local function model_of_context(model, key, where)
  local weights
  if type(model.weights) == "function" then
    weights = model.weights(key)
  elseif model.context then
    weights = model.weights[key]
  else
    weights = model.weights
  end
  if type(weights) == "table" and rawget(weights, "family") and not is_own(weights) then
    if model.context and weights.family == "adaptive" then
      errors.raise("coder: own: %s: expected a model that does not adapt, got adaptive", where)
    end
    return weights, words_of_family
  end
  if type(weights) ~= "table" or rawlen(weights) == 0 then
    errors.raise("coder: own: %s: expected a list of integers, got %s", where,
      type(weights) == "table" and "an empty one" or type(weights))
  end
  if model.first == nil then
    errors.raise("coder: own: first: expected an integer, got nil")
  end
  check_weights(weights, where)
  return { family = "table", first = model.first, weights = weights }, rawlen(weights)
end

-- A function (seen, i) that returns the frequencies of symbol i. They are computed once per
-- context.
local function frequencies_of(model)
  local known, words, context = {}, 0, model.context
  return function(seen, i)
    local key = context(seen, i)
    if math.type(key) ~= "integer" and type(key) ~= "string" then
      errors.raise("coder: own: context of symbol %d: expected an integer or a text, got %s", i,
        type(key) == "number" and tostring(key) or type(key))
    end
    local found = known[key]
    if not found then
      local of_context, more = model_of_context(model, key, ("weights of context %s"):format(key))
      words = words + words_of_context + more
      if words > most_words then
        errors.raise("coder: own: context of symbol %d: the contexts so far take %d words, at most "
          .. "%d are kept (512 each, and their weights)", i, words, most_words)
      end
      found = errors.on_behalf("coder", "coder_table", native.coder_table, of_context)
      known[key] = found
    end
    return found
  end
end

-- Slices -------------------------------------------------------------------------------------

local function is_sliced(model) return type(model) == "table" and model.family == "slices" end

-- The shape of the slices, and their number: those of the first `dims` dimensions, in order.
local function slices_of(model, shape)
  if type(model.parameters) ~= "function" then
    errors.raise("coder: slices: parameters: expected a function, got %s", type(model.parameters))
  end
  for key in pairs(model) do
    if not slice_fields[key] then
      errors.raise("coder: slices: unknown field '%s' (known: dims, family, of, parameters)",
        tostring(key))
    end
  end
  local dims, count = model.dims == nil and 1 or model.dims, 1
  if #shape < 2 then
    errors.raise("coder: slices: expected symbols of at least 2 dimensions, got %d", #shape)
  end
  if math.type(dims) ~= "integer" or dims < 1 or dims >= #shape then
    errors.raise("coder: slices: dims: expected an integer from 1 to %d for symbols of %d "
      .. "dimensions, got %s", #shape - 1, #shape, errors.show(dims))
  end
  for d = 1, dims do count = count * shape[d] end
  return table.move(shape, dims + 1, #shape, 1, {}), count
end

local function check_slice(name, k, given, inner)
  local found = native.is_tensor(given) and table.concat(given.shape, ", ")
  if found == inner then return end
  errors.raise("coder: slices: %s of slice %d: expected a tensor (%s), got %s", name, k, inner,
    found and "(" .. found .. ")" or type(given))
end

-- Calls body(k, means, scales) for each slice of the first dimensions; it returns the symbols.
local function each_slice(inner, count, model, body)
  local seen, expected = {}, table.concat(inner, ", ")
  for k = 1, count do
    local means, scales = model.parameters(seen, k)
    check_slice("means", k, means, expected)
    check_slice("scales", k, scales, expected)
    seen[k] = body(k, means, scales)
  end
  return seen
end

local function tables_of(model)
  return errors.on_behalf("coder", "coder_distributions", native.coder_distributions,
    model.of or "laplace")
end

-- Calls body(slice, tables, means, scales) for each slice of known symbols.
local function each_known(symbols, model, body)
  local shape = native.is_tensor(symbols) and symbols.shape or { #symbols }
  local inner, count = slices_of(model, shape)
  -- A decoder gives the model i32 tensors, so the encoder does too.
  local tables, list = tables_of(model), symbols:to "i32":view(count, table.unpack(inner))
  each_slice(inner, count, model, function(k, means, scales)
    local slice = list:select(1, k)
    body(slice, tables, means, scales)
    return slice
  end)
end

local function put_slices(encoder, symbols, model)
  each_known(symbols, model, function(...)
    errors.on_behalf("coder", "slice", encoder.slice, encoder, ...)
  end)
end

local function take_slices(decoder, shape, model)
  local inner, count = slices_of(model, shape)
  local tables = tables_of(model)
  local slices = each_slice(inner, count, model, function(_, means, scales)
    return errors.on_behalf("coder", "slice", decoder.slice, decoder, tables, means, scales)
  end)
  if count == 0 then return native.zeros(table.unpack(shape)):to "i32" end
  return native.stack(slices, 1):view(table.unpack(shape))
end

local function bits_of_slices(symbols, model)
  local total = 0
  each_known(symbols, model, function(slice, tables, means, scales)
    total = total + errors.on_behalf("coder", "bits", tables.bits, tables, slice, means, scales)
  end)
  return total
end

-- Runs of symbols ----------------------------------------------------------------------------

-- Whether a program from before slices existed can decode with this model.
function models.is_plain(model) return not is_sliced(model) end

-- Symbols as a list.
local function listed(symbols)
  return native.is_tensor(symbols) and symbols:view(-1):tolist() or symbols
end

-- Calls body(symbol, frequencies) for every symbol, in order.
local function each_symbol(symbols, model, body)
  local frequencies, seen = frequencies_of(model), {}
  for i, symbol in ipairs(listed(symbols)) do
    body(symbol, frequencies(seen, i))
    seen[i] = symbol
  end
end

-- The checked model; a custom one without contexts is replaced by what its weights say.
local function resolved(model)
  if not is_own(model) then return model, false end
  check_own(model)
  if model.context then return model, true end
  return (model_of_context(model, 1, "weights")), false
end

local function by_native(name, object, ...)
  return errors.on_behalf("coder", name, object[name], object, ...)
end

local function check_dtype(symbols)
  if native.is_tensor(symbols) and symbols.dtype ~= "i32" and symbols.dtype ~= "u8" then
    errors.raise("coder: expected symbols as i32 or u8, got %s", symbols.dtype)
  end
end

-- Encodes symbols, an i32 or u8 tensor or a list.
function models.put(encoder, symbols, model)
  check_dtype(symbols)
  if is_sliced(model) then return put_slices(encoder, symbols, model) end
  local known, is_each = resolved(model)
  if not is_each then return by_native("encode", encoder, symbols, known) end
  local add = encoder.symbol
  each_symbol(symbols, known, function(symbol, frequencies) add(encoder, symbol, frequencies) end)
end

-- Decodes the next symbols, as an i32 tensor.
function models.take(decoder, shape, model)
  if is_sliced(model) then return take_slices(decoder, shape, model) end
  local known, is_each = resolved(model)
  if not is_each then return by_native("decode", decoder, shape, known) end
  local frequencies, following, list, count = frequencies_of(known), decoder.symbol, {}, 1
  for _, size in ipairs(shape) do count = count * size end
  for i = 1, count do list[i] = following(decoder, frequencies(list, i)) end
  if count == 0 then return native.zeros(table.unpack(shape)):to "i32" end
  return native.tensor(list, { dtype = "i32" }):view(table.unpack(shape))
end

-- The information of symbols in bits.
function models.bits(symbols, model)
  check_dtype(symbols)
  if is_sliced(model) then return bits_of_slices(symbols, model) end
  local known, is_each = resolved(model)
  if not is_each then return native["coder.bits"](symbols, known) end
  local total = 0
  each_symbol(symbols, known, function(symbol, frequencies)
    total = total + frequencies:bits(symbol)
  end)
  return total
end

return models
