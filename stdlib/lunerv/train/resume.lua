-- The state that a training resumes from: between two steps, in memory and in checkpoints.
local best <const> = require "lunerv.train.best"
local bridge <const> = require "lunerv.bridge"
local checkpoint <const> = require "lunerv.checkpoint"
local errors <const> = require "lunerv.errors"
local buffers <const> = require "lunerv.nn.buffers"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"
local recipes <const> = require "lunerv.recipes"
local record <const> = require "lunerv.train.record"
local report <const> = require "lunerv.train.report"

local resume <const> = {}

-- The option is Adam's: the three betas of Adan are chosen together.
function resume.beta1(o) return o.optimiser == "adam" and o.beta1 or nil end

-- An option that may be an object, as plain data.
local function optimiser_text(optimiser)
  if type(optimiser) == "string" then return optimiser end
  return optim.describe(optimiser) or "custom"
end

local function schedule_text(given)
  if type(given) == "string" then return given end
  return type(given) == "table" and given.state and given:state() or "custom"
end

-- Facts that older checkpoints lack, with the values that they imply. These values are not stored.
local function later_options(facts, o)
  facts.steps, facts.ema, facts.patience, facts.patch = o.steps, o.ema, o.patience, o.patch
  if o.batch > 1 then facts.batch = o.batch end
  if o.accumulate > 1 then facts.accumulate = o.accumulate end
  facts.keep_best = o.keep_best or nil
  -- Which evaluations the best one is chosen from.
  if o.keep_best or o.patience then facts.eval_every = o.eval_every end
end

-- The facts that a run must share with the one it continues, as plain data.
function resume.identity(o)
  local facts = {
    epochs = o.epochs, lr = o.lr, warmup = o.warmup, seed = o.seed,
    recipe = recipes.identity(o.recipe), guard = o.guard or nil,
    optimiser = optimiser_text(o.optimiser), beta1 = resume.beta1(o), loss = options.plain(o.loss),
    schedule = schedule_text(o.schedule),
    clip_frames = #o.clip, clip_height = o.clip.height, clip_width = o.clip.width,
    model = o.model.class_name, clip_grad = o.clip_grad,
  }
  later_options(facts, o)
  for name, value in pairs(o.facts or {}) do facts[name] = value end
  for name, value in pairs(o.model.config or {}) do facts[name] = value end
  -- Older checkpoints, from before there was a choice, lack it.
  if facts.head_scale == 1 then facts.head_scale = nil end
  if facts.static_dim == 0 then facts.static_dim = nil end
  if o.order ~= "shuffled" then facts.order = o.order end
  return facts
end

-- The state between two steps, apart from tensors: both together make a checkpoint.
function resume.mark(self)
  local sums, rate = self.epoch_sums, self.rate
  local epoch, position, order = self.source:state()
  self.state = {
    step = self.step, seconds = self.seconds, finished = self.finished,
    epoch_over = self.epoch_over,
    epoch_sums = { loss = sums.loss, mse = sums.mse, count = sums.count },
    epoch = epoch, position = position, order = order,
    rng = native.rng_state(), history = self.history, guard = self.guard and self.guard:state(),
    schedule = type(rate) == "table" and rate.state and rate:state() or { kind = "custom" },
    ema_count = self.average and self.average.count or nil, best = best.state(self.best),
  }
  self.best_marked = self.best
  if self.out then self.buffers = buffers.snapshot(self.model) end
end

-- JSON numbers need not hold 64 bits; text does.
local function rng_text(state)
  local text = {}
  for name, value in pairs(state) do text[name] = tostring(value) end
  return text
end

local function rng_numbers(text)
  local state = {}
  for name, value in pairs(text) do state[name] = tonumber(value) end
  return state
end

-- All tensors of the run by name, and the numbers of the optimiser's state.
local function tensors_of(self)
  local tensors, numbers, names = {}, {}, {}
  for _, entry in ipairs(buffers.state(self.model, self.buffers)) do
    tensors[#tensors + 1] = { "model/" .. entry[1], entry[2] }
  end
  local state = self.optimiser:state()
  for name, value in pairs(state) do
    if type(value) == "number" then
      numbers[name] = value
    else
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    tensors[#tensors + 1] = { "optimiser/" .. name, state[name] }
  end
  for _, part in ipairs { self.guard and self.guard:tensors() or {},
    self.average and self.average:tensors() or {}, best.tensors(self.best_marked) } do
    table.move(part, 1, #part, #tensors + 1, tensors)
  end
  return tensors, numbers
end

local function is_sound(model)
  for _, tensor in ipairs(model:parameters()) do
    if not tensor:is_finite() then return false end
  end
  return true
end

function resume.fail_numerically(self, what)
  self.diverged = true
  local path = self.out and checkpoint.newest_path(self.out)
  errors.fail("numeric", "train: %s after step %d (lr %.3g): lower lr, or look in the loss and the "
    .. "model for a division by 0, or the log or root of a value that can be 0; %s", what,
    self.step, self.optimiser.lr, path and "the last good checkpoint is " .. path
    or self.out and "there is no checkpoint yet"
    or "there is no checkpoint (`out` names a folder for them)")
end

-- Whether the guard is expected to return to an earlier state: it can, and this step is the first
-- whose update gave parameters that are not finite.
local function is_guarded(self)
  local guard = self.guard
  if not guard or self.finished or not guard:can_return() then return false end
  local first = self.unsound
  if not first or first.returns ~= guard.returns then
    self.unsound = { step = self.step, returns = guard.returns }
    return true
  end
  return first.step == self.step
end

-- Writes the state of the last mark: all ranks together, of which the first writes. Returns whether
-- there is a checkpoint of it.
function resume.save(self)
  if not self.team.has_out then return false end
  if not is_sound(self.model) then
    if is_guarded(self) then return false end
    resume.fail_numerically(self, "a parameter is not finite")
  end
  self.unsound = nil
  self.saving = true
  local tensors, numbers = tensors_of(self)
  self.team:collect(tensors)
  if not self.out then
    self.saving, self.saved, self.saved_at = false, self.state, native.time()
    return true
  end
  record.write(self)
  local state = options.copy(self.state)
  state.rng, state.optimiser, state.options = rng_text(state.rng), numbers, self.identity
  state.origins = parameter.origins(self.model)
  self.checkpoint = checkpoint.save(self.out, state.step, tensors, state)
  self.saving = false
  self.saved, self.saved_at = self.state, native.time()
  return true
end

-- Restores the state of a checkpoint.
function resume.restore(self, found)
  local state = found.state
  checkpoint.compare("train", found.path, state.options, self.identity)
  local parts = { model = {}, optimiser = {}, guard = {}, ema = {}, best = {} }
  for name, tensor in pairs(found.tensors) do
    local part, rest = name:match "^(%a+)/(.+)$"
    if parts[part] then parts[part][rest] = tensor end
  end
  local model, optimiser = parts.model, parts.optimiser
  for name, number in pairs(state.optimiser) do
    optimiser[name] = math.tointeger(number) or number
  end
  buffers.restore(self.model, model)
  self.model:load_state_dict(model)
  -- Files store weights as differences from these; the new model may have other random numbers.
  local own = {}
  for name, tensor in self.model:named_parameters() do own[name] = tensor end
  parameter.take_origins(own, state.origins or {})
  self.optimiser:load_state(optimiser)
  if self.guard and state.guard then self.guard:load(state.guard, parts.guard) end
  if type(self.rate) == "table" and self.rate.load_state then
    self.rate:load_state(state.schedule)
  end
  if self.average then
    self.average:load(parts.ema)
    self.average.count = math.tointeger(state.ema_count)
  end
  if state.best then best.load(self, state.best, parts.best) end
  self.source:load(math.tointeger(state.epoch), math.tointeger(state.position), state.order)
  self.step, self.seconds = math.tointeger(state.step), state.seconds
  self.epoch_over, self.finished = state.epoch_over, state.finished
  self.epoch_sums = state.epoch_sums
  self.history = state.history or {}
  native.set_rng_state(rng_numbers(state.rng))
  resume.mark(self)
  self.checkpoint, self.saved = found.path, self.state
end

-- Whether a checkpoint is due.
function resume.is_due(self)
  local every = self.o.checkpoint_steps
  return every > 0 and self.step % every == 0 and self.saved.step ~= self.step
    or native.time() - self.saved_at >= self.o.checkpoint_every
end

-- Whatever ends the loop early (Ctrl-C, an error in a callback), the state after the last complete
-- step is saved; only a diverged run keeps its present checkpoint. A checkpoint that has just
-- failed is not tried again, and before the first step only Ctrl-C saves one.
function resume.rescue(self)
  self.progress:clear()
  -- An evaluation may have been interrupted.
  if self.average then self.average:restore() end
  -- Ctrl-C may have come between a step and its report, or during the report.
  if bridge.interrupted() and self.unreported and pcall(report.step, self) then
    resume.mark(self) -- a callback may have ended the training
  end
  if self.diverged or self.updating or self.saved == self.state then return end
  if (self.saving or self.step == 0) and not bridge.interrupted() then return end
  -- The other ranks save nothing for a problem that only this rank knows.
  if self.team.size > 1 and (native.ranks_broken() or not self.team.agreed) then return end
  local ok, result = pcall(resume.save, self)
  if not ok then
    native.stderr(("warning: %s\n"):format(tostring(result)))
  elseif result and self.out and bridge.interrupted() then
    native.stderr(("note: step %d is in %s; resume continues there\n"):format(
      self.step, self.checkpoint))
  end
end

return resume
