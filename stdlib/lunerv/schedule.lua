-- Learning rates as functions of the step, which counts from 1: schedule(step, steps, lr). A
-- schedule takes `steps` and `lr` from the call, made by lv.train, unless its options set them.
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
  local steps = o.steps or 1
  if type(steps) ~= "number" or steps ~= steps or steps <= 0 then
    errors.raise("schedule.%s: steps: expected a number above 0, got %s", name, tostring(steps))
  end
  return o
end

-- Options of every schedule. Outside of lv.train, lr is 1e-3 and steps is 1.
local rate_option <const> = { "lr", nil, "the highest learning rate (the training's)",
  type = "number" }
local steps_option <const> = { "steps", nil, "how many steps there are (the training's)",
  type = "number" }
local warmup_option <const> = { "warmup", 0.1,
  "share of the steps in which the learning rate rises" }

-- The highest learning rate, and the fraction of the training before `step`.
local function place(self, step, steps, lr)
  return self.lr or lr or 1e-3, (step - 1) / (self.steps or steps or 1)
end

-- The learning rate during warm-up.
local function rising(lr, c, w) return lr * (0.1 + 0.9 * c / w) end

local WarmupCosine <const> = {}
WarmupCosine.__index = WarmupCosine

function WarmupCosine:__call(step, steps, highest)
  local lr, c = place(self, step, steps, highest)
  local w = self.warmup
  if c < w then return rising(lr, c, w) end
  return lr * 0.5 * (math.cos(math.pi * (c - w) / (1 - w)) + 1)
end

-- The schedule's entry in a checkpoint.
function WarmupCosine:state()
  return { kind = "warmup_cosine", lr = self.lr, warmup = self.warmup, steps = self.steps }
end

local cosine_takes <const> = options.takes("schedule.warmup_cosine", {
  rate_option, warmup_option, steps_option,
})

--- Rises from a tenth of `lr` to `lr` over the first `warmup` share of `steps`, then falls along
--- half a cosine to 0.
--- Unlike PyTorch, a schedule is a function of the step, which counts from 1, and does not hold an
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

function WarmupLinear:__call(step, steps, highest)
  local lr, c = place(self, step, steps, highest)
  local w = self.warmup
  if c < w then return rising(lr, c, w) end
  return lr * (1 - (1 - self.last) * (c - w) / (1 - w))
end

function WarmupLinear:state()
  return { kind = "warmup_linear", lr = self.lr, warmup = self.warmup, steps = self.steps,
    last = self.last }
end

local linear_takes <const> = options.takes("schedule.warmup_linear", {
  rate_option, warmup_option, steps_option,
  { "last", 0, "final learning rate, as a share of lr" },
})

--- Rises from a tenth of `lr` to `lr` over the first `warmup` share of `steps`, then falls linearly
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

local CosineRestarts <const> = {}
CosineRestarts.__index = CosineRestarts

-- The number of completed cycles at the fraction `c` of all, and the fraction of the current one.
-- Each cycle is `factor` times as long as the previous one.
local function fall_of(c, cycles, factor)
  if factor == 1 then
    local number = math.min(c * cycles // 1, cycles - 1)
    return number, c * cycles - number
  end
  local length, over = (factor - 1) / (factor ^ cycles - 1), 0
  for number = 0, cycles - 2 do
    if c < over + length then return number, (c - over) / length end
    over, length = over + length, length * factor
  end
  return cycles - 1, (c - over) / length
end

function CosineRestarts:__call(step, steps, highest)
  local lr, c = place(self, step, steps, highest)
  local w = self.warmup
  if c < w then return rising(lr, c, w) end
  local number, share = fall_of((c - w) / (1 - w), self.cycles, self.factor)
  local cosine = 0.5 * (math.cos(math.pi * share) + 1)
  return lr * self.decay ^ number * (self.last + (1 - self.last) * cosine)
end

function CosineRestarts:state()
  return { kind = "cosine_restarts", lr = self.lr, warmup = self.warmup, steps = self.steps,
    cycles = self.cycles, factor = self.factor, last = self.last, decay = self.decay }
end

local restarts_takes <const> = options.takes("schedule.cosine_restarts", {
  rate_option,
  { "warmup", 0, "share of the steps in which the learning rate first rises" },
  steps_option,
  { "cycles", 4, "the number of cycles" },
  { "factor", 1, "length of each cycle relative to the previous one" },
  { "last", 0, "final learning rate of each cycle, as a share of its highest" },
  { "decay", 1, "highest learning rate of each cycle, as a share of the previous one's" },
})

--- Falls along half a cosine to the share `last` of `lr` and restarts, `cycles` times (arXiv
--- 1608.03983).
--- Unlike PyTorch's CosineAnnealingWarmRestarts, it takes the number of cycles, not the length of
--- the first, so that the last cycle ends with the training; `factor` is T_mult, and `last` is a
--- share of `lr` where eta_min is a learning rate.
---
---     lv.train { model = model, clip = clip,
---       schedule = lv.schedule.cosine_restarts { cycles = 3, factor = 2 } }
---
---@param given? lunerv.schedule.cosine_restarts.Options
---@return fun(step: number): number
function schedule.cosine_restarts(given)
  local o = checked("cosine_restarts", restarts_takes(given))
  if not math.tointeger(o.cycles) or o.cycles < 1 then
    errors.raise("schedule.cosine_restarts: cycles: expected an integer of at least 1, got %s",
      tostring(o.cycles))
  end
  for _, name in ipairs { "factor", "decay" } do
    if not (o[name] > 0 and o[name] < math.huge) then
      errors.raise("schedule.cosine_restarts: %s: expected a finite number above 0, got %s", name,
        o[name])
    end
  end
  return setmetatable(o, CosineRestarts)
end

local by_name <const> = {
  warmup_cosine = schedule.warmup_cosine, warmup_linear = schedule.warmup_linear,
  cosine_restarts = schedule.cosine_restarts,
}

local known <const> = { "warmup_cosine", "warmup_linear", "cosine_restarts" }

--- The schedule for a name of the command line: "warmup_cosine", "warmup_linear" or
--- "cosine_restarts".
---
---     local rate = lv.schedule.by_name("warmup_linear", { lr = 3e-3, warmup = 0.1, steps = 1000 })
---
---@param name string
---@param given? table  the options of that schedule
---@return fun(step: number): number
function schedule.by_name(name, given)
  local make = by_name[name] or errors.raise("schedule.by_name: unknown schedule '%s'%s",
    tostring(name), errors.meant(name, known))
  return make(given)
end

local constant_takes <const> = options.takes("schedule.constant", {
  { "lr", 1e-3, "the learning rate" },
})

--- The same learning rate at every step.
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
