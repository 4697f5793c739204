-- Learning rates as functions of the step, which counts from 1.
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local schedule <const> = {}

local function checked(name, o)
  local share = o.warmup
  if not (share >= 0 and share <= 1) then
    errors.raise("schedule.%s: warmup: expected a share of the steps from 0 to 1, got %s", name,
      share)
  end
  for _, key in ipairs { "lr", "last" } do
    local value = o[key] or 0
    if type(value) ~= "number" or not (value >= 0 and value < math.huge) then
      errors.raise("schedule.%s: %s: expected a finite number of at least 0, got %s", name, key,
        tostring(value))
    end
  end
  if type(o.steps) ~= "number" or o.steps ~= o.steps or o.steps <= 0 then
    errors.raise("schedule.%s: steps: expected a number above 0, got %s", name, tostring(o.steps))
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

local cosine_takes <const> = options.takes("schedule.warmup_cosine", {
  { "lr", 1e-3, "the highest rate" },
  { "warmup", 0.1, "share of the steps in which the rate rises" },
  { "steps", 1, "how many steps there are" },
})

--- From a tenth of `lr` up to it over the first `warmup` share of `steps`, then half a cosine down
--- to 0.
--- Unlike PyTorch, a schedule is a function of the step, which counts from 1, and knows no
--- optimiser.
---
---     local rate = lv.schedule.warmup_cosine { lr = 3e-3, steps = 1000 }
---     optimiser.lr = rate(step)
---
---@param given? lunerv.schedule.warmup_cosine.Options
---@return fun(step: number): number
function schedule.warmup_cosine(given)
  return setmetatable(checked("warmup_cosine", cosine_takes(given)), WarmupCosine)
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

local linear_takes <const> = options.takes("schedule.warmup_linear", {
  { "lr", 1e-3, "the highest rate" },
  { "warmup", 0.1, "share of the steps in which the rate rises" },
  { "steps", 1, "how many steps there are" },
  { "last", 0, "share of lr that is left at the end" },
})

--- From a tenth of `lr` up to it over the first `warmup` share of `steps`, then in a straight line
--- to the share `last` of it.
---
---     local rate = lv.schedule.warmup_linear { lr = 3e-3, steps = 1000, last = 0.1 }
---     optimiser.lr = rate(step)
---
---@param given? lunerv.schedule.warmup_linear.Options
---@return fun(step: number): number
function schedule.warmup_linear(given)
  return setmetatable(checked("warmup_linear", linear_takes(given)), WarmupLinear)
end

local by_name <const> = {
  warmup_cosine = schedule.warmup_cosine, warmup_linear = schedule.warmup_linear,
}

--- The schedule that the command line calls by this name: "warmup_cosine" or "warmup_linear".
---
---     local rate = lv.schedule.by_name("warmup_linear", { lr = 3e-3, warmup = 0.1, steps = 1000 })
---
---@param name string
---@param given? table  the options of that schedule
---@return fun(step: number): number
function schedule.by_name(name, given)
  local make = by_name[name] or errors.raise("schedule.by_name: unknown schedule '%s'%s",
    tostring(name), errors.meant(name, { "warmup_cosine", "warmup_linear" }))
  return make(given)
end

local constant_takes <const> = options.takes("schedule.constant", {
  { "lr", 1e-3, "the rate" },
})

--- The same rate at every step.
---
---     lv.train { model = model, clip = clip, schedule = lv.schedule.constant { lr = 1e-3 } }
---
---@param given? lunerv.schedule.constant.Options
---@return fun(step: number): number
function schedule.constant(given)
  local lr = constant_takes(given).lr
  if type(lr) ~= "number" then
    errors.raise("schedule.constant: lr: expected a number, got %s", type(lr))
  end
  return function() return lr end
end

return errors.refuse_unknown(schedule, "lv.schedule")
