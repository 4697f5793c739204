-- Rate control: `lunerv compress --bpp, --bytes, --psnr, --minutes`. A budget of bytes sets the
-- network size (plan.lua) and controls the price of bits during compression; the last bytes are
-- saved by rounding (candidates.lua). A budget of time is used to its end: the learning rate
-- reaches its minimum at the deadline, even on a machine that is slower than measured.
local cem <const> = require "lunerv.compress.cem"
local checkpoint <const> = require "lunerv.checkpoint"
local codec <const> = require "lunerv.codec"
local continuation <const> = require "lunerv.compress.continuation"
local errors <const> = require "lunerv.errors"
local goal <const> = require "lunerv.compress.goal"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local plan <const> = require "lunerv.compress.plan"
local price <const> = require "lunerv.compress.price"
local Progress <const> = require "lunerv.progress"
local request <const> = require "lunerv.compress.request"
local schedule <const> = require "lunerv.schedule"
local segment_files <const> = require "lunerv.compress.segment_files"
local Candidates <const> = require "lunerv.compress.candidates"
local train <const> = require "lunerv.train"

local rate <const> = { wanted = goal.wanted }

-- The target, as a share of the budget: a small shortfall costs hundredths of a decibel, while an
-- excess must be removed by rounding.
local aim <const> = 0.99
-- The shares of the time so far that intermediate files, and mere measurements of their size, may
-- take.
local offer_share <const>, size_share <const> = 0.05, 0.03

-- Epochs after which an intermediate file is written: the first, and about every fifth of all.
local function is_evaluated(epoch, epochs)
  return epoch == 1 or epoch % math.max(1, epochs // 5) == 0 and epoch < epochs
end

-- Epochs after which the file size is compared with its estimate: about every twelfth of all.
local function is_measured(epoch, epochs) return epoch % math.max(1, epochs // 12) == 0 end

-- The result of body(); nil if earlier calls with the same `key` have already taken more than
-- `share` of the time since the work began. `spent` holds their seconds by key. Without a deadline,
-- body() is always called.
local function if_time(wanted, spent, key, share, body)
  local now, used = native.time(), spent[key] or 0
  if wanted.deadline and used > share * (now - wanted.began) then return nil end
  local result = body()
  spent[key] = used + native.time() - now
  return result
end

-- Offers `compressed` as a candidate, unless intermediate files have used their share of the time.
local function offer_intermediate(candidates, compressed, stage)
  local share = candidates.best and offer_share or math.huge
  return if_time(candidates.goal, candidates.spent, "files", share, function()
    return candidates:offer(compressed, stage)
  end)
end

-- The progress of a training that started at `began` and ends at `stop`: by steps as planned, or by
-- the clock if that is further.
local function clocked(began, stop)
  return function(step, steps)
    local by_clock = (native.time() - began) / math.max(stop - began, 1e-9)
    return math.max(step, 1 + math.min(by_clock, 1) * (steps - 1))
  end
end

-- The learning rate of `training` at the progress `at`.
local function timed_schedule(training, kind, at)
  local lr, warmup = training.lr, training.warmup
  local named = training.schedule or options.default("schedule", kind)
  local base = type(named) ~= "string" and named or nil
  return function(step, steps)
    base = base or schedule.by_name(named, { lr = lr, warmup = warmup, steps = steps })
    return base(at(step, steps), steps, lr)
  end
end

-- Trains as `training` says for at most `share` of the remaining time, with the learning rate at
-- its minimum at the end. If time is short, the evaluation after it uses only some frames.
local function train_within(wanted, training, kind, share, is_short)
  if not wanted.deadline then return train(training) end
  local began = native.time()
  local stop = began + share * goal.seconds_left(wanted)
  local at = clocked(began, stop)
  training.schedule = timed_schedule(training, kind, at)
  -- Below 1, however late the last step starts.
  function training.progress(step, steps) return math.min(at(step + 1, steps), steps) - 1 end
  local last
  -- Everything that changes during a training also follows the clock.
  if training.model.updated then
    function training.model.progress(step, steps)
      local now = at(step, steps) / steps
      local advance = now - (last or now)
      last = now
      return now, advance
    end
  end
  function training.on_step() if native.time() > stop then return false end end
  if is_short then
    function training.evaluate(model, part, on_frame)
      return metrics.evaluate(model, part, on_frame, metrics.spread(#part, 16))
    end
  end
  return train(training)
end

-- Trains; seconds that earlier sessions of a resumed training took are added to `candidates`.
local function timed(candidates, ...)
  local began = native.time()
  local run = train_within(...)
  local now = native.time()
  candidates.earlier = candidates.earlier + math.max(0, run.seconds - (now - began))
  return run
end

local function fit(model, clip, o, made, candidates)
  local folder = o.out .. "/fit"
  if made.attempt > 1 then folder = ("%s-%d"):format(folder, made.attempt) end
  local training = request.train_options(o)
  training.model, training.clip, training.out, training.label = model, clip, folder, o.label
  training.frames = false
  training.epochs = made.epochs
  function training.on_epoch(e)
    if is_evaluated(e.epoch, made.epochs) then
      offer_intermediate(candidates, cem(model, { bits = o.bits, channel = o.channel }), 1)
    end
  end
  local share = made.epochs / (made.epochs + made.small_epochs)
  local run = timed(candidates, candidates.goal, training, o.model, share, candidates.is_short)
  candidates.say(("fitted in %s: %s"):format(Progress.duration(run.seconds), run.metrics))
  return run
end

-- Entropy minimisation towards the goal: the price of bits rises while the clip takes more bits
-- than allowed, and falls while the quality is too low.
local function compress(model, clip, o, made, candidates)
  local wanted = candidates.goal
  local pixels = #clip * clip.height * clip.width
  local given = options.copy(o)
  given.compress_epochs, given.steerable = made.small_epochs, true
  if wanted.bytes then given.target_bpp = aim * 8 * wanted.bytes / pixels end
  if wanted.psnr and not wanted.bytes then given.target_bpp = 1e-9 end
  local small, training = request.prepare(model, given)
  training.clip, training.out, training.label = clip, o.out .. "/small", o.label
  if candidates.is_short then small.probes = plan.probes end
  local on_epoch = training.on_epoch
  small.is_controlled = small.steer ~= nil and wanted.bytes ~= nil
  small.lowers_quality = small.steer ~= nil and wanted.psnr ~= nil and not wanted.bytes
  if small.is_controlled then
    -- If bits are plenty, for example when time is the limit, they are nearly free from the start.
    local parameters = small:stored_parameters()
    local bits = aim * 8 * wanted.bytes / parameters
    small:steer(price.initial(bits, made.small_epochs * #clip, parameters))
  end
  function training.on_epoch(e)
    if on_epoch then on_epoch(e) end
    local file = is_evaluated(e.epoch, made.small_epochs)
      and offer_intermediate(candidates, small, 2)
    -- Last, because a run stopped at the end of an epoch repeats that end when it resumes.
    if small.is_controlled then
      -- The file size at its own step sizes gives the error of the estimate.
      local size = file and file.unscaled
      if not size and is_measured(e.epoch, made.small_epochs) then
        size = if_time(wanted, candidates.spent, "sizes", size_share, function()
          return candidates:size(small)
        end)
      end
      if size then small:aim(aim * wanted.bytes / size * small:estimated_bpp()) end
    elseif small.lowers_quality then
      small:steer(e.psnr > wanted.psnr + 0.2 and 1.6 or 1 / 1.6)
    end
  end
  -- The time of the final file: every frame embedded, decoded and compared.
  local left = goal.seconds_left(wanted)
  local tail = plan.tail_seconds(made, clip)
  local share = left < math.huge and math.max(0.2, 1 - tail / math.max(left, 1e-9)) or 1
  local run = timed(candidates, wanted, training, o.model, share, candidates.is_short)
  candidates.say(("compressed in %s: %s"):format(Progress.duration(run.seconds), run.metrics))
  candidates:offer(small, 2, true)
  return run
end

-- Compresses `clip` into `path` with `o`, the options of the command line; see compress.file.
-- Returns the file: bytes, bpp, sections, psnr, psnr_8bit, ms_ssim, seconds, its contents and its
-- model; nil and a message if the goal could not be met.
function rate.file(path, clip, o, say)
  local began, wanted = native.time(), goal.of(clip, o)
  local made, is_new = plan.make(o, clip, wanted)
  local passes = made.epochs + made.small_epochs
  local is_short = wanted.deadline ~= nil and plan.is_short(passes)
  -- A run that is stopped early must not continue with an earlier run's later stages.
  if not o.resume then segment_files.set_aside(o.out) end
  if is_new then plan.write(o, made) end
  local candidates = Candidates.open(path, clip, wanted, o, say, is_short)
  native.seed(o.seed)
  local model = plan.build(made.settings, clip)
  if o.start and made.attempt == 1 then continuation.load(model, o.start) end
  say(model:summary())
  local fitted = fit(model, clip, o, made, candidates)
  -- A network too small for the requested quality is doubled. Once its compression has begun, the
  -- size is settled, although a resumed run has all of its minutes again.
  local is_settled = checkpoint.newest_path(o.out .. "/small") ~= nil
  while not is_settled and plan.may_grow(o, wanted) and made.attempt < 5
    and fitted.metrics.psnr_8bit < wanted.psnr
    and goal.seconds_left(wanted) > 2 * fitted.seconds do
    local params = 2 * (made.settings.params or model:stored_parameters())
    made.attempt = made.attempt + 1
    -- The settings of a previous segment hold a width, which would override the number.
    made.settings.size, made.settings.fc_dim, made.settings.params = nil, nil, params
    native.seed(o.seed)
    model = plan.build(made.settings, clip)
    plan.write(o, made)
    say(("%.2f dB is not enough; trying again with %s"):format(fitted.metrics.psnr_8bit,
      model:summary()))
    fitted = fit(model, clip, o, made, candidates)
  end
  compress(model, clip, o, made, candidates)

  local file = candidates.best
  if not file then
    return errors.failure("this model gave no file of at most %d bytes; choose a smaller model, "
      .. "or allow more bytes", wanted.bytes)
  end
  if wanted.psnr and file.psnr_8bit < wanted.psnr then
    say(("note: %.2f dB were requested; this is the best result"):format(wanted.psnr))
  end
  if wanted.bytes and not wanted.psnr and file.size < 0.97 * wanted.bytes then
    say(("note: the file needs fewer than the %d bytes allowed"):format(wanted.bytes))
  end
  file.seconds, file.path = native.time() - began + candidates.earlier, path
  file.model, file.contents = model, candidates.contents
  return setmetatable(file, codec.File)
end

return rate
