-- Rate control: what `lunerv compress --bpp, --bytes, --psnr, --minutes` do. A budget of bytes
-- sizes the network (plan.lua) and steers what bits cost while it is made small; what is left to
-- save is rounded away (shelf.lua). A budget of time is spent to its end: the learning rate is down
-- at the deadline, also on a machine that turns out slower than measured.
local cem <const> = require "lunerv.compress.cem"
local checkpoint <const> = require "lunerv.checkpoint"
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local goal <const> = require "lunerv.compress.goal"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local plan <const> = require "lunerv.compress.plan"
local Progress <const> = require "lunerv.progress"
local request <const> = require "lunerv.compress.request"
local schedule <const> = require "lunerv.schedule"
local Shelf <const> = require "lunerv.compress.shelf"
local train <const> = require "lunerv.train"

local rate <const> = { wanted = goal.wanted }

-- Of a budget, what is aimed at: what falls short by so little costs hundredths of a decibel, what
-- is too much has to be rounded away.
local aim <const> = 0.99
-- The power of e by which the price of bits may change in the course of a training.
local pace <const> = 5
-- Bits a parameter beyond which the first price is lower.
local plenty <const> = 4
-- Of the time so far, what files on the way may take.
local offer_share <const> = 0.05

-- Epochs after which a file is made: the first, and about every fifth of all.
local function is_evaluated(epoch, epochs)
  return epoch == 1 or epoch % math.max(1, epochs // 5) == 0 and epoch < epochs
end

-- Epochs after which the file's size is compared with its estimate: about every twelfth of all.
local function is_measured(epoch, epochs) return epoch % math.max(1, epochs // 12) == 0 end

-- Offers `compressed` to the shelf, unless files on the way have taken their share of the time.
local function offer_on_the_way(shelf, compressed, stage)
  local now, wanted = native.time(), shelf.goal
  local spent = shelf.spent or 0
  if wanted.deadline and shelf.best and spent > offer_share * (now - wanted.began) then
    return nil
  end
  local file = shelf:offer(compressed, stage)
  shelf.spent = spent + native.time() - now
  return file
end

-- How far a training has come whose time began at `began` and ends at `stop`: as planned by steps,
-- or further on where the clock is.
local function clocked(began, stop)
  return function(step, steps)
    local by_clock = (native.time() - began) / math.max(stop - began, 1e-9)
    return math.max(step, 1 + math.min(by_clock, 1) * (steps - 1))
  end
end

-- The learning rate of `training`, which has come as far as `at` says.
local function timed_schedule(training, kind, at)
  local lr, warmup = training.lr, training.warmup
  local named = training.schedule or options.default("schedule", kind)
  local base = type(named) ~= "string" and named or nil
  return function(step, steps)
    base = base or schedule.by_name(named, { lr = lr, warmup = warmup, steps = steps })
    return base(at(step, steps), steps, lr)
  end
end

-- Trains as `training` says for at most `share` of the time that is left, the learning rate down at
-- its end; where it is short, the evaluation behind it looks at some frames.
local function train_within(wanted, training, kind, share, hurried)
  if not wanted.deadline then return train(training) end
  local began = native.time()
  local stop = began + share * goal.seconds_left(wanted)
  local at = clocked(began, stop)
  training.schedule = timed_schedule(training, kind, at)
  -- Below 1, however late the last step begins.
  function training.progress(step, steps) return math.min(at(step + 1, steps), steps) - 1 end
  local last
  -- What changes in the course of a training goes by the clock too.
  if training.model.updated then
    function training.model.progress(step, steps)
      local now = at(step, steps) / steps
      local advance = now - (last or now)
      last = now
      return now, advance
    end
  end
  function training.on_step() if native.time() > stop then return false end end
  if hurried then
    function training.evaluate(model, part, on_frame)
      return metrics.evaluate(model, part, on_frame, metrics.spread(#part, 16))
    end
  end
  return train(training)
end

local function fit(model, clip, o, made, shelf)
  local folder = o.out .. "/fit"
  if made.attempt > 1 then folder = ("%s-%d"):format(folder, made.attempt) end
  local training = request.train_options(o)
  training.model, training.clip, training.out, training.label = model, clip, folder, o.label
  training.frames = false
  training.epochs = made.epochs
  function training.on_epoch(e)
    if is_evaluated(e.epoch, made.epochs) then
      offer_on_the_way(shelf, cem(model, { bits = o.bits, channel = o.channel }), 1)
    end
  end
  local share = made.epochs / (made.epochs + made.small_epochs)
  local run = train_within(shelf.goal, training, o.model, share, shelf.hurried)
  shelf.say(("fitted in %s: %s"):format(Progress.duration(run.seconds), run.metrics))
  return run
end

-- Entropy minimisation towards the goal: bits cost more while the clip takes more of them than it
-- may, and less while it is not as good as it must be.
local function make_small(model, clip, o, made, shelf)
  local wanted = shelf.goal
  local pixels = #clip * clip.height * clip.width
  local given = options.copy(o)
  given.compress_epochs, given.steerable = made.small_epochs, true
  if wanted.bytes then given.target_bpp = aim * 8 * wanted.bytes / pixels end
  if wanted.psnr and not wanted.bytes then given.target_bpp = 1e-9 end
  local small, training = request.small(model, given)
  training.clip, training.out, training.label = clip, o.out .. "/small", o.label
  if shelf.hurried then small.probes = plan.probes end
  local on_epoch = training.on_epoch
  -- Gently: under a price that shoots past what is needed a network learns next to nothing.
  if small.steer and wanted.bytes then
    small.pace = pace
    -- Where bits are plenty, as where time is what decides, they are nearly free from the start.
    local bits = 8 * wanted.bytes / small:stored_parameters()
    small:steer(math.min(1, (plenty / bits) ^ 4))
  end
  function training.on_epoch(e)
    if on_epoch then on_epoch(e) end
    local file = is_evaluated(e.epoch, made.small_epochs)
      and offer_on_the_way(shelf, small, 2)
    -- Last, since the end of an epoch in which a run is stopped is lived again.
    local is_due = file or not shelf.hurried and is_measured(e.epoch, made.small_epochs)
    if small.pace and is_due then
      -- What the file takes at its own steps says how far the estimate is off.
      local size = file and file.unscaled or shelf:size(small)
      small:aim(aim * wanted.bytes / size * small:estimated_bpp())
    elseif small.steer and wanted.psnr and not wanted.bytes then
      small:steer(e.psnr > wanted.psnr + 0.2 and 1.6 or 1 / 1.6)
    end
  end
  -- What the last file takes: every frame embedded, decoded and compared.
  local left = goal.seconds_left(wanted)
  local tail = plan.tail_seconds(made, clip)
  local share = left < math.huge and math.max(0.2, 1 - tail / math.max(left, 1e-9)) or 1
  local run = train_within(wanted, training, o.model, share, shelf.hurried)
  shelf.say(("made small in %s: %s"):format(Progress.duration(run.seconds), run.metrics))
  shelf:offer(small, 2, true)
  return run
end

-- Compresses `clip` into `path` as `o`, the options of the command line, asks; see compress.file.
-- Returns the file: bytes, bpp, sections, psnr, psnr_8bit, ms_ssim, seconds, and its model; nil and
-- a message when what was asked for could not be had.
function rate.file(path, clip, o, say)
  local began, wanted = native.time(), goal.of(clip, o)
  local made = plan.settle(o, clip, wanted)
  local passes = made.epochs + made.small_epochs
  local hurried = wanted.deadline ~= nil and plan.is_hurried(passes)
  local shelf = Shelf.open(path, clip, wanted, o, say, hurried)
  -- A run that is stopped before its second stage must not go on with an earlier one's.
  if not o.resume then checkpoint.set_aside(o.out .. "/small") end
  native.seed(o.seed)
  local model, warm = plan.build(made.settings, clip), o.start ~= nil and made.attempt == 1
  if warm then model:load_state_dict(o.start.parameters) end
  say(model:summary())
  local fitted = fit(model, clip, o, made, shelf)
  -- A network too small for the quality asked for is doubled.
  while plan.may_grow(o, wanted) and made.attempt < 5 and fitted.metrics.psnr_8bit < wanted.psnr
    and goal.seconds_left(wanted) > 2 * fitted.seconds do
    local params = 2 * (made.settings.params or model:stored_parameters())
    made.attempt, warm = made.attempt + 1, false
    made.settings = request.model_options(o)
    made.settings.kind, made.settings.params = o.model, params
    native.seed(o.seed)
    model = plan.build(made.settings, clip)
    plan.write(o, made)
    say(("%.2f dB are not enough; again with %s"):format(fitted.metrics.psnr_8bit,
      model:summary()))
    fitted = fit(model, clip, o, made, shelf)
  end
  make_small(model, clip, o, made, shelf)

  local file = shelf.best
  if not file then
    return errors.failure("no file of at most %d bytes came of this model; ask for a smaller one, "
      .. "or for more bytes", wanted.bytes)
  end
  if wanted.psnr and file.psnr_8bit < wanted.psnr then
    say(("note: %.2f dB were asked for, this is the best that was found"):format(wanted.psnr))
  end
  if wanted.bytes and not wanted.psnr and file.size < 0.97 * wanted.bytes then
    say(("note: %d bytes were allowed, the model has no use for more"):format(wanted.bytes))
  end
  file.seconds, file.path = native.time() - began, path
  file.model, file.warm = model, warm
  return setmetatable(file, codec.File)
end

return rate
