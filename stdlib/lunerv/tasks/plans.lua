-- The plans of scripts/ablate.lua: lists of variants by name. A variant is { name, its own options,
-- `against` = the variant that it is compared with: the first unless given, or false for none }. A
-- plan's `common` options apply to all its variants, and its `kind` is the default. The command
-- line overrides both, but not a variant's own options.
local errors <const> = require "lunerv.errors"
local kinds <const> = require "lunerv.models.kinds"

local plans <const> = {}

-- One part at a time, of a boosted kind.

plans.activation = {
  about = "the model's activation",
  variants = {
    { "gelu", { act = "gelu" } }, { "sin", { act = "sin" } }, { "silu", { act = "silu" } },
    { "relu", { act = "relu" } },
  },
}

plans.conditioning = {
  about = "how blocks are conditioned on time",
  variants = {
    { "none", { conditioning = "none" } }, { "tat", { conditioning = "tat" } },
    { "adain", { conditioning = "adain" } },
  },
}

plans.loss = {
  about = "terms of the loss",
  variants = {
    { "l2", { loss = "l2" } }, { "l1", { loss = "l1" } },
    { "l1+ms_ssim", { loss = "l1_ms_ssim" } }, { "l1+freq", { loss = "l1_freq" } },
    { "l1+ms_ssim+freq", { loss = "boosted" } },
  },
}

plans.compression = {
  about = "entropy minimisation against three steps",
  variants = { { "three_step", { method = "three_step" } }, { "cem", { method = "cem" } } },
}

-- What lunerv adds to the paper's entropy minimisation: each addition alone and the published
-- method, and the default.
local published <const> = {
  compress_optimiser = "adan", predict = false, families = "gaussian", channel = false, rdo = 0,
  seeded = false,
}

-- `published` with changed options.
local function beyond(changes)
  local o = {}
  for name, value in pairs(published) do o[name] = value end
  for name, value in pairs(changes) do o[name] = value end
  return o
end

plans.compression_parts = {
  about = "entropy minimisation as published, and what lunerv adds, one by one",
  variants = {
    { "published", beyond {} }, { "families", beyond { families = "all" } },
    { "seeded", beyond { families = "context", seeded = true } },
    { "predict", beyond { predict = true } }, { "adam", beyond { compress_optimiser = "adam" } },
    { "channel", beyond { channel = true } }, { "rdo", beyond { rdo = 0.03 } },
    { "default", { compress_optimiser = "adam", predict = true, families = "all", channel = false,
      rdo = 0, seeded = true } },
  },
}

-- Each part alone, then all together.

local plain <const> = {
  act = "gelu", conditioning = "none", loss = "l2", method = "three_step",
}

-- `plain` with changed options.
local function with(changes)
  local o = {}
  for name, value in pairs(plain) do o[name] = changes[name] or value end
  return o
end

plans.together = {
  about = "every part alone, and all together",
  variants = {
    { "plain", with {} }, { "sine", with { act = "sin" } },
    { "tat", with { conditioning = "tat" } }, { "loss", with { loss = "boosted" } },
    { "cem", with { method = "cem" } },
    { "all", with { act = "sin", conditioning = "tat", loss = "boosted", method = "cem" } },
  },
}

-- The paper's first comparisons.

-- Each kind by its own recipe, including activation, loss, optimiser and learning rate.
plans.boost = { about = "every boosted kind against its baseline", variants = {} }
for _, kind in ipairs(kinds.list) do
  local name, baseline = kind.name, kind.baseline
  if baseline then
    table.insert(plans.boost.variants, { baseline, { model = baseline }, against = false })
    table.insert(plans.boost.variants, { name, { model = name }, against = baseline })
  end
end

plans.sine_in_nerv = {
  about = "SINE instead of GELU in NeRV", kind = "nerv",
  variants = { { "gelu", { act = "gelu" } }, { "sine", { act = "sin" } } },
}

-- The baseline's normalised affine transform of time, none, and TAT; the rest of the recipe is the
-- same.
plans.tat_in_enerv = {
  about = "TAT in E-NeRV, with convergence curves", curves = true,
  common = { act = "gelu", loss = "boosted", optimiser = "adan", lr = 1.5e-3, warmup = 0.1 },
  variants = {
    { "enerv", { model = "enerv" } },
    { "none", { model = "enerv_boost", conditioning = "none" } },
    { "tat", { model = "enerv_boost", conditioning = "tat" } },
  },
}

plans.cem_on_hnerv = {
  about = "entropy minimisation against three steps on HNeRV", kind = "hnerv",
  common = { loss = "l2" },
  variants = plans.compression.variants,
}

plans.names = {
  "activation", "conditioning", "loss", "compression", "compression_parts", "together", "boost",
  "sine_in_nerv", "tat_in_enerv", "cem_on_hnerv",
}

-- The variants of the plan called `name`: { name, options, own, against }. `options` combines `o`
-- of the command line, the plan's and the variant's; `own` is the variant's alone.
function plans.variants(name, o)
  local plan = plans[name] or errors.raise("unknown plan '%s'", tostring(name))
  local list = {}
  for i, variant in ipairs(plan.variants) do
    local settings = { model = plan.kind or "hnerv_boost" }
    for key, value in pairs(plan.common or {}) do settings[key] = value end
    for key, value in pairs(o) do settings[key] = value end
    for key, value in pairs(variant[2]) do settings[key] = value end
    if plan.curves and settings.eval_every == 0 then
      settings.eval_every = math.max(1, settings.epochs // 20)
    end
    local against = variant.against
    if against == nil and i > 1 then against = plan.variants[1][1] end
    list[i] = {
      name = variant[1], options = settings, own = variant[2], against = against or nil,
    }
  end
  return list
end

return plans
