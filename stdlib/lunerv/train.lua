-- The training loop. What it can go on from is in train/resume.lua, what it tells in
-- train/report.lua.
local bridge <const> = require "lunerv.bridge"
local checkpoint <const> = require "lunerv.checkpoint"
local errors <const> = require "lunerv.errors"
local frames <const> = require "lunerv.report.frames"
local Guard <const> = require "lunerv.guard"
local loss <const> = require "lunerv.loss"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local options <const> = require "lunerv.options"
local Progress <const> = require "lunerv.progress"
local recipes <const> = require "lunerv.recipes"
local record <const> = require "lunerv.train.record"
local report <const> = require "lunerv.train.report"
local resume <const> = require "lunerv.train.resume"
local schedule <const> = require "lunerv.schedule"
local video <const> = require "lunerv.video"

-- What training takes beside, or in more forms than, the options of options/catalogue.lua.
local extras <const> = {
  { "model", nil, "what is trained; required", type = "module" },
  { "clip", nil, "where the frames come from; required", type = "clip" },
  { "loss", "boosted", "what is minimised: a name of lv.loss, or (output, image, frame, share) → "
    .. "scalar tensor; share is what has been done of the training, from 0 to below 1",
    type = "string|function" },
  { "schedule", "warmup_cosine", "how the learning rate falls to 0: a name of lv.schedule, or "
    .. "(step, steps, lr) → learning rate; lr is the peak rate", type = "string|function" },
  { "optimiser", "adan", "how parameters are updated: adam, adan, muon, sgd, soap, or "
    .. "(model, { lr = }) → optimiser; lr is the peak rate", type = "string|function" },
  { "on_step", nil, "called after each step with { step, steps, epoch, loss, psnr, seconds, "
    .. "seconds_per_step }; training ends when it returns false", type = "function" },
  { "on_epoch", nil, "called after each epoch with { epoch, step, loss, psnr, lr, seconds, "
    .. "evaluation }; training ends when it returns false", type = "function" },
  { "on_frame", nil, "called in the evaluation at the end with each frame and its reconstruction",
    type = "function" },
  { "frames", true, "keeps three frames and their reconstructions in OUT/frames, for the page",
    type = "boolean" },
  { "evaluate", nil, "(model, clip, on_frame) in place of metrics.evaluate; the numbers it "
    .. "returns, psnr, ms_ssim and psnr_8bit among them, are recorded", type = "function" },
  { "facts", nil, "plain data by name that a run must share with the one it continues",
    type = "table" },
  { "label", nil, "what progress lines begin with", type = "string" },
  { "progress", nil, "(step, steps) → how many of the steps have been made, for the loss's share, "
    .. "where a clock decides rather than the number of steps", type = "function" },
  { "command", nil, "the command line, for the record of the run", type = "string" },
}

local takes <const> = options.describe("train", options.train_names(), extras)

-- Structural similarity needs as many pixels either way.
local smallest_side <const> = 5

local function settle(given)
  local o = options(given, {}, takes.known)
  if not o.model or not o.clip then errors.raise "train: expected a model and a clip" end
  if type(o.model) ~= "table" or rawget(o.model, "class_name") then
    errors.raise("train: model: expected a module, got %s", type(o.model) == "table"
      and "the class " .. o.model.class_name or type(o.model))
  end
  if type(o.clip) == "string" then
    errors.raise("train: clip: expected a clip, got a string: open it with lv.video.open")
  end
  for _, name in ipairs { "on_step", "on_epoch", "on_frame", "evaluate", "progress" } do
    if o[name] ~= nil and type(o[name]) ~= "function" then
      errors.raise("train: %s: expected a function, got %s", name, type(o[name]))
    end
  end
  if o.frames == nil then o.frames = true end
  if o.clip.height and math.min(o.clip.height, o.clip.width) < smallest_side then
    errors.data("frames of %dx%d are too small to compare: at least %d pixels either way",
      o.clip.width, o.clip.height, smallest_side)
  end
  local recipe = recipes.options(o.recipe, o.model.kind)
  for _, name in ipairs(options.train_names()) do
    if o[name] == nil then
      local own = recipe[name]
      if own == nil then own = (o.model.train_defaults or {})[name] end
      o[name] = own == nil and options.default(name, o.model.kind) or own
    elseif type(o[name]) ~= "function" then
      options.check(name, o[name])
    end
  end
  return o
end

local function start(o)
  native.seed(o.seed)
  local steps = o.epochs * #o.clip
  local parameters = o.model:parameters()
  local given = { lr = o.lr, beta1 = resume.beta1(o) }
  local optimiser = type(o.optimiser) == "function" and o.optimiser(o.model, given)
    or optim.by_name(o.optimiser)(parameters, given)
  local self = {
    o = o, parameters = parameters, model = o.model, clip = o.clip, out = o.out,
    loss = type(o.loss) == "string" and loss.by_name(o.loss) or o.loss,
    optimiser = optimiser, guard = o.guard and Guard.new(o.model, optimiser) or nil,
    rate = type(o.schedule) == "function" and o.schedule
      or schedule.by_name(o.schedule, { lr = o.lr, warmup = o.warmup, steps = steps }),
    sequence = video.sequence(#o.clip, o.order), progress = Progress.new(),
    identity = resume.identity(o),
    steps = steps, step = 0, seconds = 0, epoch_over = false, finished = false,
    epoch_sums = { loss = 0, mse = 0, count = 0 },
    history = {}, -- the evaluations on the way: { epoch, psnr, ms_ssim }
  }
  resume.mark(self)
  return self
end

-- Steps -------------------------------------------------------------------------------------

-- Changes the parameters, and everything that says so; in a step that goes back (`mse` is nil) only
-- the latter.
local function update(self, number, mse)
  self.updating = true
  local sequence, sums = self.sequence, self.epoch_sums
  if sequence.position == 1 then sums.loss, sums.mse, sums.count = 0, 0, 0 end
  if self.guard then self.guard:commit() end
  if mse then
    self.optimiser:step()
    if self.model.updated then self.model:updated(self.step + 1, self.steps) end
    sums.loss, sums.mse, sums.count = sums.loss + number, sums.mse + mse, sums.count + 1
  end
  self.step = self.step + 1
  self.epoch_over = sequence.position == #sequence.order
  self.took = native.time() - self.began
  self.seconds = self.seconds + self.took
  resume.mark(self)
  self.unreported = { number, mse or 1 }
  self.updating = false
end

-- One frame: forward, backward, update.
local function train_step(self)
  self.began = native.time()
  local index, following = self.sequence:advance()
  local frame = self.clip:sample(index)
  if following then self.clip:prefetch(following) end

  local output = metrics.reconstruct(self.model, frame)
  if frame.mask then output = output * frame.mask end
  local share = self.o.progress and self.o.progress(self.step, self.steps) / self.steps
    or self.step / self.steps
  local value = self.loss(output, frame.image, frame, share)
  local distortion = value:item()
  local penalty = self.model.penalty and self.model:penalty(frame)
  if penalty then value = value + penalty end
  local number = penalty and value:item() or distortion
  -- A penalty may rise on purpose: what tells of a divergence is the distortion.
  local guard, finite = self.guard, number - number == 0
  local verdict = guard and guard:judge(finite and distortion or number)
    or finite and "good" or "lost"
  local rate = self.rate(self.step + 1, self.steps, self.o.lr)
  self.optimiser.lr = rate * (guard and guard.factor or 1)
  if verdict == "lost" then
    resume.fail_numerically(self, "the loss became " .. (number ~= number and "nan" or number))
  elseif verdict == "bad" then
    self.progress:clear()
    native.stderr(("note: the loss rose to %.4g at step %d; going back to a good state, at half "
      .. "the learning rate\n"):format(number, self.step + 1))
    return bridge.shield(update, self, number)
  end
  local mse = native.no_grad(native.mse_loss, output, frame.image):item()
  self.optimiser:zero_grad()
  value:backward()
  if self.o.clip_grad then native.clip_grad_norm(self.parameters, self.o.clip_grad) end
  bridge.shield(update, self, number, mse) -- Ctrl-C waits
end

-- What sees the frames of the last evaluation.
local function spectator(self)
  local on_frame = self.o.on_frame
  if not self.out or not self.o.frames then return on_frame end
  local kept = frames.of(self.out, self.clip)
  return function(frame, output, quality)
    kept:see(frame.index, frame.original or frame.image, output)
    if on_frame then on_frame(frame, output, quality) end
  end
end

local function loop(self)
  self.saved, self.saved_at = self.saved or {}, native.time()
  while not self.finished do
    if self.epoch_over then
      report.epoch(self)
    elseif self.step == self.steps then
      self.finished = true
    else
      train_step(self)
      report.step(self)
    end
    resume.mark(self)
    if self.out and resume.is_due(self) then resume.save(self) end
    bridge.stop_if_unread()
  end
end

--- Trains a model on a clip.
--- Options that are not given have the value of the recipe, or else that of the model's
--- `train_defaults`, or else the default of the model's kind.
---
--- A clip is anything with a length, `height`, `width`, `:sample(i)` and `:prefetch(i)`. Where a
--- frame of it has a `mask`, the output times that mask is all that the loss sees.
---
--- The model is asked for `model:reconstruct(frame)`, frame = { image, t, index }, or, where that
--- is not defined, for `model(frame.t)`. It may have `penalty(frame)`, a scalar (or nil) that is
--- added to the loss of that frame, `updated(step, steps)`, which is called as a part of each
--- update, and `train_defaults`, options it prefers.
---
---     local run = lv.train { model = model, clip = clip, epochs = 30, out = "runs/a" }
---     print(run.metrics)
---
---@param given lunerv.train.Options  `model` and `clip` are required
---@return table  model, metrics, steps, seconds, out, checkpoint and record, as in OUT/metrics.json
return function(given)
  local o = settle(given)
  local self = start(o)
  if o.out then
    o.out = o.out:gsub("/+$", "")
    self.out = o.out
    native.work_folder(o.out)
    local found = o.resume and checkpoint.latest(o.out)
    if found then
      resume.restore(self, found)
    elseif not o.resume then
      checkpoint.set_aside(o.out)
    end
    self.events = native.event_writer(o.out, found and self.step + 1 or nil)
    record.start(self, report.command(o))
  end

  bridge.on_error(loop, function() resume.rescue(self) end, self)
  self.progress:clear()
  if self.saved ~= self.state then resume.save(self) end
  local result = report.evaluate(self, spectator(self))
  if o.eval_every > 0 then report.evaluation(self, self.sequence.epoch, result) end
  if self.out then
    report.metrics(self, result)
    record.finish(self)
  end
  if self.events then self.events:close() end
  return {
    model = self.model, metrics = result, steps = self.step, seconds = self.seconds,
    out = self.out, checkpoint = self.checkpoint, record = self.record,
  }
end
