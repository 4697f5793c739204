-- Learning rates as functions of the step, which counts from 1.
local options <const> = require "lunerv.options"

local schedule <const> = {}

local WarmupCosine <const> = {}
WarmupCosine.__index = WarmupCosine

-- c is the share of the training done before this step.
function WarmupCosine:__call(step)
  local c, w = (step - 1) / self.steps, self.warmup
  if c < w then return self.lr * (0.1 + 0.9 * c / w) end
  return self.lr * 0.5 * (math.cos(math.pi * (c - w) / (1 - w)) + 1)
end

-- What a checkpoint records of it.
function WarmupCosine:state()
  return { kind = "warmup_cosine", lr = self.lr, warmup = self.warmup, steps = self.steps }
end

-- From a tenth of `lr` up to it over the first `warmup` share of `steps`, then half a cosine
-- down to 0.
function schedule.warmup_cosine(given)
  return setmetatable(options(given, { lr = 1e-3, warmup = 0.1, steps = 1 }), WarmupCosine)
end

-- The same `lr` at every step.
function schedule.constant(given)
  local o = options(given, { lr = 1e-3 })
  return function() return o.lr end
end

return schedule
