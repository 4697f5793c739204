-- Rate control: what `lunerv compress --bpp, --bytes, --psnr, --minutes` do. A budget of bytes
-- sizes the network and steers what bits cost while it is made small; what is left to save is
-- rounded away where that does the least, then taken by larger steps. The file exists from the
-- first evaluation on, and is replaced only by a better one.
local bridge <const> = require "lunerv.bridge"
local checkpoint <const> = require "lunerv.checkpoint"
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local loss <const> = require "lunerv.loss"
local metrics <const> = require "lunerv.metrics"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local Progress <const> = require "lunerv.progress"
local train <const> = require "lunerv.train"

local rate <const> = {}

-- What entropy minimisation leaves of a parameter, embeddings included. It could leave more of
-- fewer, but a larger network learns faster.
local bits_per_parameter <const> = 1.75
-- Of a budget, the share for embeddings; at least one channel.
local embedding_share <const> = 0.3
-- A file is as large as asked when it takes at least this share of the bytes; the second number is
-- of parameters trained to be rounded, which finer steps would not suit.
local close <const>, close_trained <const> = 0.985, 0.97
-- Of a budget, what is aimed at: rounding saves the rest at little loss, and what falls short can
-- not be made up for.
local aim <const> = 1.01
-- One evaluation of a frame, in training steps.
local evaluation_cost <const> = 0.45

-- Whether `o`, a command line's options, asks for rate control.
function rate.wanted(o) return (o.bpp or o.bytes or o.psnr or o.minutes) ~= nil end

-- { bytes, psnr, deadline }: what is asked of the file, each where it is asked. A run that is
-- resumed has the minutes anew.
local function goal_of(clip, o)
  return {
    bytes = require("lunerv.compress").bytes_asked(o, clip), psnr = o.psnr,
    deadline = o.minutes and native.time() + 60 * o.minutes,
  }
end

local function seconds_left(goal)
  return goal.deadline and goal.deadline - native.time() or math.huge
end

-- The file -----------------------------------------------------------------------------------

local function write_json(path, data)
  local ok, message = native.write_file(path, native.json_encode(data) .. "\n")
  if not ok then errors.data("%s", message) end
end

-- The best file so far. What it is stands in OUT/best.json, so that a resumed run does not put a
-- worse one in its place.
local Shelf <const> = {}
Shelf.__index = Shelf

local remembered <const> = { "size", "bytes", "bpp", "psnr", "psnr_8bit", "ms_ssim", "stage" }

local function open_shelf(path, clip, goal, o, say)
  local self = setmetatable({ path = path, clip = clip, goal = goal, say = say,
    note = o.out .. "/best.json" }, Shelf)
  if not native.exists(self.note) then return self end
  if not o.resume then
    native.remove(self.note) -- an earlier run's
    return self
  end
  local best = native.json_decode(native.read_file(self.note) or "{}")
  local info = codec.info(path)
  if info and info.bytes == best.bytes then
    best.sections = info.sections
    self.best = best
  end
  return self
end

local function remember(self, file)
  local facts = {}
  for _, name in ipairs(remembered) do facts[name] = file[name] end
  write_json(self.note, facts)
end

-- How files get smaller or larger, as one number, the effort. Up to 1 it is the strength of
-- rate-aware rounding (of what has none, and below 0 and beyond 1, the steps' size in octaves):
-- parameters trained with a step do not bear another one well. One per cent of the bytes, of a
-- network of 313,623 parameters: 0.02 dB by rounding, 0.4 dB by steps.
local function encode(self, stored, effort)
  local rounded = stored.rounding and math.min(math.max(effort, 0), 1) or 0
  local scale = 2 ^ (effort - rounded)
  local scaled = {}
  for name, value in pairs(stored) do scaled[name] = value end
  scaled.steps, scaled.rdo = {}, stored.rounding and math.max(rounded, stored.rdo)
  for i, step in ipairs(stored.steps) do scaled.steps[i] = (step * scale):evaluate() end
  if stored.embedding_step then scaled.embedding_step = stored.embedding_step * scale end
  local bytes = codec.encode({ stored = function() return scaled end }, { clip = self.clip })
  return { data = bytes, size = #bytes, effort = effort }
end

-- The next effort to try on the way from one whose file has `size` bytes to `limit`.
local function towards(limit, size, effort, stored)
  local octaves = 1.5 * math.log(size / limit, 2) -- a doubled step saves about a bit a symbol
  if stored.rounding and size > limit and effort < 1 then
    return math.min(1, effort + math.max(0.03, 5 * octaves))
  end
  return effort + (size > limit and math.max(0.2, octaves) or math.min(-0.2, octaves))
end

-- The largest file that fits goal.bytes, by bisection over the effort; at twelve files at most.
-- What comes out is the smallest tried where none fits; second, how large a file without any
-- effort would be.
local function fit_bytes(self, stored)
  local limit = self.goal.bytes
  local first = encode(self, stored, 0)
  if not limit then return first, first.size end
  local best, smallest = first.size <= limit and first or nil, first
  local low, high -- efforts whose files are too large, and fit
  local effort, size = 0, first.size
  for _ = 1, 11 do
    if size > limit then low = effort else high = effort end
    local enough = stored.rounding and not low and close_trained or close
    if best and best.size >= enough * limit then break end
    effort = low and high and (low + high) / 2 or towards(limit, size, effort, stored)
    if effort < -4 or effort > 9 then break end
    local file = encode(self, stored, effort)
    size = file.size
    if size < smallest.size then smallest = file end
    if size <= limit and (not best or size > best.size) then best = file end
  end
  return best or smallest, first.size
end

local function measure(self, file)
  local state = native.rng_state() -- a decoder draws numbers that training must not miss
  local video = codec.decode(file.data)
  local quality = video:evaluate(self.clip)
  native.set_rng_state(state)
  for name, value in pairs(quality) do file[name] = value end
  file.bytes, file.bpp, file.sections = video.bytes, video.bpp, video.sections
  return file
end

-- The smallest file that reaches goal.psnr: more effort until it costs more than there is.
local function fit_psnr(self, stored, file)
  local wanted = self.goal.psnr
  if file.psnr_8bit < wanted then
    -- Finer steps may reach it, where there is room.
    for _ = 1, 3 do
      local finer = encode(self, stored, file.effort - 0.7)
      if self.goal.bytes and finer.size > self.goal.bytes then return file end
      local result = measure(self, finer)
      if result.psnr_8bit <= file.psnr_8bit + 0.005 then return file end
      file = result
      if file.psnr_8bit >= wanted then break end
    end
    if file.psnr_8bit < wanted then return file end
  end
  local low, high = file.effort, nil
  for _ = 1, 6 do
    if file.psnr_8bit - wanted < 0.02 or seconds_left(self.goal) < 0 then break end
    local effort = high and (low + high) / 2 or low + 0.5
    local coarser = measure(self, encode(self, stored, effort))
    if coarser.psnr_8bit >= wanted then
      file, low = coarser, effort
    else
      high = effort
    end
  end
  return file
end

-- Whether file `a` is to be preferred to `b`, which was made before.
local function is_better(goal, a, b)
  if not b then return true end
  local function fits(file) return not goal.bytes or file.size <= goal.bytes end
  if fits(a) ~= fits(b) then return fits(a) end
  if not fits(a) then return a.size < b.size end
  if goal.psnr then
    local reaches_a, reaches_b = a.psnr_8bit >= goal.psnr, b.psnr_8bit >= goal.psnr
    if reaches_a ~= reaches_b then return reaches_a end
    if reaches_a then return a.size < b.size end
    return a.psnr_8bit > b.psnr_8bit
  end
  -- Where only time is given, a later stage is smaller on purpose.
  if not goal.bytes and a.stage ~= b.stage then return a.stage > b.stage end
  return a.psnr_8bit > b.psnr_8bit
end

-- Writes the file of `compressed` where it is better than the one there is. `stage` counts the
-- stages of the work; `final`: the file is worth some more tries. Returns what it would be.
function Shelf:offer(compressed, stage, final)
  local state = native.rng_state()
  local stored = compressed:stored(self.clip)
  native.set_rng_state(state)
  -- What was not trained to be rounded bears larger steps better.
  if stage == 1 then stored.rounding = nil end
  local chosen, unscaled = fit_bytes(self, stored)
  local file = measure(self, chosen)
  if final and self.goal.psnr then file = fit_psnr(self, stored, file) end
  file.stage, file.unscaled, file.estimated_bits = stage, unscaled, stored.estimated_bits
  -- A file that takes more than it may is none.
  local too_large = self.goal.bytes and file.size > self.goal.bytes
  if not too_large and is_better(self.goal, file, self.best) then
    local ok, message = native.write_file(self.path, file.data)
    if not ok then errors.data("%s", message) end
    self.best = file
    remember(self, file)
    self.say(("%s: %d bytes, %.4f bpp, psnr_8bit %.2f dB"):format(self.path, file.bytes, file.bpp,
      file.psnr_8bit))
  end
  file.data = nil
  return file
end

-- The plan -----------------------------------------------------------------------------------

-- What a budget too small for a kind's defaults gives up, step by step.
local thrift <const> = {
  {},
  { ch_t = 16, pe_levels = 40, lower_width = 10 },
  { ch_t = 8, pe_levels = 20, lower_width = 8, dec_blks = { 1 } },
  { ch_t = 4, pe_levels = 10, lower_width = 6, dec_blks = { 1 } },
}

local function same(a, b)
  if type(a) ~= "table" then return a == b end
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return false end
  end
  return true
end

-- `settings` with those of `others` in place of what was left at its default for `kind`.
local function replaced(settings, others, kind)
  local result = {}
  for name, value in pairs(settings) do
    local other = others[name]
    local is_default = other ~= nil and same(value, options.default(name, kind))
    result[name] = is_default and other or value
  end
  return result
end

local function build(settings, clip)
  local given = { clip = clip }
  for name, value in pairs(settings) do given[name] = value end
  given.preset, given.kind = nil, nil
  return models[settings.kind](given)
end

-- The fewest parameters that a model of these settings may have, where `params` are too few.
local function least_of(settings, params, clip)
  local given = { params = params }
  for name, value in pairs(settings) do given[name] = given[name] or value end
  local ok, message = pcall(build, given, clip)
  if ok then return nil end
  local least = tostring(message):match "params: at least (%d+)"
  if bridge.interrupted() or not least then error(message, 0) end
  return math.tointeger(least)
end

-- Model options that suit goal.bytes, unless the width was chosen.
local function sized(o, clip, goal)
  local compress = require "lunerv.compress"
  local settings = compress.model_options(o)
  settings.kind = o.model
  if not goal.bytes or settings.size or settings.params or settings.fc_dim then return settings end
  local params = math.max(1, math.floor(8 * goal.bytes / bits_per_parameter))
  settings = replaced(settings, { enc_dim = { 64, embedding_share } }, o.model)
  local last
  for _, others in ipairs(thrift) do
    local cheaper = replaced(settings, others, o.model)
    cheaper.params = params
    -- Half of the budget ought to be for the width.
    if not least_of(cheaper, params // 2, clip) then return cheaper end
    last = cheaper
  end
  local least = least_of(last, params, clip)
  if least then
    errors.data("%s%d bytes are too few for this clip and kind of model: "
      .. "at least about %d expected", o.label and o.label .. ": " or "", goal.bytes,
      math.ceil(least * bits_per_parameter / 8))
  end
  return last
end

-- Seconds that a step takes: forward and backward of one frame, without an update.
local function seconds_per_step(settings, clip, kind, loss_name)
  local state = native.rng_state()
  local model, best = build(settings, clip), math.huge
  local compare = loss.by_name(loss_name or options.default("loss", kind))
  for _ = 1, 3 do
    local began = native.time()
    local frame = clip:sample(1)
    compare(metrics.reconstruct(model, frame), frame.image, frame):backward()
    best = math.min(best, native.time() - began)
    native.step_boundary()
  end
  native.set_rng_state(state)
  return 1.2 * best
end

-- How many epochs of fitting and of making small fit into the time.
local function epochs_within(o, clip, goal, step)
  local pass = #clip * step
  local room = 0.9 * seconds_left(goal) - 5 * evaluation_cost * pass
  local epochs = math.max(2, room // pass)
  local small = math.max(1, math.min(o.compress_epochs, epochs * 3 // 10))
  return math.tointeger(math.max(1, math.min(o.epochs, epochs - small))), math.tointeger(small)
end

-- Whether the network may grow until it is as good as it must be.
local function may_grow(o, goal)
  return goal.psnr ~= nil and not goal.bytes and not (o.size or o.params or o.fc_dim)
end

-- What was decided, so that a resumed run does not decide again: settings, epochs, small_epochs,
-- and which attempt at the network is being made.
local function settle(o, clip, goal)
  local path = o.out .. "/plan.json"
  local asked = require("lunerv.compress").asked(o, clip)
  local text = o.resume and native.exists(path) and native.read_file(path)
  if text then
    local plan = native.json_decode(text)
    checkpoint.compare(path, plan.asked or {}, asked)
    plan.attempt = math.tointeger(plan.attempt)
    return plan
  end
  local plan = { asked = asked, attempt = 1, epochs = o.epochs, small_epochs = o.compress_epochs }
  if o.start then
    plan.settings = options.copy(o.start.settings)
    plan.settings.kind = o.model
  else
    plan.settings = sized(o, clip, goal)
    local model = build(plan.settings, clip) -- refuses what cannot be
    if may_grow(o, goal) then
      plan.settings.params = nil
      local half = model:stored_parameters() // 2
      plan.settings.params = least_of(plan.settings, half, clip) or half
    end
  end
  if goal.deadline then
    local step = seconds_per_step(plan.settings, clip, o.model, o.loss)
    plan.epochs, plan.small_epochs = epochs_within(o, clip, goal, step)
  end
  native.make_dirs(o.out)
  write_json(path, plan)
  return plan
end

-- Epochs after which a file is made: the first, and about every fifth of all.
local function is_evaluated(epoch, epochs)
  return epoch == 1 or epoch % math.max(1, epochs // 5) == 0 and epoch < epochs
end

-- The work -----------------------------------------------------------------------------------

-- Trains for at most `share` of the time that is left or, without it, until only the evaluations
-- that must follow still fit.
local function train_within(goal, clip, training, share)
  local stop = native.time() + seconds_left(goal) * (share or 1)
  local evaluations = share and 0 or 3 * evaluation_cost * #clip
  function training.on_step(e)
    local reserve = evaluations * (e.seconds_per_step or e.seconds)
    if native.time() + reserve > stop then return false end
  end
  return train(training)
end

local function fit(model, clip, o, plan, shelf)
  local compress = require "lunerv.compress"
  local folder = o.out .. "/fit"
  if plan.attempt > 1 then folder = ("%s-%d"):format(folder, plan.attempt) end
  local training = compress.train_options(o)
  training.model, training.clip, training.out, training.label = model, clip, folder, o.label
  training.epochs = plan.epochs
  function training.on_epoch(e)
    if is_evaluated(e.epoch, plan.epochs) then
      shelf:offer(compress.cem(model, { bits = o.bits, channel = o.channel }), 1)
    end
  end
  local run = train_within(shelf.goal, clip, training, 0.75)
  shelf.say(("fitted in %s: %s"):format(Progress.duration(run.seconds), run.metrics))
  return run
end

-- Entropy minimisation towards the goal: bits cost more while the clip takes more of them than it
-- may, and less while it is not as good as it must be.
local function make_small(model, clip, o, plan, shelf)
  local compress, goal = require "lunerv.compress", shelf.goal
  local pixels = #clip * clip.height * clip.width
  local given = {}
  for name, value in pairs(o) do given[name] = value end
  given.compress_epochs, given.steerable = plan.small_epochs, true
  if goal.bytes then given.target_bpp = aim * 8 * goal.bytes / pixels end
  if goal.psnr and not goal.bytes then given.target_bpp = 1e-9 end
  local small, training = compress.plan(model, given)
  training.clip, training.out, training.label = clip, o.out .. "/small", o.label
  local steps, on_epoch = plan.small_epochs * #clip, training.on_epoch
  -- Gently, or the network is wrecked before it has learned to do with fewer bits: a tenth of the
  -- steps makes bits three times as dear.
  if small.steer and goal.bytes then small.pace = 12 / math.max(steps, 48) end
  function training.on_epoch(e)
    if on_epoch then on_epoch(e) end
    local file = is_evaluated(e.epoch, plan.small_epochs) and shelf:offer(small, 2)
    -- Last, since the end of an epoch in which a run is stopped is lived again.
    if small.steer and goal.bytes and file then
      -- What the file takes at its own steps says what the estimate leaves out.
      small:aim(aim * goal.bytes / file.unscaled * file.estimated_bits / pixels)
    elseif small.steer and goal.psnr and not goal.bytes then
      small:steer(e.psnr > goal.psnr + 0.2 and 1.6 or 1 / 1.6)
    end
  end
  local run = train_within(goal, clip, training)
  shelf.say(("made small in %s: %s"):format(Progress.duration(run.seconds), run.metrics))
  shelf:offer(small, 2, true)
  return run
end

-- Compresses `clip` into `path` as `o`, the options of the command line, asks; see compress.file.
-- Returns the file: bytes, bpp, sections, psnr, psnr_8bit, ms_ssim, seconds, and its model; nil and
-- a message when what was asked for could not be had.
function rate.file(path, clip, o, say)
  local began, goal = native.time(), goal_of(clip, o)
  local plan = settle(o, clip, goal)
  local shelf = open_shelf(path, clip, goal, o, say)
  native.seed(o.seed)
  local model, warm = build(plan.settings, clip), o.start ~= nil and plan.attempt == 1
  if warm then model:load_state_dict(o.start.parameters) end
  say(model:summary())
  local fitted = fit(model, clip, o, plan, shelf)
  -- A network too small for the quality asked for is doubled.
  while may_grow(o, goal) and plan.attempt < 5 and fitted.metrics.psnr_8bit < goal.psnr
    and seconds_left(goal) > 2 * fitted.seconds do
    local params = 2 * (plan.settings.params or model:stored_parameters())
    plan.attempt, warm = plan.attempt + 1, false
    plan.settings = require("lunerv.compress").model_options(o)
    plan.settings.kind, plan.settings.params = o.model, params
    native.seed(o.seed)
    model = build(plan.settings, clip)
    write_json(o.out .. "/plan.json", plan)
    say(("%.2f dB are not enough; again with %s"):format(fitted.metrics.psnr_8bit,
      model:summary()))
    fitted = fit(model, clip, o, plan, shelf)
  end
  make_small(model, clip, o, plan, shelf)

  local file = shelf.best
  if not file then
    return nil, ("no file of at most %d bytes came of this model; ask for a smaller one, "
      .. "or for more bytes"):format(goal.bytes)
  end
  if goal.psnr and file.psnr_8bit < goal.psnr then
    say(("note: %.2f dB were asked for, this is the best that was found"):format(goal.psnr))
  end
  if goal.bytes and not goal.psnr and file.size < 0.97 * goal.bytes then
    say(("note: %d bytes were allowed, the model has no use for more"):format(goal.bytes))
  end
  file.seconds, file.path = native.time() - began, path
  file.model, file.warm = model, warm
  return setmetatable(file, codec.File)
end

return rate
