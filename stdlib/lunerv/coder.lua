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
--   { family = "slices", of = "laplace", parameters = f }      a mean and a scale for each symbol
-- Symbols outside of a model's range are escaped: they cost more, but nothing is lost.
--
-- Of a model of one's own, `context(seen, i)` names, as an integer or a text, the context of symbol
-- i; `seen` holds the symbols before it. `weights` gives the list of weights of a context, or a
-- model of another family, which does not learn: a table of these, or a function of the context,
-- asked once for each. Weights are integers, computed from integers alone: a decoder must arrive at
-- the same ones on every machine. Without `context` there is one list. `lv.codec.write` takes such
-- a model for the weights of a network.
--
-- Slices are those of the first `dims` dimensions (1), one after another: `parameters(seen, k)`
-- gives the means and the scales of slice k, i32 tensors of its shape, as a function of the slices
-- before it, which `seen` holds. This is how an autoregressive network codes: one call for a row,
-- not for a symbol. Sums of integers below 2^24 are exact in f32 too, in any order.
local errors <const> = require "lunerv.errors"
local models <const> = require "lunerv.coder.models"
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
  return errors.on_behalf("coder.bits", "coder", models.bits, symbols, model)
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
  errors.check_list("coder.encode", parts, ...)
  local encoder, told = native.coder_encoder(), {}
  for i, part in ipairs(parts) do
    check_part("coder.encode", i, part, "symbols")
    local symbols, model = part.symbols, part.model
    local is_tensor = native.is_tensor(symbols)
    if not is_tensor and type(symbols) ~= "table" then
      errors.raise("coder.encode: part %d: symbols: expected a tensor or a list, got %s", i,
        type(symbols))
    end
    errors.on_behalf("coder.encode", "coder", models.put, encoder, symbols, model)
    told[i] = { shape = is_tensor and symbols.shape or { #symbols },
      dtype = is_tensor and symbols.dtype or "i32", model = model }
  end
  return encoder:finish(), told
end

local shape_fields <const> = { shape = true, dtype = true }

local function shape_of(i, part)
  local shape = part.shape or part.count and { part.count }
  if not shape or part.shape and part.count then
    errors.raise("coder.decode: part %d: expected { count =, model = } or { shape =, model = }", i)
  end
  if part.dtype ~= nil and part.dtype ~= "i32" and part.dtype ~= "u8" then
    errors.raise("coder.decode: part %d: dtype: expected i32 or u8, got %s", i,
      errors.show(part.dtype))
  end
  return shape
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
  errors.check_list("coder.decode", parts, ...)
  local shapes = {}
  for i, part in ipairs(parts) do
    check_part("coder.decode", i, part, "count", shape_fields)
    shapes[i] = shape_of(i, part)
  end
  local decoder, tensors = native.coder_decoder(bytes), {}
  for i, part in ipairs(parts) do
    local t = errors.on_behalf("coder.decode", "coder", models.take, decoder, shapes[i],
      part.model)
    if part.dtype == "u8" then
      if t:numel() > 0 and out_of_bytes(t:to "f32") then
        errors.data("coder.decode: part %d: a symbol beyond those of u8", i)
      end
      t = t:to "u8"
    end
    tensors[i] = t
  end
  decoder:finish()
  return tensors
end

return errors.refuse_unknown(coder, "lv.coder")
