-- Learning rates as functions of the step, which counts from 1.
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local schedule <const> = {}

local function checked(o)
  local share = o.warmup
  if not (share >= 0 and share <= 1) then
    errors.raise("warmup: expected a share of the steps from 0 to 1, got %s", share)
  end
  for _, name in ipairs { "lr", "last" } do
    local value = o[name] or 0
    if type(value) ~= "number" or not (value >= 0 and value < math.huge) then
      errors.raise("%s: expected a finite number of at least 0, got %s", name, tostring(value))
    end
  end
  if type(o.steps) ~= "number" or o.steps ~= o.steps or o.steps <= 0 then
    errors.raise("steps: expected a number above 0, got %s", tostring(o.steps))
  end
  return o
end

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
  return setmetatable(checked(options(given, { lr = 1e-3, warmup = 0.1, steps = 1 })),
    WarmupCosine)
end

local WarmupLinear <const> = {}
WarmupLinear.__index = WarmupLinear

function WarmupLinear:__call(step)
  local c, w = (step - 1) / self.steps, self.warmup
  if c < w then return self.lr * (0.1 + 0.9 * c / w) end
  return self.lr * (1 - (1 - self.last) * (c - w) / (1 - w))
end

function WarmupLinear:state()
  return { kind = "warmup_linear", lr = self.lr, warmup = self.warmup, steps = self.steps,
    last = self.last }
end

-- From a tenth of `lr` up to it over the first `warmup` share of `steps`, then in a straight line
-- to the share `last` of it.
function schedule.warmup_linear(given)
  local defaults = { lr = 1e-3, warmup = 0.1, steps = 1, last = 0 }
  return setmetatable(checked(options(given, defaults)), WarmupLinear)
end

-- The schedule called `name` on the command line.
function schedule.by_name(name, given)
  local make = ({ warmup_cosine = schedule.warmup_cosine, warmup_linear = schedule.warmup_linear })
    [name]
  return (make or errors.raise("unknown schedule '%s' (known: warmup_cosine, warmup_linear)",
    tostring(name)))(given)
end

-- The same `lr` at every step.
function schedule.constant(given)
  local o = options(given, { lr = 1e-3 })
  if type(o.lr) ~= "number" then errors.raise("lr: expected a number, got %s", type(o.lr)) end
  return function() return o.lr end
end

return errors.refuse_unknown(schedule, "lv.schedule")
