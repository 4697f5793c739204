-- The sizes of the papers' tables, by name: options that stand in for those not given.
local presets <const> = {}

-- Millions in the published size rule that make the paper's .75, 1.5 and 3M models of the bunny
-- (132 frames of 720×1280). Kinds without a published one are solved for the number itself, and so
-- are the sizes for UVG (1080×1920).
local bunny <const> = {
  ["0.75M"] = { hnerv = 0.77, hnerv_boost = 0.64, nerv_boost = 0.375, enerv_boost = 0.55 },
  ["1.5M"] = { hnerv = 1.525, hnerv_boost = 1.275, nerv_boost = 0.8, enerv_boost = 1.25 },
  ["3M"] = { hnerv = 3.05, hnerv_boost = 2.65, nerv_boost = 1.65, enerv_boost = 2.2 },
}
local uvg <const> = { ["3M"] = 3e6, ["5M"] = 5e6, ["10M"] = 10e6, ["15M"] = 15e6 }

presets.names = {
  "bunny-0.75M", "bunny-1.5M", "bunny-3M", "uvg-3M", "uvg-5M", "uvg-10M", "uvg-15M",
}

-- The options that preset `name` gives a model of `kind`.
function presets.options(name, kind)
  local clip, size = name:match "^(%a+)-(.+)$"
  local o = { dec_blks = kind:match "_boost$" and { 1, 1, 2, 2, 2 } or { 1 } }
  if kind:match "^hnerv" then o.enc_dim = { 64, 16 } end
  if clip == "uvg" then
    o.strides, o.params = { 5, 3, 2, 2, 2 }, uvg[size]
    return o
  end
  o.strides, o.size = { 5, 2, 2, 2, 2 }, bunny[size][kind]
  if not o.size then o.params = 1e6 * tonumber(size:match "^[%d.]+") end
  return o
end

return presets
