-- The training loop. What it takes is in train/settings.lua, where its frames come from in
-- train/source.lua, a step in train/step.lua, what it can resume in train/resume.lua, what it
-- reports in train/report.lua.
local Average <const> = require "lunerv.train.average"
local best <const> = require "lunerv.train.best"
local bridge <const> = require "lunerv.bridge"
local Callbacks <const> = require "lunerv.train.callbacks"
local checkpoint <const> = require "lunerv.checkpoint"
local frames <const> = require "lunerv.report.frames"
local errors <const> = require "lunerv.errors"
local Guard <const> = require "lunerv.guard"
local loss <const> = require "lunerv.loss"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local Progress <const> = require "lunerv.progress"
local record <const> = require "lunerv.train.record"
local report <const> = require "lunerv.train.report"
local resume <const> = require "lunerv.train.resume"
local schedule <const> = require "lunerv.schedule"
local settings <const> = require "lunerv.train.settings"
local source <const> = require "lunerv.train.source"
local Team <const> = require "lunerv.train.team"
local train_step <const> = require "lunerv.train.step"

-- The optimiser, and the parameters that it updates.
local function optimiser_of(o)
  local parameters = o.model:parameters()
  if #parameters == 0 then
    errors.raise("train: model: expected parameters to train, %s has none", o.model.class_name)
  end
  local given = { lr = o.lr, beta1 = resume.beta1(o) }
  if type(o.optimiser) == "string" then
    return optim.by_name(o.optimiser)(parameters, given), parameters
  elseif type(o.optimiser) == "function" then
    local optimiser = o.optimiser(o.model, given)
    if type(optimiser) ~= "table" and type(optimiser) ~= "userdata" then
      errors.raise("train: optimiser: expected the function to return an optimiser, got %s",
        errors.type_of(optimiser))
    end
    return optimiser, parameters
  end
  return o.optimiser, settings.parameters(o.optimiser, o.model) or parameters
end

local function start(o)
  native.seed(o.seed)
  local optimiser, parameters = optimiser_of(o)
  local team = Team.of(o, optimiser, parameters)
  -- By default each rank has one frame of a step.
  if not o.batch then o.batch = team.size end
  local average = o.ema and Average.new(o.model, o.ema) or nil
  local per_epoch = math.ceil(#o.clip / (o.batch * o.accumulate)) | 0
  local steps = o.steps or o.epochs * per_epoch
  local self = {
    o = o, team = team, parameters = parameters, model = o.model, clip = o.clip, out = o.out,
    loss = type(o.loss) == "string" and loss.by_name(o.loss) or o.loss,
    optimiser = optimiser, average = average,
    guard = o.guard and Guard.new(o.model, optimiser, average) or nil,
    rate = type(o.schedule) ~= "string" and o.schedule
      or schedule.by_name(o.schedule, { lr = o.lr, warmup = o.warmup, steps = steps }),
    source = source.of(o), progress = Progress.new(), callbacks = Callbacks.of(o),
    identity = resume.identity(o),
    epochs = o.epochs or per_epoch > 0 and math.ceil(steps / per_epoch) | 0 or nil,
    steps = steps, step = 0, seconds = 0, epoch_over = false, finished = false,
    epoch_sums = { loss = 0, mse = 0, count = 0 },
    history = {}, -- the evaluations so far: { epoch, psnr, ms_ssim }
  }
  resume.mark(self)
  return self
end

-- A function that receives frames of the last evaluation, and the indices of those that it needs
-- (nil: all); nil if none are needed.
local function frame_listener(self)
  local callbacks = self.callbacks
  local keeps = self.out and self.o.frames and #self.clip > 0
  if not keeps and not callbacks.on_frame then return nil end
  local kept = keeps and frames.of(self.out, self.clip)
  return function(frame, output, quality)
    if kept then kept:add(frame.index, frame.original or frame.image, output) end
    callbacks:notify("on_frame", frame, output, quality)
  end, not callbacks.on_frame and metrics.spread(#self.clip, frames.count) or nil
end

-- One turn of the loop: a step, or the end of an epoch. Returns whether a rank was asked to stop.
local function turn(self)
  if self.epoch_over then
    report.epoch(self)
  elseif self.step == self.steps then
    self.finished = true
  else
    train_step(self)
    report.step(self)
  end
  local stops, is_due
  stops, self.finished, is_due =
    self.team:settle(self.finished, self.out and resume.is_due(self))
  resume.mark(self)
  if is_due and not stops then resume.save(self) end
  return stops
end

local function loop(self)
  self.saved, self.saved_at = self.saved or {}, native.time()
  local team = self.team
  while not self.finished do
    if team:turn(turn, self) then
      native.stop()
      native.time() -- Ctrl-C stops here
    end
    bridge.stop_if_unread()
  end
  -- The last weights may be the best.
  if self.o.keep_best and not best.has_seen(self) then
    report.evaluation(self, self.source:epoch(), report.evaluate(self))
    resume.mark(self)
  end
end

-- Sets the final weights of the model, and evaluates them.
local function finish(self)
  if self.average then
    self.average:store()
    self.average = nil
  end
  best.restore(self)
  local result = report.evaluate(self, frame_listener(self))
  if self.o.eval_every > 0 and not self.o.keep_best then
    report.evaluation(self, self.source:epoch(), result)
  end
  return result
end

-- Resumes the run in the folder, or clears the folder for a new one. Rank 0 reads and writes for
-- all.
local function open_folder(self)
  local o, team = self.o, self.team
  self.out = team.rank == 0 and o.out:gsub("/+$", "") or nil
  if self.out then native.work_folder(self.out) end
  local found = o.resume and team:share_checkpoint(self.out and checkpoint.latest(self.out)) or nil
  if found then resume.restore(self, found) end
  if not self.out then return end
  if not o.resume then
    checkpoint.set_aside(self.out)
  end
  self.events = native.event_writer(self.out, found and self.step + 1 or nil)
  record.start(self, report.command(o))
end

--- Trains a model on a clip.
--- Defaults of options come from the recipe, or else from the model's `train_defaults`, or else
--- from the model's kind.
---
--- A clip is anything with a length, `height`, `width`, `:sample(i)` and `:prefetch(i)`. If a frame
--- has a `mask`, the loss sees only the output times the mask. A clip may also be a function that
--- begins a pass and returns an iterator of frames, or a callable table, which may have a length,
--- `height` and `width`. The argument is the number of the pass, 0 for an evaluation; random
--- numbers drawn there are the same whenever that pass is repeated. An endless iterator needs a
--- custom `evaluate`.
---
--- The model must have `model:reconstruct(frame)`, frame = { image, t, index }; otherwise it is
--- called as `model(frame.t)`. It may have `penalty(frame)`, a scalar (or nil) that is added to the
--- loss of that frame; `updated(step, steps)`, which is called in each update; `scalars()`, numbers
--- by name that each step adds to the events; `is_averaged(name)`, false for a parameter that `ema`
--- skips; `takes_batches`; `learns_in_order`; and `train_defaults`, its preferred options.
---
--- A step takes `batch` frames `accumulate` times and makes one update with the mean of their
--- gradients. The model sees one frame after another, and the gradients are added as a binary tree
--- over the frames. Under `mpirun` the frames of a step are distributed over the ranks: any number
--- of ranks, including one, computes the same bits, and by default a step has one frame per rank. A
--- model whose frames depend on previously seen ones sets `learns_in_order`.
---
--- A model that sets `takes_batches`, or contains a module that does (nn.BatchNorm2d), sees the
--- frames of a batch together, on one rank only: `image` is (n, 3, h, w), `t` and `index` are
--- lists, and `frames` is the list of the frames themselves. All kinds of lv.models support that,
--- and all losses of lv.loss. The remainder of a pass is a smaller batch; a single frame is not a
--- batch. With `patch` a frame has a `window` { y, x, height, width }, y and x from 1, and the
--- model's output is only that part of the frame; `image` is the whole frame.
---
--- The final weights of a run with `ema`, which are also those evaluated, are means over its steps;
--- the steps themselves use the unaveraged weights. Unlike PyTorch's averages, the first means are
--- short: after n steps a mean keeps (1 + n)/(10 + n) of itself, at most `ema`. `keep_best` ends
--- with the weights of the best psnr of all evaluations, which are also in OUT/best.safetensors.
---
---     local run = lv.train { model = model, clip = clip, epochs = 30, out = "runs/a" }
---     print(run.metrics)
---
---@param given lunerv.train.Options  `model` and `clip` are required
---@return table  model, metrics, steps, seconds, best, out, checkpoint, record (metrics.json)
return function(given)
  local o = settings.of(given)
  local self = start(o)
  self.team:compare(self.identity)
  if o.out then open_folder(self) end
  self.callbacks:notify("on_start", report.beginning(self))

  local is_users = type(o.optimiser) ~= "string" and self.optimiser == o.optimiser
  bridge.on_error(loop, function()
    resume.rescue(self)
    if is_users then self.optimiser.lr = o.lr end
  end, self)
  -- Another training with the same optimiser starts with the same learning rate.
  if is_users then self.optimiser.lr = o.lr end
  self.progress:clear()
  if self.saved ~= self.state then resume.save(self) end
  local result = finish(self)
  if self.out then
    report.metrics(self, result)
    record.finish(self)
  end
  if self.events then self.events:close() end
  local run <const> = {
    model = self.model, metrics = result, steps = self.step, seconds = self.seconds,
    best = best.state(self.best), out = self.out, checkpoint = self.checkpoint,
    record = self.record,
  }
  self.callbacks:notify("on_end", run)
  return run
end
