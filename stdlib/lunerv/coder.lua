-- lv.coder: the entropy coder, for those who store symbols of their own.
--
--   local model = lv.coder.fit(symbols)              -- plain integers, to be kept with the bytes
--   local bytes = lv.coder.encode { { symbols = symbols, model = model } }
--   local list = lv.coder.decode(bytes, { { count = symbols:numel(), model = model } })
--
-- A model is a table of integers, from which every machine makes the same frequencies:
--   { family = "gaussian", mean = 256ths of a symbol, scale = i }   σ = 2^(i/16 − 4), i in 0…255
--   { family = "laplace", mean =, scale = }                         the same of b
--   { family = "adaptive", first =, count = }      learned from as many symbols as follow first
--   { family = "table", first =, weights = { … } } in proportion to weights of your own
-- Symbols outside of a model's range are escaped: they cost more, but nothing is lost.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local coder <const> = {}

-- The model of `families` (all but "table" unless given) under which an i32 tensor costs least.
function coder.fit(symbols, families) return native.coder_fit(symbols, families) end

-- What the parts hold under two names; each must have both, and nothing else.
local function columns(what, parts, first, second)
  local a, b = {}, {}
  for i, part in ipairs(parts) do
    if type(part) ~= "table" or part[first] == nil or part[second] == nil then
      errors.raise("%s: part %d: expected { %s =, %s = }, got %s", what, i, first, second,
        type(part) == "table" and "a table without them" or type(part))
    end
    for key in pairs(part) do
      if key ~= first and key ~= second then
        errors.raise("%s: part %d: expected { %s =, %s = }, got '%s' besides", what, i, first,
          second, tostring(key))
      end
    end
    a[i], b[i] = part[first], part[second]
  end
  return a, b
end

-- The bytes of a list of { symbols = i32 tensor, model = }.
function coder.encode(parts, ...)
  errors.check_list("encode", parts, ...)
  local symbols, models = columns("encode", parts, "symbols", "model")
  return native.coder_encode(symbols, models)
end

-- The i32 tensors, one-dimensional, of bytes that `encode` made of parts with these counts and
-- models; an error when the bytes are not theirs.
function coder.decode(bytes, parts, ...)
  errors.check_list("decode", parts, ...)
  local counts, models = columns("decode", parts, "count", "model")
  return native.coder_decode(bytes, counts, models)
end

return errors.refuse_unknown(coder, "lv.coder")
