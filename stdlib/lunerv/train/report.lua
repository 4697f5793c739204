-- The reports of a training: callbacks, progress, events, evaluations and metrics.json.
local Progress <const> = require "lunerv.progress"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local best <const> = require "lunerv.train.best"
local record <const> = require "lunerv.train.record"

local report <const> = {}

local function log_scalars(self, prefix, scalars)
  if not self.events then return end
  for name, value in pairs(scalars) do self.events:scalar(prefix .. name, value, self.step) end
end

-- What callbacks get before the first step.
function report.beginning(self)
  return { model = self.model, clip = self.clip, out = self.out, optimiser = self.optimiser,
    step = self.step, steps = self.steps, epoch = self.source:epoch(), lr = self.o.lr }
end

local names <const> = { "psnr", "psnr_8bit", "ms_ssim" }

-- The means over all frames, of which each rank evaluates its part; nil for a model that draws
-- random numbers there, whose frames depend on the previous ones. The numbers are added in the
-- order of the frames, as one process adds them.
local function evaluate_together(self)
  local team, count = self.team, #self.clip
  local first, last = team:part(count)
  local before = native.rng_state()
  local all = team:agree(function()
    local own, list = {}, {}
    for i = first, last do own[#own + 1] = i end
    if #own == 0 then return list end
    metrics.evaluate(self.model, self.clip, function(_, _, quality)
      for _, name in ipairs(names) do list[#list + 1] = quality[name] end
      list[#list + 1] = native.rng_state().counter == before.counter and 0 or 1
    end, own)
    return list
  end, "evaluation")
  local sums, fields, draws = {}, #names + 1, false
  for k, name in ipairs(names) do
    sums[name] = 0
    for i = 1, count do sums[name] = sums[name] + all[(i - 1) * fields + k] end
    sums[name] = sums[name] / count
  end
  for i = 1, count do draws = draws or all[i * fields] ~= 0 end
  if not draws then return metrics.result(sums) end
  native.set_rng_state(before)
  return nil
end

-- Evaluates the clip. on_frame receives the frames that `seen` lists, or all.
local function evaluate(self, on_frame, seen)
  local clip = self.clip
  local is_clip = type(clip) ~= "function" and not (type(clip) == "table" and clip.is_dataset)
  if self.team.size == 1 or not is_clip or #clip == 0 then
    return metrics.evaluate(self.model, clip, on_frame)
  end
  local result = evaluate_together(self)
  if not result then return metrics.evaluate(self.model, clip, on_frame) end
  if on_frame then metrics.evaluate(self.model, clip, on_frame, seen) end
  return result
end

-- Evaluates the weights with which the run would end now. on_frame receives at least the frames
-- that `seen` lists.
function report.evaluate(self, on_frame, seen)
  local _ <close> = self.average and self.average:apply() or nil
  local result
  if self.o.evaluate then
    result = self.o.evaluate(self.model, self.clip, on_frame)
  else
    result = evaluate(self, on_frame, seen)
  end
  if type(result) ~= "table" then
    errors.raise("train: evaluate: expected the function to return numbers by name, got %s",
      errors.show(result))
  end
  log_scalars(self, "eval/", result)
  return result
end

-- Adds the last step to the events, and to the mean time of a step.
local function log_step(self, number, decibels)
  -- The first step of a run includes allocation and planning.
  self.run_steps = (self.run_steps or 0) + 1
  if self.run_steps > 1 then
    self.per_step = self.per_step and 0.9 * self.per_step + 0.1 * self.took or self.took
  end
  log_scalars(self, "train/", { loss = number, psnr = decibels, lr = self.optimiser.lr })
  if self.events and self.model.scalars then
    local scalars = self.model:scalars()
    if type(scalars) ~= "table" then
      errors.raise("train: scalars: expected the model to return numbers by name, got %s",
        errors.show(scalars))
    end
    log_scalars(self, "train/", scalars)
  end
end

-- Reports the last step once. Callbacks that Ctrl-C ends early are called again before the state is
-- saved: no later run would report that step.
function report.step(self)
  local last <const> = self.unreported
  if not last then return end
  local o, took, decibels = self.o, self.took, metrics.decibels(last.mse)
  if not last.logged then
    log_step(self, last.loss, decibels)
    last.logged = true
  end
  local epoch = self.source:epoch()
  if self.callbacks.on_step then
    local continues = self.callbacks:notify("on_step", {
      step = self.step, steps = self.steps, epoch = epoch, loss = last.loss,
      psnr = decibels, seconds = took, seconds_per_step = self.per_step,
    })
    if not continues then self.finished = true end
  end
  self.unreported = nil
  if self.progress:due() then
    local per_step = self.per_step or took
    local left = Progress.duration((self.steps - self.step) * per_step)
    self.progress:show(
      ("%sepoch %d%s  step %d/%d  loss %.4f  psnr %.2f dB  %.3g s/step  %s left"):format(
        o.label and o.label .. "  " or "", epoch, self.epochs and "/" .. self.epochs or "",
        self.step, self.steps, last.loss, decibels, per_step, left))
  end
end

-- Adds an evaluation to the history, once: a run that stops at the end of an epoch repeats that
-- end. The weights may be the best so far.
function report.evaluation(self, epoch, result)
  local history = {}
  for i, entry in ipairs(self.history) do
    if entry.epoch < epoch then history[i] = entry end
  end
  history[#history + 1] = { epoch = epoch, psnr = result.psnr, ms_ssim = result.ms_ssim }
  self.history = history
  if not best.has_seen(self) then best.consider(self, epoch, result) end
end

-- Reports the finished epoch; training ends if `on_epoch` returns false.
function report.epoch(self)
  local o, sums = self.o, self.epoch_sums
  local e = {
    epoch = self.source:epoch(), step = self.step, loss = sums.loss / math.max(sums.count, 1),
    psnr = metrics.decibels(sums.mse / math.max(sums.count, 1)), lr = self.optimiser.lr,
    seconds = self.seconds,
  }
  -- The last weights are evaluated anyway, except if an earlier state may be better.
  local is_wanted = self.step < self.steps or o.keep_best
  if o.eval_every > 0 and e.epoch % o.eval_every == 0 and is_wanted then
    e.evaluation = report.evaluate(self)
    e.psnr = e.evaluation.psnr
    report.evaluation(self, e.epoch, e.evaluation)
  end
  if self.events then self.events:flush() end
  record.epoch(self, e)
  if not self.callbacks:notify("on_epoch", e) then self.finished = true end
  self.epoch_over = false
end

-- The command that started a run.
function report.command(o)
  if o.command then return o.command end
  local words = table.pack(table.unpack(arg or {}, 0))
  return table.concat(words, " ")
end

function report.metrics(self, result)
  local model, stats = self.model, native.stats()
  local stored = model.stored_parameters and model:stored_parameters() or model:parameter_count()
  self.record = {
    model = model.kind or model.class_name, parameters_stored = stored,
    steps = self.step, seconds = self.seconds,
    seconds_per_step = self.seconds / math.max(self.step, 1),
    psnr = result.psnr, ms_ssim = result.ms_ssim, psnr_8bit = result.psnr_8bit,
    bpp = native.json_null, bytes = native.json_null, -- no file has been written
    peak_rss_bytes = stats.peak_rss_bytes, seed = self.o.seed, threads = native.threads(),
    command = report.command(self.o),
  }
  for name, value in pairs(result) do self.record[name] = value end
  if #self.history > 0 then self.record.history = self.history end
  if self.best then
    local found = self.best
    self.record.best = { epoch = found.epoch, step = found.step, psnr = found.psnr }
  end
  local text = native.json_encode(self.record)
  local ok, problem = native.write_file(self.out .. "/metrics.json", text .. "\n")
  errors.must(ok, problem, "the metrics could not be written")
end

return report
