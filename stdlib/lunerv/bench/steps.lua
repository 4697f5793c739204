-- One case of `lunerv bench`: a training step, a decoded frame or a loss with its gradient, on
-- lunerv and PyTorch in turns.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local kernels <const> = require "lunerv.bench.kernels"
local loss <const> = require "lunerv.loss"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local options <const> = require "lunerv.options"
local scratch <const> = require "lunerv.scratch"
local torch <const> = require "lunerv.bench.torch"
local video <const> = require "lunerv.video"

local steps <const> = {}

local null <const> = native.json_null

steps.frames = 132 -- of the clip that the sizes are meant for

function steps.median(list)
  if #list == 0 then return nil end
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  if #sorted % 2 == 1 then return sorted[middle + 1] end
  return (sorted[middle] + sorted[middle + 1]) / 2
end

-- Ours --------------------------------------------------------------------------------------

local function random_image(o) return native.rand(1, 3, o.geometry.height, o.geometry.width) end

-- The model of this size, and a random frame: { image, t, index }.
function steps.build(o)
  native.seed(1)
  local size, settings = o.geometry, {}
  local wanted = {
    size = (size.kinds[o.model] or {})[1], strides = size.strides, enc_dim = size.enc_dim,
  }
  for _, name in ipairs(options.model_names(o.model)) do settings[name] = wanted[name] end
  settings.height, settings.width, settings.frames = size.height, size.width, steps.frames
  return models[o.model](settings), { image = random_image(o), t = 1 / steps.frames, index = 1 }
end

-- The frame's reconstruction; `lap(phase)` is called after each phase.
local function reconstruct(model, frame, lap)
  local output
  if model.encode then
    local embedding = model:encode(frame.image):evaluate()
    lap "encode"
    output = model:decode(embedding, frame.t):evaluate()
  else
    output = model:reconstruct(frame):evaluate()
  end
  lap "decode"
  return output
end

-- A clip of three random frames, as lv.train reads it: from a file, prefetching the next frame.
local function random_clip(o)
  local file = scratch.file ".mkv"
  local function remove() file:remove() end
  return bridge.on_error(function()
    local writer <close> = assert(native.open_writer(file.path,
      { width = o.geometry.width, height = o.geometry.height, fps = 25, format = "ffv1" }))
    for _ = 1, 3 do writer:write(random_image(o)) end
    writer:close()
    local clip = assert(video.open(file.path))
    remove()
    return clip
  end, remove)
end

local makers <const> = {}

-- A training step, as in lv.train.
function makers.train(o, model, frame)
  local rate = options.default("lr", o.model)
  local make = optim.by_name(options.default("optimiser", o.model))
  local optimiser = make(model:parameters(), { lr = rate })
  local loss_of = loss.by_name(options.default("loss", o.model))
  local clip, index = random_clip(o), 0
  return function(lap)
    index = index % #clip + 1
    frame.image = clip:frame(index)
    lap "frame"
    clip:prefetch(index % #clip + 1)
    local output = reconstruct(model, frame, lap)
    local value = loss_of(output, frame.image)
    local number = value:item()
    if number ~= number then errors.raise "the loss is not a number" end
    native.no_grad(native.mse_loss, output, frame.image):item()
    lap "loss"
    optimiser:zero_grad()
    value:backward()
    lap "backward"
    optimiser:step()
    lap "optimiser"
  end
end

-- One decoded frame from its embedding, without gradients.
function makers.decode(_, model, frame)
  local embedding = model.encode and native.no_grad(function()
    return model:encode(frame.image):evaluate()
  end)
  return function(lap)
    native.no_grad(function()
      local output = embedding and model:decode(embedding, frame.t) or model:reconstruct(frame)
      output:evaluate()
      lap "decode"
    end)
    native.step_boundary()
  end
end

-- The kind's loss for two images, and its gradient.
function makers.loss(o)
  local loss_of = loss.by_name(options.default("loss", o.model))
  local output, image = random_image(o), random_image(o)
  output.requires_grad = true
  return function(lap)
    output.grad = nil
    local value = loss_of(output, image):evaluate()
    lap "loss"
    value:backward()
    output.grad:evaluate()
    lap "backward"
    native.step_boundary()
  end
end

-- Nominal operations per value of a frame: differences, eleven taps either way over five maps in
-- each of five scales, a transform.
local loss_operations <const> = { l1 = 3, l2 = 3, l1_ssim = 230, boosted = 350 }

-- Operations per parameter, and the number of parameter-sized lists that are read or written.
local optimiser_work <const> = { adam = { 12, 7 }, adan = { 20, 11 } }

-- Operations and minimum memory traffic of each phase, for the roofline: counted for convolutions,
-- nominal for the rest.
local function work_of(o, model, frame)
  local work = {}
  native.no_grad(function()
    local embedding
    if model.encode then
      work.encode = kernels.work(function() embedding = model:encode(frame.image):evaluate() end)
    end
    work.decode = kernels.work(function()
      local output = embedding and model:decode(embedding, frame.t) or model:reconstruct(frame)
      output:evaluate()
    end)
  end)
  if o.mode == "decode" then
    work.encode = nil
    return work
  end
  local gflop, gbytes = 0, 0
  for _, part in pairs(work) do gflop, gbytes = gflop + part.gflop, gbytes + part.gbytes end
  local pixels, parameters = frame.image:numel(), model:parameter_count()
  local name = options.default("loss", o.model)
  work.loss = { gflop = 1e-9 * pixels * (loss_operations[name] or 3), gbytes = 8e-9 * pixels }
  work.backward = {
    gflop = 2 * (gflop + work.loss.gflop), gbytes = 2 * (gbytes + work.loss.gbytes),
  }
  local optimiser = optimiser_work[options.default("optimiser", o.model)] or optimiser_work.adam
  work.optimiser = {
    gflop = 1e-9 * parameters * optimiser[1], gbytes = 4e-9 * parameters * optimiser[2],
  }
  return work
end

local function subject_of(o)
  if o.mode == "loss" then return { step = makers.loss(o) } end
  local model, frame = steps.build(o)
  return {
    work = work_of(o, model, frame), step = makers[o.mode](o, model, frame),
    parameters = model:parameter_count(), fc_dim = model.config and model.config.fc_dim,
  }
end

-- Runs `untimed` steps, then `count` steps whose seconds, faults and phases go to `record`.
local function measure(record, step, untimed, count)
  for i = 1, untimed + count do
    local faults, interpreter = native.stats().minor_faults, native.interpreter_seconds()
    local began = native.time()
    local last = began
    step(function(phase)
      local now = native.time()
      local list = record.phases[phase] or {}
      if i > untimed then list[#list + 1] = now - last end
      record.phases[phase], last = list, now
    end)
    if i > untimed then
      local n = #record.seconds + 1
      record.seconds[n] = last - began
      record.faults[n] = native.stats().minor_faults - faults
      record.lua[n] = (native.interpreter_seconds() - interpreter) / (last - began)
    end
  end
end

-- Turns -------------------------------------------------------------------------------------

local function is_late(o) return o.deadline ~= nil and native.time() > o.deadline end

-- Runs PyTorch and `ours(count)` in turns; returns PyTorch's result, or nil and the reason.
local function take_turns(o, subject, peer, ours, show)
  local turns = math.min(o.torch_steps, 3)
  for turn = 1, turns do
    if turn > 1 and is_late(o) then break end
    show(("turn %d of %d"):format(turn, turns))
    ours(math.ceil(o.steps / (2 * turns)))
    local seconds, reason =
      peer:turn(o.torch_steps * turn // turns - o.torch_steps * (turn - 1) // turns)
    if not seconds then return nil, reason end
  end
  return peer:finish(subject)
end

-- The result of one variant of PyTorch: { name, result, reason }.
local function ask(o, subject, variant, ours, show)
  local answer = { name = variant }
  if is_late(o) then
    answer.reason = "no time left (--minutes)"
    return answer
  end
  show "starting"
  local peer, reason = torch.open(o, subject, variant)
  answer.reason = reason
  if not peer then return answer end
  local function close() peer:close() end
  answer.result, answer.reason =
    bridge.on_error(take_turns, close, o, subject, peer, ours, show)
  close()
  return answer
end

-- Measures a case: `o` as bench.run completes it; `show(text)` gets the progress. Returns
-- lunerv's figures and PyTorch's results.
function steps.compare(o, show)
  local subject = subject_of(o)
  local record = { seconds = {}, faults = {}, lua = {}, phases = {} }
  show "lunerv"
  measure(record, subject.step, o.warmup, 1)
  -- Peak memory of our own steps only: the other side has its own process.
  local answers = {}
  local function ours(count)
    -- After PyTorch's turn the caches are cold, which slows down short steps.
    measure(record, subject.step, record.seconds[1] < 0.3 and 1 or 0, count)
  end
  for i, variant in ipairs(torch.variants) do
    answers[i] = ask(o, subject, variant, ours, function(text)
      show(("PyTorch %s: %s"):format(variant, text))
    end)
  end
  if #record.seconds < o.steps and not is_late(o) then ours(o.steps - #record.seconds) end

  local result = {
    parameters = subject.parameters, fc_dim = subject.fc_dim, work = subject.work,
    peak_rss_bytes = native.stats().peak_rss_bytes, seconds = record.seconds,
    steps = #record.seconds, seconds_per_step = steps.median(record.seconds),
    page_faults_per_step = steps.median(record.faults), lua_share = steps.median(record.lua),
    phases = {},
  }
  for name, list in pairs(record.phases) do result.phases[name] = steps.median(list) end
  return result, answers
end

-- The `--json` output of a case, from our figures and PyTorch's results. Times are seconds per
-- step, null if missing; ratios are PyTorch's time over ours.
function steps.summary(o, ours, answers)
  local theirs = { skipped = {}, peak_rss_bytes = {} }
  local best
  for _, answer in ipairs(answers) do
    local result = answer.result
    theirs[answer.name] = result and result.seconds_per_step or null
    theirs.skipped[answer.name] = answer.reason or null
    theirs.peak_rss_bytes[answer.name] = result and result.peak_rss_bytes or null
    if result then
      theirs.version = result.torch_version
      if answer.name == "jemalloc" then theirs.allocator = result.allocator end
      best = math.min(best or math.huge, result.seconds_per_step)
    end
  end
  local function ratio(seconds)
    return type(seconds) == "number" and seconds / ours.seconds_per_step or null
  end
  return {
    mode = o.mode, model = o.model, size = o.size, threads = o.threads, lunerv = ours,
    torch = theirs, ratio_eager = ratio(theirs.eager), ratio_best = ratio(best),
  }
end

return steps
