-- lv.coder: the entropy coder, for those who store symbols of their own.
--
--   local model = lv.coder.fit(symbols)              -- plain integers, to be kept with the bytes
--   local bytes, parts = lv.coder.encode { { symbols = symbols, model = model } }
--   local list = lv.coder.decode(bytes, parts)       -- tensors in their shapes
--
-- A model is a table of integers, from which every machine makes the same frequencies:
--   { family = "gaussian", mean = 256ths of a symbol, scale = i }   σ = 2^(i/16 − 4), i in 0…255
--   { family = "laplace", mean =, scale = }                         the same of b
--   { family = "logistic", mean =, scale = }                        the same of s
--   { family = "adaptive", first =, count = }      learned from as many symbols as follow first
--   { family = "table", first =, weights = { … } } in proportion to weights of your own
--   { family = "own", first =, context = f, weights = g }           those that functions choose
-- Symbols outside of a model's range are escaped: they cost more, but nothing is lost.
--
-- Of a model of one's own, `context(seen, i)` names, as an integer or a text, the context of symbol
-- i; `seen` holds the symbols before it. `weights` gives the list of weights of a context: a table
-- of lists, or a function of the context, asked once for each. Weights are integers, computed from
-- integers alone: a decoder must arrive at the same ones on every machine.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local coder <const> = {}

--- The model of a number of families under which symbols cost least, as a table of integers.
---
---     local model = lv.coder.fit(symbols, { "gaussian", "logistic" })
---
---@param symbols lunerv.Tensor|integer[]  i32, u8 or a list
---@param families? string[]  of adaptive, gaussian, laplace and logistic (all of them)
---@return table  family, with mean and scale, or first and count
function coder.fit(symbols, families) return native["coder.fit"](symbols, families) end

-- Models of one's own --------------------------------------------------------------------------

local own_fields <const> = { family = true, first = true, context = true, weights = true }

local function is_own(model) return type(model) == "table" and model.family == "own" end

local function check_own(model)
  if math.type(model.first) ~= "integer" then
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

-- The frequencies of a context; `where` names it.
local function table_of(model, key, where)
  local weights
  if type(model.weights) == "function" then
    weights = model.weights(key)
  elseif model.context then
    weights = model.weights[key]
  else
    weights = model.weights
  end
  if type(weights) ~= "table" or #weights == 0 then
    errors.raise("coder: own: %s: expected a list of integers, got %s", where,
      type(weights) == "table" and "an empty one" or type(weights))
  end
  for i, weight in ipairs(weights) do
    if math.type(weight) ~= "integer" or weight < 0 or weight > 0xffffffff then
      errors.raise("coder: own: %s: weight %d: expected an integer from 0 to 4294967295, got %s%s",
        where, i, type(weight) == "number" and tostring(weight) or type(weight),
        math.type(weight) == "float" and ": floats may differ from machine to machine" or "")
    end
  end
  return native.coder_table(model.first, weights)
end

-- A function (seen, i) that gives the frequencies of symbol i. A context's are made once.
local function frequencies_of(model)
  check_own(model)
  local known, context = {}, model.context
  return function(seen, i)
    local key = 1
    if context then key = context(seen, i) end
    if math.type(key) ~= "integer" and type(key) ~= "string" then
      errors.raise("coder: own: context of symbol %d: expected an integer or a text, got %s", i,
        type(key) == "number" and tostring(key) or type(key))
    end
    local found = known[key]
    if not found then
      local where = context and ("weights of context %s"):format(key) or "weights"
      found = table_of(model, key, where)
      known[key] = found
    end
    return found
  end
end

-- Calls body(symbol, frequencies) for every symbol of a list, in order.
local function each_symbol(list, model, body)
  local frequencies, seen = frequencies_of(model), {}
  for i, symbol in ipairs(list) do
    body(symbol, frequencies(seen, i))
    seen[i] = symbol
  end
end

-- Symbols as a list, and what tells their shape.
local function listed(symbols)
  if not native.is_tensor(symbols) then return symbols, { #symbols } end
  return symbols:view(-1):tolist(), symbols.shape
end

--- How many bits symbols take under a model, ideally: their information.
---
--- The bytes of `encode` come to eight more of state, and some thousandths of a percent.
---
---     print(lv.coder.bits(symbols, lv.coder.fit(symbols)) / symbols:numel())
---
---@param symbols lunerv.Tensor|integer[]  i32, u8 or a list
---@param model table  as for lv.coder.encode
---@return number
function coder.bits(symbols, model)
  if not is_own(model) then return native["coder.bits"](symbols, model) end
  local total = 0
  each_symbol(listed(symbols), model, function(symbol, frequencies)
    total = total + frequencies:bits(symbol)
  end)
  return total
end

-- Bytes ----------------------------------------------------------------------------------------

local function check_part(what, i, part, first, others)
  if type(part) ~= "table" or part.model == nil or part[first] == nil and not others then
    errors.raise("%s: part %d: expected { %s =, model = }, got %s", what, i, first,
      type(part) == "table" and "a table without them" or type(part))
  end
  for key in pairs(part) do
    if key ~= first and key ~= "model" and not (others and others[key]) then
      errors.raise("%s: part %d: expected { %s =, model = }, got '%s' besides", what, i, first,
        tostring(key))
    end
  end
end

--- The bytes of several runs of symbols, each with its model.
---
--- The second result is what `decode` wants to know; it is plain data where the models are.
---
---     local bytes, parts = lv.coder.encode { { symbols = codes, model = lv.coder.fit(codes) } }
---
---@param parts table[]  a list of { symbols =, model = }: i32 or u8 tensors, or lists of integers
---@return string
---@return table[]  a list of { shape =, dtype =, model = }
function coder.encode(parts, ...)
  errors.check_list("encode", parts, ...)
  local encoder, told = native.coder_encoder(), {}
  for i, part in ipairs(parts) do
    check_part("encode", i, part, "symbols")
    local symbols, model = part.symbols, part.model
    local is_tensor = native.is_tensor(symbols)
    if not is_tensor and type(symbols) ~= "table" then
      errors.raise("encode: part %d: symbols: expected a tensor or a list, got %s", i,
        type(symbols))
    end
    if is_own(model) then
      if is_tensor and symbols.dtype ~= "i32" and symbols.dtype ~= "u8" then
        errors.raise("coder: expected symbols as i32 or u8, got %s", symbols.dtype)
      end
      each_symbol(listed(symbols), model, function(symbol, frequencies)
        encoder:symbol(symbol, frequencies)
      end)
    else
      encoder:encode(symbols, model)
    end
    told[i] = { shape = is_tensor and symbols.shape or { #symbols },
      dtype = is_tensor and symbols.dtype or "i32", model = model }
  end
  return encoder:finish(), told
end

local shape_fields <const> = { shape = true, dtype = true }

local function shape_of(i, part)
  local shape = part.shape or part.count and { part.count }
  if not shape or part.shape and part.count then
    errors.raise("decode: part %d: expected { count =, model = } or { shape =, model = }", i)
  end
  if part.dtype ~= nil and part.dtype ~= "i32" and part.dtype ~= "u8" then
    errors.raise("decode: part %d: dtype: expected i32 or u8, got %s", i, tostring(part.dtype))
  end
  return shape
end

local function taken_own(decoder, shape, model)
  local frequencies, list, count = frequencies_of(model), {}, 1
  for _, size in ipairs(shape) do count = count * size end
  for i = 1, count do list[i] = decoder:symbol(frequencies(list, i)) end
  if count == 0 then return native.zeros(table.unpack(shape)):to "i32" end
  return native.tensor(list, { dtype = "i32" }):view(table.unpack(shape))
end

local function out_of_bytes(t) return t:amin():item() < 0 or t:amax():item() > 255 end

--- The tensors that `encode` was given.
---
--- Bytes that are not those of these parts are an error, as far as they show it: what was damaged
--- may decode to other symbols.
---
---     local codes = lv.coder.decode(bytes, { { shape = { 8, 3, 3 }, model = model } })[1]
---
---@param bytes string
---@param parts table[]  a list of { shape = or count =, model =, dtype = "i32" or "u8" }
---@return lunerv.Tensor[]
function coder.decode(bytes, parts, ...)
  errors.check_list("decode", parts, ...)
  local shapes = {}
  for i, part in ipairs(parts) do
    check_part("decode", i, part, "count", shape_fields)
    shapes[i] = shape_of(i, part)
  end
  local decoder, tensors = native.coder_decoder(bytes), {}
  for i, part in ipairs(parts) do
    local t
    if is_own(part.model) then
      t = taken_own(decoder, shapes[i], part.model)
    else
      t = decoder:decode(shapes[i], part.model)
    end
    if part.dtype == "u8" then
      if t:numel() > 0 and out_of_bytes(t:to "f32") then
        errors.data("coder: part %d: a symbol beyond those of u8", i)
      end
      t = t:to "u8"
    end
    tensors[i] = t
  end
  decoder:finish()
  return tensors
end

return errors.refuse_unknown(coder, "lv.coder")
