-- The model sizes of the papers' tables, by name. A preset sets options that are not given.
local kinds <const> = require "lunerv.models.kinds"

local presets <const> = {}

-- For UVG (1080×1920) no rule is published, so the number itself is used. The same holds for the
-- bunny if a kind has no `bunny`.
local uvg <const> = { ["3M"] = 3e6, ["5M"] = 5e6, ["10M"] = 10e6, ["15M"] = 15e6 }

presets.names = {
  "bunny-0.75M", "bunny-1.5M", "bunny-3M", "uvg-3M", "uvg-5M", "uvg-10M", "uvg-15M",
}

-- The options that preset `name` gives a model of `kind`.
function presets.options(name, kind)
  local clip, size = name:match "^(%a+)-(.+)$"
  local own = kinds.of(kind)
  local o = { dec_blks = own.boosted and { 1, 1, 2, 2, 2 } or { 1 } }
  if own.embeds then o.enc_dim = { 64, 16 } end
  if clip == "uvg" then
    o.strides, o.params = { 5, 3, 2, 2, 2 }, uvg[size]
    return o
  end
  o.strides, o.size = { 5, 2, 2, 2, 2 }, own.bunny and own.bunny[size]
  if not o.size then o.params = 1e6 * tonumber(size:match "^[%d.]+") end
  return o
end

return presets
