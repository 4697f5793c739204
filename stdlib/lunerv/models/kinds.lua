-- The kinds of models, in the order of listings: the only place that describes their differences.
-- It is data alone, because options and models both need it. A new kind is an entry here and a
-- class in lunerv.models; if a program of its family is published, also a file in lunerv.interop.
--
--   name, title   of the class's file and of --model; for people
--   family        the file in lunerv.interop that knows the published program (nil: none is)
--   baseline      the kind that a boosted one boosts; `boosted` follows from it
--   embeds        an encoder makes an embedding of each frame; the decoder decodes it
--   encodes_time  the decoder takes the frame's time
--   defaults      of options that differ from the catalogue's, and of options that other kinds
--                 do not have
--   commands      defaults for one script
--   lambda        the price of a bit per pixel with losses other than l1 and l2, if not 0.2
--   bunny         millions in the published size rule that give the paper's models of the bunny
--                 (132 frames of 720×1280)
--   bench         sizes of `lunerv bench`: { millions of parameters, GFLOP of a forward pass }
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"

local kinds <const> = { names = {}, by_name = {} }

kinds.list = {
  {
    name = "nerv", title = "NeRV", family = "nerv", encodes_time = true,
    defaults = {
      stem_dim = 512, act = "silu", pe_levels = 40, loss = "l1_ssim", optimiser = "adam", lr = 5e-4,
      beta1 = 0.5, warmup = 0.2,
    },
    bench = { ["180p"] = { 0.4, 0.2 }, ["360p"] = { 0.8, 1.0 }, ["720p"] = { 1.5, 3.9 } },
  },
  {
    name = "nerv_boost", title = "NeRV-Boost", family = "nerv", baseline = "nerv",
    encodes_time = true,
    defaults = { stem_dim = 256, act = "sin", dec_blks = { 1, 1, 2 } },
    bunny = { ["0.75M"] = 0.375, ["1.5M"] = 0.8, ["3M"] = 1.65 },
    bench = { ["180p"] = { 0.2, 1.0 }, ["360p"] = { 0.4, 4.7 }, ["720p"] = { 0.8, 19.3 } },
  },
  {
    name = "enerv", title = "E-NeRV", family = "enerv", encodes_time = true,
    defaults = {
      block_dim = 128, loss = "l1_ssim", optimiser = "adam", lr = 5e-4, beta1 = 0.5, warmup = 0.2,
    },
    bench = { ["180p"] = { 0.4, 0.6 }, ["360p"] = { 0.8, 3.2 }, ["720p"] = { 1.5, 13 } },
  },
  {
    name = "enerv_boost", title = "E-NeRV-Boost", family = "enerv", baseline = "enerv",
    encodes_time = true,
    defaults = { block_dim = 128, act = "sin", dec_blks = { 1, 1, 2 }, lr = 1.5e-3 },
    commands = { interpolate = { lr = 1e-3 } },
    bunny = { ["0.75M"] = 0.55, ["1.5M"] = 1.25, ["3M"] = 2.2 },
    bench = { ["180p"] = { 0.3, 1.5 }, ["360p"] = { 0.6, 7.8 }, ["720p"] = { 1.25, 37.5 } },
  },
  {
    name = "hnerv", title = "HNeRV", family = "hnerv", embeds = true, lambda = 0.05,
    defaults = { ks = { 0, 1, 5 }, reduce = 1.2, loss = "l2", optimiser = "adam", lr = 1e-3 },
    commands = { inpaint = { lr = 5e-4, clip_grad = 1 } },
    bunny = { ["0.75M"] = 0.77, ["1.5M"] = 1.525, ["3M"] = 3.05 },
    bench = { ["180p"] = { 0.4, 4.1 }, ["360p"] = { 0.8, 20.4 }, ["720p"] = { 1.525, 130 } },
  },
  {
    name = "hnerv_boost", title = "HNeRV-Boost", family = "hnerv", baseline = "hnerv",
    embeds = true, encodes_time = true, lambda = 0.05,
    defaults = { ks = { 0, 1, 5 }, reduce = 1.2, act = "sin", dec_blks = { 1, 1, 2 } },
    commands = { interpolate = { lr = 1e-3 } },
    bunny = { ["0.75M"] = 0.64, ["1.5M"] = 1.275, ["3M"] = 2.65 },
    bench = { ["180p"] = { 0.35, 6.3 }, ["360p"] = { 0.7, 30 }, ["720p"] = { 1.275, 194 } },
  },
}

for i, kind in ipairs(kinds.list) do
  kind.boosted, kind.commands = kind.baseline ~= nil, kind.commands or {}
  kinds.names[i], kinds.by_name[kind.name] = kind.name, kind
end

-- The kind called `name`; `what` names the caller in errors.
function kinds.of(name, what)
  return kinds.by_name[name]
    or errors.raise("%sunknown model %s%s (known: %s)", what and what .. ": " or "",
      errors.show(name), names.meant(tostring(name), kinds.names), errors.list(kinds.names))
end

-- Names of the kinds for which `wanted(kind)` holds.
function kinds.where(wanted)
  local found = {}
  for _, kind in ipairs(kinds.list) do
    if wanted(kind) then found[#found + 1] = kind.name end
  end
  return found
end

return kinds
