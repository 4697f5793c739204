-- lv.train { model =, clip =, … }: the training loop, with checkpoints, reports and resume.
local bridge <const> = require "lunerv.bridge"
local checkpoint <const> = require "lunerv.checkpoint"
local errors <const> = require "lunerv.errors"
local Guard <const> = require "lunerv.guard"
local loss <const> = require "lunerv.loss"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local options <const> = require "lunerv.options"
local Progress <const> = require "lunerv.progress"
local recipes <const> = require "lunerv.recipes"
local schedule <const> = require "lunerv.schedule"
local video <const> = require "lunerv.video"

-- What training needs beside the options of options/catalogue.lua.
local extras <const> = { "model", "clip", "on_step", "on_epoch", "on_frame", "command",
  "evaluate", "facts", "label", "progress" }

local function settle(given)
  local names = options.train_names()
  local optional = table.move(extras, 1, #extras, #names + 1, names)
  local o = options(given, {}, optional)
  if not o.model or not o.clip then errors.raise "train: a model and a clip expected" end
  if o.clip.height and math.min(o.clip.height, o.clip.width) < metrics.smallest_side then
    bridge.fail("data", ("frames of %dx%d are too small to compare: at least %d pixels either way")
      :format(o.clip.width, o.clip.height, metrics.smallest_side))
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

-- The option is Adam's: Adan's numbers belong together.
local function beta1(o) return o.optimiser == "adam" and o.beta1 or nil end

-- What a run must have in common with the one it continues, as plain data.
local function identity(o)
  local facts = {
    epochs = o.epochs, lr = o.lr, warmup = o.warmup, seed = o.seed,
    recipe = recipes.identity(o.recipe), guard = o.guard or nil,
    optimiser = options.plain(o.optimiser), beta1 = beta1(o), loss = options.plain(o.loss),
    schedule = options.plain(o.schedule),
    clip_frames = #o.clip, clip_height = o.clip.height, clip_width = o.clip.width,
    model = o.model.class_name, clip_grad = o.clip_grad,
  }
  for name, value in pairs(o.facts or {}) do facts[name] = value end
  for name, value in pairs(o.model.config or {}) do facts[name] = value end
  -- Checkpoints from before there was another say nothing of it.
  if facts.head_scale == 1 then facts.head_scale = nil end
  if o.order ~= "shuffled" then facts.order = o.order end
  return facts
end

-- What is true between two steps, apart from tensors: with them, all that a checkpoint holds.
local function mark(self)
  local sequence, sums, rate = self.sequence, self.epoch_sums, self.rate
  self.state = {
    step = self.step, seconds = self.seconds, finished = self.finished,
    epoch_over = self.epoch_over,
    epoch_sums = { loss = sums.loss, mse = sums.mse, count = sums.count },
    epoch = sequence.epoch, position = sequence.position, order = sequence.order,
    rng = native.rng_state(), history = self.history, guard = self.guard and self.guard:state(),
    schedule = type(rate) == "table" and rate.state and rate:state() or { kind = "custom" },
  }
end

local function start(o)
  native.seed(o.seed)
  local steps = o.epochs * #o.clip
  local parameters = o.model:parameters()
  local given = { lr = o.lr, beta1 = beta1(o) }
  local optimiser = type(o.optimiser) == "function" and o.optimiser(o.model, given)
    or optim.by_name(o.optimiser)(parameters, given)
  local self = {
    o = o, parameters = parameters, model = o.model, clip = o.clip, out = o.out,
    loss = type(o.loss) == "string" and loss.by_name(o.loss) or o.loss,
    optimiser = optimiser, guard = o.guard and Guard.new(o.model, optimiser) or nil,
    rate = type(o.schedule) == "function" and o.schedule
      or schedule.by_name(o.schedule, { lr = o.lr, warmup = o.warmup, steps = steps }),
    sequence = video.sequence(#o.clip, o.order), progress = Progress.new(),
    identity = identity(o),
    steps = steps, step = 0, seconds = 0, epoch_over = false, finished = false,
    epoch_sums = { loss = 0, mse = 0, count = 0 },
    history = {}, -- the evaluations on the way: { epoch, psnr, ms_ssim }
  }
  mark(self)
  return self
end

-- Checkpoints -------------------------------------------------------------------------------

-- JSON numbers need not hold 64 bits, text does.
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
  for _, entry in ipairs(self.model:state_dict()) do
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
  return tensors, numbers
end

local function is_sound(model)
  for _, tensor in ipairs(model:parameters()) do
    if not tensor:is_finite() then return false end
  end
  return true
end

local function fail_numerically(self, what)
  self.diverged = true
  local path = self.out and checkpoint.newest_path(self.out)
  bridge.fail("numeric", ("%s after step %d (lr %.3g); %s"):format(what, self.step,
    self.optimiser.lr, path and "the last good checkpoint is " .. path or "there is no checkpoint"))
end

-- Writes the state as of the last mark.
local function save(self)
  if not self.out then return end
  if not is_sound(self.model) then fail_numerically(self, "a parameter is not finite") end
  self.saving = true
  local tensors, numbers = tensors_of(self)
  local state = options.copy(self.state)
  state.rng, state.optimiser, state.options = rng_text(state.rng), numbers, self.identity
  local kept = self.guard and self.guard:tensors() or {}
  table.move(kept, 1, #kept, #tensors + 1, tensors)
  self.checkpoint = checkpoint.save(self.out, state.step, tensors, state)
  self.saving = false
  self.saved, self.saved_at = self.state, native.time()
end

-- Takes up the state of a checkpoint.
local function restore(self, found)
  local state = found.state
  checkpoint.compare(found.path, state.options, self.identity)
  local parts = { model = {}, optimiser = {}, guard = {} }
  for name, tensor in pairs(found.tensors) do
    local part, rest = name:match "^(%a+)/(.+)$"
    if parts[part] then parts[part][rest] = tensor end
  end
  local model, optimiser = parts.model, parts.optimiser
  for name, number in pairs(state.optimiser) do
    optimiser[name] = math.tointeger(number) or number
  end
  self.model:load_state_dict(model)
  self.optimiser:load_state(optimiser)
  if self.guard and state.guard then self.guard:load(state.guard, parts.guard) end
  if type(self.rate) == "table" and self.rate.load_state then
    self.rate:load_state(state.schedule)
  end
  local sequence = self.sequence
  for i, index in ipairs(state.order) do sequence.order[i] = math.tointeger(index) end
  sequence.epoch, sequence.position = math.tointeger(state.epoch), math.tointeger(state.position)
  self.step, self.seconds = math.tointeger(state.step), state.seconds
  self.epoch_over, self.finished = state.epoch_over, state.finished
  self.epoch_sums = state.epoch_sums
  self.history = state.history or {}
  native.set_rng_state(rng_numbers(state.rng))
  mark(self)
  self.checkpoint, self.saved = found.path, self.state
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
  mark(self)
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
    fail_numerically(self, "the loss became " .. (number ~= number and "nan" or number))
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

local function log_scalars(self, prefix, scalars)
  if not self.events then return end
  for name, value in pairs(scalars) do self.events:scalar(prefix .. name, value, self.step) end
end

local function evaluate(self, on_frame)
  local how = self.o.evaluate or metrics.evaluate
  local result = how(self.model, self.clip, on_frame)
  log_scalars(self, "eval/", result)
  return result
end

-- Tells everyone who asked about the last step, once.
local function report_step(self)
  if not self.unreported then return end
  local number, mse = table.unpack(self.unreported)
  local o, took, decibels = self.o, self.took, metrics.decibels(mse)
  -- The first step of a run pays for memory and plans.
  self.run_steps = (self.run_steps or 0) + 1
  if self.run_steps > 1 then
    self.per_step = self.per_step and 0.9 * self.per_step + 0.1 * took or took
  end
  log_scalars(self, "train/", { loss = number, psnr = decibels, lr = self.optimiser.lr })
  self.unreported = nil
  if o.on_step then
    local go_on = o.on_step {
      step = self.step, steps = self.steps, epoch = self.sequence.epoch, loss = number,
      psnr = decibels, seconds = took, seconds_per_step = self.per_step,
    }
    if go_on == false then self.finished = true end
  end
  if self.progress:due() then
    local per_step = self.per_step or took
    local left = Progress.duration((self.steps - self.step) * per_step)
    self.progress:show(
      ("%sepoch %d/%d  step %d/%d  loss %.4f  psnr %.2f dB  %.3g s/step  %s left"):format(
        o.label and o.label .. "  " or "", self.sequence.epoch, o.epochs, self.step, self.steps,
        number, decibels, per_step, left))
  end
end

-- Adds an evaluation to the history, once: an epoch's end is lived twice when a run stops there.
local function note(self, epoch, result)
  local history = {}
  for i, entry in ipairs(self.history) do
    if entry.epoch < epoch then history[i] = entry end
  end
  history[#history + 1] = { epoch = epoch, psnr = result.psnr, ms_ssim = result.ms_ssim }
  self.history = history
end

-- Reports the epoch that is over; training has finished when `on_epoch` returns false.
local function end_epoch(self)
  local o, sums = self.o, self.epoch_sums
  local e = {
    epoch = self.sequence.epoch, step = self.step, loss = sums.loss / math.max(sums.count, 1),
    psnr = metrics.decibels(sums.mse / math.max(sums.count, 1)), lr = self.optimiser.lr,
    seconds = self.seconds,
  }
  if o.eval_every > 0 and e.epoch % o.eval_every == 0 and self.step < self.steps then
    e.evaluation = evaluate(self)
    e.psnr = e.evaluation.psnr
    note(self, e.epoch, e.evaluation)
  end
  if self.events then self.events:flush() end
  if o.on_epoch and o.on_epoch(e) == false then self.finished = true end
  self.epoch_over = false
end

local function is_due(self)
  local every = self.o.checkpoint_steps
  return every > 0 and self.step % every == 0 and self.saved.step ~= self.step
    or native.time() - self.saved_at >= self.o.checkpoint_every
end

local function loop(self)
  self.saved, self.saved_at = self.saved or {}, native.time()
  while not self.finished do
    if self.epoch_over then
      end_epoch(self)
    elseif self.step == self.steps then
      self.finished = true
    else
      train_step(self)
      report_step(self)
    end
    mark(self)
    if self.out and is_due(self) then save(self) end
    bridge.stop_if_unread()
  end
end

-- Whatever ends the loop early (Ctrl-C, an error in a callback), what was true after the last
-- complete step is on disk; only a run that diverged keeps the checkpoint it has. What could not
-- be saved a moment ago is not tried again, and before the first step only Ctrl-C leaves one.
local function rescue(self)
  self.progress:clear()
  -- Ctrl-C may have come between a step and its report.
  if bridge.interrupted() then pcall(report_step, self) end
  if self.diverged or self.updating or self.saved == self.state then return end
  if (self.saving or self.step == 0) and not bridge.interrupted() then return end
  local ok, message = pcall(save, self)
  if not ok then
    native.stderr(("warning: %s\n"):format(tostring(message)))
  elseif self.out and bridge.interrupted() then
    native.stderr(("note: step %d is in %s; resume continues there\n"):format(
      self.step, self.checkpoint))
  end
end

-- Results -----------------------------------------------------------------------------------

local function command_line()
  local words = table.pack(table.unpack(arg or {}, 0))
  return table.concat(words, " ")
end

local function write_metrics(self, result)
  local model, stats = self.model, native.stats()
  local stored = model.stored_parameters and model:stored_parameters() or model:parameter_count()
  self.record = {
    model = model.kind or model.class_name, parameters_stored = stored,
    steps = self.step, seconds = self.seconds,
    seconds_per_step = self.seconds / math.max(self.step, 1),
    psnr = result.psnr, ms_ssim = result.ms_ssim, psnr_8bit = result.psnr_8bit,
    bpp = native.json_null, bytes = native.json_null, -- no file has been written
    peak_rss_bytes = stats.peak_rss_bytes, seed = self.o.seed, threads = native.threads(),
    command = self.o.command or command_line(),
  }
  for name, value in pairs(result) do self.record[name] = value end
  if #self.history > 0 then self.record.history = self.history end
  local text = native.json_encode(self.record)
  local ok, message = native.write_file(self.out .. "/metrics.json", text .. "\n")
  if not ok then errors.raise("the metrics could not be written: %s", message) end
end

-- Trains `model` on `clip`, both required; the other options are those of options/catalogue.lua
-- (epochs, lr, warmup, schedule, order, optimiser, loss, guard, recipe, seed, out, resume,
-- eval_every, checkpoint_every, checkpoint_steps), with the values of the recipe, or else the
-- defaults of the model's kind, and
--   loss      also a function (output, image, frame, share) → scalar tensor; `share` is what has
--             been done of the training, from 0 to below 1
--   schedule  also a function (step, steps, lr) → learning rate; `lr` is the peak rate
--   optimiser also a function (model, { lr = }) → optimiser; `lr` is the peak rate
--   on_step   called after each step with { step, steps, epoch, loss, psnr, seconds,
--             seconds_per_step }; training ends when it returns false
--   on_epoch  called after each epoch with { epoch, step, loss, psnr, lr, seconds, evaluation };
--             training ends when it returns false
--   on_frame  called in the evaluation at the end with each frame and its reconstruction
--   evaluate  a function (model, clip, on_frame) in place of metrics.evaluate; all the numbers it
--             returns, psnr, ms_ssim and psnr_8bit among them, are recorded
--   facts     plain data by name that a run must share with the one it continues
--   label     what progress lines begin with
--   progress  a function (step, steps) → how many of `steps` have been made, where a clock rather
--             than `step`, the number that have, decides it: for the loss's `share`
-- A clip is anything with a length, `height`, `width`, `:sample(i)` and `:prefetch(i)`. Where a
-- frame of it has a `mask`, the output times that mask is all that the loss sees.
-- The model is asked for `model:reconstruct(frame)`, frame = { image, t, index }, or, where that
-- is not defined, for `model(frame.t)`. It may have `penalty(frame)`, a scalar (or nil) that is
-- added to the loss of that frame, `updated(step, steps)`, which is called as a part of each
-- update, and `train_defaults`, options it prefers.
-- Returns { model, metrics, steps, seconds, out, checkpoint, record }: `record` is what
-- OUT/metrics.json holds.
return function(given)
  local o = settle(given)
  local self = start(o)
  if o.out then
    o.out = o.out:gsub("/+$", "")
    self.out = o.out
    native.work_folder(o.out)
    local found = o.resume and checkpoint.latest(o.out)
    if found then
      restore(self, found)
    elseif not o.resume then
      checkpoint.set_aside(o.out)
    end
    self.events = native.event_writer(o.out, found and self.step + 1 or nil)
  end

  bridge.on_error(loop, function() rescue(self) end, self)
  self.progress:clear()
  if self.saved ~= self.state then save(self) end
  local result = evaluate(self, o.on_frame)
  if o.eval_every > 0 then note(self, self.sequence.epoch, result) end
  if self.out then write_metrics(self, result) end
  if self.events then self.events:close() end
  return {
    model = self.model, metrics = result, steps = self.step, seconds = self.seconds,
    out = self.out, checkpoint = self.checkpoint, record = self.record,
  }
end
