-- lv.coder: the entropy coder, for storing your own symbols.
--
--   local model = lv.coder.fit(symbols)              -- plain integers, to be kept with the bytes
--   local bytes, parts = lv.coder.encode { { symbols = symbols, model = model } }
--   local list = lv.coder.decode(bytes, parts)       -- tensors in their shapes
--
-- A model is a table of integers, from which every machine makes the same frequencies:
--   { family = "gaussian", mean = 256ths of a symbol, scale = i }   σ = 2^(i/16 − 4), i in 0…255
--   { family = "laplace", mean =, scale = }                         the same of b
--   { family = "logistic", mean =, scale = }                        the same of s
--   { family = "adaptive", first =, count = }      learned, for count symbols from first on
--   { family = "table", first =, weights = { … } } in proportion to weights of your own
--   { family = "own", first =, context = f, weights = g }           chosen by functions
--   { family = "slices", of = "laplace", parameters = f }      a mean and a scale for each symbol
-- Symbols outside a model's range are escaped: they cost more, but nothing is lost.
--
-- In a custom model, `context(seen, i)` returns the context of symbol i as an integer or a text;
-- `seen` holds the symbols before it. `weights` gives a context's list of weights, or a model of
-- another, non-adaptive family. It is a table of these, or a function of the context, which is
-- called once per context. Weights are integers, computed from integers alone, because a decoder
-- must compute the same ones on every machine. Without `context` there is one list.
-- `lv.codec.write` accepts such a model for the weights of a network.
--
-- Slices are those of the first `dims` dimensions (1), one after another. `parameters(seen, k)`
-- returns the means and the scales of slice k, i32 tensors of its shape, as a function of the
-- previous slices, which `seen` holds. So an autoregressive network codes with one call per row
-- instead of one per symbol. Sums of integers below 2^24 are also exact in f32, in any order.
local errors <const> = require "lunerv.errors"
local models <const> = require "lunerv.coder.models"
local native <const> = require "lunerv.native"

local coder <const> = {}

--- The cheapest model for symbols among a number of families, as a table of integers.
---
---     local model = lv.coder.fit(symbols, { "gaussian", "logistic" })
---
---@param symbols lunerv.Tensor|integer[]  i32, u8 or a list
---@param families? string[]  of adaptive, gaussian, laplace and logistic (all of them)
---@return table  family, with mean and scale, or first and count
function coder.fit(symbols, families) return native["coder.fit"](symbols, families) end

--- The ideal size of symbols under a model in bits: their information.
---
--- The output of `encode` is eight bytes of state and some thousandths of a percent larger.
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
      errors.raise("%s: part %d: expected { %s =, model = }, got also '%s'", what, i, first,
        tostring(key))
    end
  end
end

--- Encodes several runs of symbols, each with its model.
---
--- The second result is the input of `decode`; it is plain data if the models are.
---
---     local bytes, parts = lv.coder.encode { { symbols = codes, model = lv.coder.fit(codes) } }
---
---@param parts table[]  a list of { symbols =, model = }: i32 or u8 tensors, or lists of integers
---@return string
---@return table[]  a list of { shape =, dtype =, model = }
function coder.encode(parts, ...)
  errors.check_list("coder.encode", parts, ...)
  local encoder, described = native.coder_encoder(), {}
  for i, part in ipairs(parts) do
    check_part("coder.encode", i, part, "symbols")
    local symbols, model = part.symbols, part.model
    local is_tensor = native.is_tensor(symbols)
    if not is_tensor and type(symbols) ~= "table" then
      errors.raise("coder.encode: part %d: symbols: expected a tensor or a list, got %s", i,
        type(symbols))
    end
    errors.on_behalf("coder.encode", "coder", models.put, encoder, symbols, model)
    described[i] = { shape = is_tensor and symbols.shape or { #symbols },
      dtype = is_tensor and symbols.dtype or "i32", model = model }
  end
  return encoder:finish(), described
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

local function exceeds_bytes(t) return t:amin():item() < 0 or t:amax():item() > 255 end

--- Decodes the tensors that `encode` was given.
---
--- Bytes that do not belong to these parts are an error if that can be detected; damaged bytes may
--- decode to other symbols.
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
      if t:numel() > 0 and exceeds_bytes(t:to "f32") then
        errors.data("coder.decode: part %d: expected symbols from 0 to 255 (u8), got others", i)
      end
      t = t:to "u8"
    end
    tensors[i] = t
  end
  decoder:finish()
  return tensors
end

return errors.refuse_unknown(coder, "lv.coder")
