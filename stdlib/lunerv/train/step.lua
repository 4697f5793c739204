-- One step of a training: frames forward and back, then the update.
local batch <const> = require "lunerv.train.batch"
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local resume <const> = require "lunerv.train.resume"

-- Changes the parameters, and everything that says so; in a step that goes back (`mse` is nil) only
-- the latter. `count` frames were looked at.
local function update(self, count, number, mse)
  self.updating = true
  local source, sums = self.source, self.epoch_sums
  if source:position() == count then sums.loss, sums.mse, sums.count = 0, 0, 0 end
  if self.guard then self.guard:commit() end
  if mse then
    self.optimiser:step()
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
  self.unreported = { number, mse or 1 }
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

-- The loss of a frame or a batch; its number, that without a penalty, and the output.
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

-- Sets the learning rate; whether there is to be an update.
local function judge(self, count, number, distortion)
  -- A penalty may rise on purpose: what tells of a divergence is the distortion.
  local guard, finite = self.guard, number - number == 0
  local verdict = guard and guard:judge(finite and distortion or number)
    or finite and "good" or "lost"
  local rate = rate_of(self)
  self.optimiser.lr = rate * (guard and guard.factor or 1)
  if verdict == "good" then return true end
  if verdict == "lost" then
    resume.fail_numerically(self, "the loss became " .. errors.show(number))
  end
  self.progress:clear()
  native.stderr(("note: the loss rose to %.4g at step %d; going back to a good state, at half "
    .. "the learning rate\n"):format(number, self.step + 1))
  bridge.shield(update, self, count, number)
  return false
end

-- The frames of a step, `batch` at a time: gradients add up to those of the mean over all.
return function(self)
  self.began = native.time()
  local o, source = self.o, self.source
  local frames = source:take(o.batch * o.accumulate)
  if o.patch then frames = batch.windows(frames, o.patch) end
  local share = o.progress and o.progress(self.step, self.steps) / self.steps
    or self.step / self.steps

  local count, number, distortion, mse = #frames, 0, 0, 0
  for first = 1, count, o.batch do
    local last = math.min(first + o.batch - 1, count)
    local weight = (last - first + 1) / count
    local frame, image, mask = batch.of(frames, first, last)
    local value, own_number, own_distortion, output = forward(self, frame, image, mask, share)
    number, distortion = number + weight * own_number, distortion + weight * own_distortion
    if last == count and not judge(self, count, number, distortion) then return end
    mse = mse + weight * native.no_grad(native.mse_loss, output, image):item()
    if first == 1 then self.optimiser:zero_grad() end
    if weight < 1 then value = value * weight end
    value:backward()
    if last < count then native.step_boundary() end
  end
  if o.clip_grad then native.clip_grad_norm(self.parameters, o.clip_grad) end
  bridge.shield(update, self, count, number, mse) -- Ctrl-C waits
end
