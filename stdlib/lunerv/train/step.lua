-- One step of a training: frames forward and back, then the update.
local batch <const> = require "lunerv.train.batch"
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local resume <const> = require "lunerv.train.resume"
local Team <const> = require "lunerv.train.team"

-- Updates the parameters, and all counters; in a step that returns to a snapshot (`mse` is nil)
-- only the latter. `count` frames were used.
local function update(self, count, number, mse)
  self.updating = true
  local source, sums = self.source, self.epoch_sums
  if source:position() == count then sums.loss, sums.mse, sums.count = 0, 0, 0 end
  if self.guard then self.guard:commit() end
  if mse then
    self.optimiser:step()
    if self.team.size > 1 and not self.team.everywhere then self.team.exchange:spread() end
    if self.model.updated then self.model:updated(self.step + 1, self.steps) end
    if self.average then self.average:update() end
    sums.loss, sums.mse = sums.loss + number * count, sums.mse + mse * count
    sums.count = sums.count + count
  end
  self.step = self.step + 1
  self.epoch_over = source:is_over()
  self.took = native.time() - self.began
  self.seconds = self.seconds + self.took
  resume.mark(self)
  self.unreported = { loss = number, mse = mse or 1 }
  self.updating = false
end

local function check_loss(value)
  if not native.is_tensor(value) then
    errors.raise("train: loss: expected the function to return a scalar tensor, got %s",
      errors.show(value))
  elseif value:numel() ~= 1 then
    errors.raise("train: loss: expected a scalar tensor, got shape (%s) (sum or mean first)",
      table.concat(value.shape, ", "))
  end
end

-- The learning rate of the next step.
local function rate_of(self)
  local rate = self.rate(self.step + 1, self.steps, self.o.lr)
  if type(rate) ~= "number" or not (rate >= 0 and rate < math.huge) then
    errors.raise("train: schedule: expected the function to return a learning rate of at least 0, "
      .. "got %s", errors.show(rate))
  end
  return rate
end

-- The loss of a frame or a batch: the tensor, its number, the number without the penalty, and the
-- output.
local function forward(self, frame, image, mask, share)
  local output = metrics.reconstruct(self.model, frame)
  if not native.is_tensor(output) then
    errors.raise("train: model: expected %s to return a tensor, got %s",
      self.model.reconstruct and "reconstruct" or "forward", errors.type_of(output))
  end
  if frame.frames or frame.window then batch.check(output, image, self.model) end
  if mask then output = output * mask end
  local value = self.loss(output, image, frame, share)
  check_loss(value)
  local distortion = value:item()
  local penalty = self.model.penalty and self.model:penalty(frame)
  if penalty then value = value + penalty end
  return value, penalty and value:item() or distortion, distortion, output
end

-- Sets the learning rate; returns whether there is an update.
local function judge(self, count, number, distortion, mse)
  -- A penalty may rise on purpose: only the distortion shows a divergence.
  local guard, finite = self.guard, number - number == 0
  -- A model may give up quality for bytes on purpose.
  local psnr = not self.model.lowers_quality and metrics.decibels(mse) or nil
  local verdict = guard and guard:judge(finite and distortion or number, psnr)
    or finite and "good" or "lost"
  local rate = rate_of(self)
  self.optimiser.lr = rate * (guard and guard.factor or 1)
  if verdict == "good" then return true end
  if verdict == "lost" then
    resume.fail_numerically(self, "the loss became " .. errors.show(number))
  end
  self.progress:clear()
  native.stderr(("note: training diverged at step %d (loss %.4g); returning to a good state, at "
    .. "half the learning rate\n"):format(self.step + 1, number))
  bridge.shield(update, self, count, number)
  return false
end

-- A step of one frame, or of one joint batch, in this process alone. A diverged loss is not
-- propagated back: its gradients are useless.
local function step_alone(self, frames, share)
  local count = #frames
  local frame, image, mask = batch.of(frames, 1, count)
  local value, number, distortion, output = forward(self, frame, image, mask, share)
  local mse = native.no_grad(native.mse_loss, output, image):item()
  if not judge(self, count, number, distortion, mse) then return end
  self.optimiser:zero_grad()
  value:backward()
  if self.o.clip_grad then native.clip_grad_norm(self.parameters, self.o.clip_grad) end
  bridge.shield(update, self, count, number, mse) -- Ctrl-C waits
end

-- This rank's part of a step: losses of its units, three numbers each, and their gradients.
local function accumulate(self, frames, units, first, last, together, share)
  local count, numbers, base = #frames, {}, native.rng_state()
  for unit = first, last do
    local from = (unit - 1) * together + 1
    local to = math.min(from + together - 1, count)
    if units > 1 then Team.own_numbers(base, unit) end
    local frame, image, mask = batch.of(frames, from, to)
    local value, number, distortion, output = forward(self, frame, image, mask, share)
    local mse = native.no_grad(native.mse_loss, output, image):item()
    table.move({ number, distortion, mse }, 1, 3, #numbers + 1, numbers)
    if to - from + 1 < count then value = value * ((to - from + 1) / count) end
    if unit == first then self.optimiser:zero_grad() end
    self.team.exchange:backward(unit, value)
    if unit < last then native.step_boundary() end
  end
  return numbers
end

-- Clips the gradients, which are spread over several ranks.
local function clip_gradients(self, team)
  local limit = self.o.clip_grad
  if not limit then return end
  if team.size == 1 or team.everywhere then
    return native.clip_grad_norm(self.parameters, limit)
  end
  local squares, total = native.gradient_squares(self.parameters), 0
  local number = {}
  for i, parameter in ipairs(team.owned) do number[parameter] = i end
  local all = {}
  for i, bytes in ipairs(native.ranks_gather(
    string.pack("<" .. ("d"):rep(#squares), table.unpack(squares)), "gradients")) do
    all[i] = { string.unpack("<" .. ("d"):rep(#squares), bytes) }
  end
  for i, parameter in ipairs(self.parameters) do
    total = total + all[team.owners[number[parameter]] + 1][i]
  end
  native.scale_gradients(self.parameters, total, limit)
end

-- A step of several units, over all ranks. The order in which gradients are added depends only on
-- the number of units: the result does not depend on which rank computed which.
local function step_on_ranks(self, frames, units, first, last, together, share)
  local team, count = self.team, #frames
  local base = native.rng_state()
  -- Gradients are sent before the ranks agree that the step counts.
  local _ <close> = team:ending()
  local list = team:agree(function()
    local numbers = accumulate(self, frames, units, first, last, together, share)
    -- A single unit draws as a single process does, and the others follow.
    if units == 1 and team.size > 1 then
      local state = native.rng_state()
      numbers[#numbers + 1] = state.counter - base.counter
    end
    return numbers
  end, "step")
  if units > 1 then
    native.set_rng_state(base)
    native.rand(1) -- the next step draws other numbers
  elseif team.size > 1 then
    native.set_rng_state { seed = base.seed, counter = base.counter + (list[4] // 1 | 0) }
  end
  local number, distortion, mse = 0, 0, 0
  for unit = 1, units do
    local weight = (math.min(unit * together, count) - (unit - 1) * together) / count
    local k = 3 * unit - 2
    number, distortion = number + weight * list[k], distortion + weight * list[k + 1]
    mse = mse + weight * list[k + 2]
  end
  if not judge(self, count, number, distortion, mse) then return end
  bridge.shield(function() -- Ctrl-C waits
    team.exchange:finish(team.everywhere)
    clip_gradients(self, team)
    update(self, count, number, mse)
  end)
end

-- The frames of a step. The gradient is that of the mean over all.
return function(self)
  self.began = native.time()
  local o, source, team = self.o, self.source, self.team
  local count = source:upcoming(o.batch * o.accumulate)
  local together = team.is_joint and o.batch or 1
  local units = math.ceil(count / together) | 0
  local share = o.progress and o.progress(self.step, self.steps) / self.steps
    or self.step / self.steps
  local first, last = 1, units
  if team:adds(units) then first, last = team:begin(units) end
  local frames = source:take(count, (first - 1) * together + 1, last * together)
  if o.patch then frames = batch.windows(frames, o.patch) end
  if not team:adds(units) then return step_alone(self, frames, share) end
  step_on_ranks(self, frames, units, first, last, together, share)
end
