-- lunerv bench: how fast this machine trains and decodes, beside PyTorch in the same run. Figures
-- drift with load and temperature: what counts are the ratios within one run.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local loss <const> = require "lunerv.loss"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local options <const> = require "lunerv.options"
local kernels <const> = require "lunerv.bench.kernels"
local Progress <const> = require "lunerv.progress"
local torch <const> = require "lunerv.bench.torch"

local bench <const> = {}

-- The published 1.5M models at 720p, and proportionally smaller ones: as SIZES in
-- scripts/bench/torch_bench.py. `steps` and `torch_steps` are timed unless told otherwise; each
-- kind has its parameters in millions, and how many GFLOP one forward pass takes.
bench.sizes = {
  ["180p"] = {
    height = 180, width = 320, strides = { 5, 2, 2 }, enc_dim = { 64, 8 },
    steps = 20, torch_steps = 10,
    kinds = {
      hnerv_boost = { 0.35, 6.3 }, nerv_boost = { 0.2, 1.0 }, enerv_boost = { 0.3, 1.5 },
      hnerv = { 0.4, 4.1 }, nerv = { 0.4, 0.2 }, enerv = { 0.4, 0.6 },
    },
  },
  ["360p"] = {
    height = 360, width = 640, strides = { 5, 2, 2, 2 }, enc_dim = { 64, 16 },
    steps = 10, torch_steps = 6,
    kinds = {
      hnerv_boost = { 0.7, 30 }, nerv_boost = { 0.4, 4.7 }, enerv_boost = { 0.6, 7.8 },
      hnerv = { 0.8, 20.4 }, nerv = { 0.8, 1.0 }, enerv = { 0.8, 3.2 },
    },
  },
  ["720p"] = {
    height = 720, width = 1280, strides = { 5, 2, 2, 2, 2 }, enc_dim = { 64, 16 },
    steps = 5, torch_steps = 3,
    kinds = {
      hnerv_boost = { 1.275, 194 }, nerv_boost = { 0.8, 19.3 }, enerv_boost = { 1.25, 37.5 },
      hnerv = { 1.525, 130 }, nerv = { 1.5, 3.9 }, enerv = { 1.5, 13 },
    },
  },
}

local frames <const> = 132 -- of the clip the sizes are for
local modes <const> = { "decode", "kernels", "train" }

-- Options -----------------------------------------------------------------------------------

local function usage_error(message, ...) bridge.fail("usage", message:format(...)) end

local function choose(what, value, known)
  for _, name in ipairs(known) do
    if name == value then return end
  end
  usage_error("unknown %s '%s' (known: %s)", what, value, errors.list(known))
end

local function whole(name, value, most)
  if value and (math.type(value) ~= "integer" or value < 1 or value > most) then
    usage_error("--%s: an integer from 1 to %d expected, got %s", name, most, value)
  end
end

-- `given` completed and checked; sets the number of threads.
local function settle(given)
  local o = options(given, {
    mode = "train", model = options.default "model", size = "720p", torch = true,
    compiled = false, python = "python3", json = false,
  }, { "steps", "threads", "scripts" })
  local sizes = {}
  for name in pairs(bench.sizes) do sizes[#sizes + 1] = name end
  choose("mode", o.mode, modes)
  choose("model", o.model, options.kinds)
  choose("size", o.size, sizes)
  whole("steps", o.steps, 1000000)
  whole("threads", o.threads, 256)
  if o.threads then native.set_threads(o.threads) end
  o.threads = native.threads()
  o.geometry, o.warmup = bench.sizes[o.size], 2
  o.torch_steps = o.steps or o.geometry.torch_steps
  o.steps = o.steps or o.geometry.steps
  return o
end

-- Ours --------------------------------------------------------------------------------------

function bench.median(list)
  if #list == 0 then return nil end
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  if #sorted % 2 == 1 then return sorted[middle + 1] end
  return (sorted[middle] + sorted[middle + 1]) / 2
end

-- The model of this size, and a random frame: { image, t, index }.
local function build(o)
  native.seed(1)
  local size, settings = o.geometry, {}
  local wanted = {
    size = (size.kinds[o.model] or {})[1], strides = size.strides, enc_dim = size.enc_dim,
  }
  for _, name in ipairs(options.model_names(o.model)) do settings[name] = wanted[name] end
  settings.height, settings.width, settings.frames = size.height, size.width, frames
  local image = native.rand(1, 3, size.height, size.width)
  return models[o.model](settings), { image = image, t = 1 / frames, index = 1 }
end

-- The frame's reconstruction; `lap(phase)` is called when a part of it is there.
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

-- A function that does one step, as lv.train does it.
local function trainer(o, model, frame)
  local rate = options.default("lr", o.model)
  local make = optim.by_name(options.default("optimiser", o.model))
  local optimiser = make(model:parameters(), { lr = rate })
  local loss_of = loss.by_name(options.default("loss", o.model))
  return function(lap)
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

-- A function that decodes one frame from its ready embedding.
local function decoder(model, frame)
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

-- Does `untimed` steps, then `count` whose seconds, faults and phases go to `record`.
local function measure(record, step, untimed, count, progress)
  for i = 1, untimed + count do
    progress:show(("lunerv: step %d of %d"):format(i, untimed + count))
    local faults, began = native.stats().minor_faults, native.time()
    local last = began
    step(function(phase)
      local now = native.time()
      local list = record.phases[phase] or {}
      if i > untimed then list[#list + 1] = now - last end
      record.phases[phase], last = list, now
    end)
    if i > untimed then
      record.seconds[#record.seconds + 1] = last - began
      record.faults[#record.faults + 1] = native.stats().minor_faults - faults
    end
  end
end

-- Results -----------------------------------------------------------------------------------

local null <const> = native.json_null

-- What `--json` prints, from our figures and PyTorch's answers. Times are seconds per step, null
-- where there is none; ratios are PyTorch's time over ours.
function bench.summary(o, ours, answers)
  local theirs = { skipped = {}, peak_rss_bytes = {} }
  local best
  for _, answer in ipairs(answers) do
    local result = answer.result
    theirs[answer.name] = result and result.seconds_per_step or null
    theirs.skipped[answer.name] = answer.reason
    if result then
      theirs.peak_rss_bytes[answer.name] = result.peak_rss_bytes
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

local function row(name, seconds, ratio, bytes)
  return ("  %-18s %9.4g %9.2f %9.2f"):format(name, seconds, ratio, bytes / 1e9)
end

local phase_order <const> = { "encode", "decode", "loss", "backward", "optimiser" }

-- A summary as people read it.
function bench.text(summary)
  local ours, theirs = summary.lunerv, summary.torch
  local lines = {
    ("%s at %s, %d parameters, %d threads: %s"):format(summary.model, summary.size,
      ours.parameters, summary.threads,
      summary.mode == "train" and "training, one frame a step" or "decoding one frame"),
    "                      seconds     times    memory",
    "                       a step    lunerv        GB",
    row("lunerv", ours.seconds_per_step, 1, ours.peak_rss_bytes),
  }
  for _, name in ipairs(torch.variants) do
    local label = "PyTorch " .. name
    if name == "jemalloc" and theirs.allocator == "glibc_retain" then label = "PyTorch glibc*" end
    if type(theirs[name]) == "number" then
      lines[#lines + 1] = row(label, theirs[name], theirs[name] / ours.seconds_per_step,
        theirs.peak_rss_bytes[name])
    else
      lines[#lines + 1] = ("  %-18s skipped: %s"):format(label, theirs.skipped[name])
    end
  end
  if theirs.allocator == "glibc_retain" then
    lines[#lines + 1] = "  * jemalloc is not installed: glibc told to keep freed pages"
  end
  local phases = {}
  for _, name in ipairs(phase_order) do
    local seconds = ours.phases[name]
    if seconds then phases[#phases + 1] = ("%s %.4g s"):format(name, seconds) end
  end
  lines[#lines + 1] = ("of lunerv's step: %s; %d page faults"):format(
    table.concat(phases, ", "), ours.page_faults_per_step // 1)
  lines[#lines + 1] = "Times drift with load and temperature; the ratios are of this run."
  return table.concat(lines, "\n")
end

-- How long it will take: the share of the multiply-add roof that each side usually reaches, and
-- what starting PyTorch and compiling cost.
local shares <const> = { lunerv = 0.3, eager = 0.13, jemalloc = 0.25, compiled = 0.15 }

function bench.expected_seconds(o, roof)
  local gflop = (o.geometry.kinds[o.model] or { 0, 194 })[2]
  if o.mode == "kernels" then return 30 + 4 * gflop / (shares.lunerv * roof) end
  local work = (o.mode == "train" and 3 or 1) * gflop / roof
  local seconds = (o.warmup + 1 + o.steps) * work / shares.lunerv
  if o.torch then
    local steps = o.warmup + o.torch_steps
    for _, name in ipairs { "eager", "jemalloc", o.compiled and "compiled" or nil } do
      seconds = seconds + 6 + steps * work / shares[name]
    end
    if o.compiled then seconds = seconds + 180 end
  end
  return seconds
end

-- Steps, ours and PyTorch's -----------------------------------------------------------------

local function compare(o, progress)
  local model, frame = build(o)
  local step = o.mode == "train" and trainer(o, model, frame) or decoder(model, frame)
  local first = o.torch and (o.steps + 1) // 2 or o.steps
  local record = { seconds = {}, faults = {}, phases = {} }
  measure(record, step, o.warmup, first, progress)
  local ours = {
    parameters = model:parameter_count(), fc_dim = model.config and model.config.fc_dim,
    peak_rss_bytes = native.stats().peak_rss_bytes,
  }
  local answers = torch.ask_all(o, ours, function(text) progress:show(text) end)
  -- The second half after PyTorch: what drifts meanwhile meets both sides.
  if o.steps > first then measure(record, step, 1, o.steps - first, progress) end

  ours.seconds, ours.steps = record.seconds, o.steps
  ours.seconds_per_step = bench.median(record.seconds)
  ours.page_faults_per_step = bench.median(record.faults)
  ours.phases = {}
  for name, list in pairs(record.phases) do ours.phases[name] = bench.median(list) end
  return bench.summary(o, ours, answers)
end

local function time_kernels(o, progress)
  local model, frame = build(o)
  local result = kernels.measure(function() reconstruct(model, frame, function() end) end,
    function(text) progress:show(text) end)
  result.mode, result.model, result.size, result.threads = o.mode, o.model, o.size, o.threads
  return result
end

-- bench.run { mode = "train" | "decode" | "kernels", model = "hnerv_boost", size = "720p", … }:
-- measures, and returns plain data (`bench.summary`, or for kernels what `kernels.text`
-- reads). Further options:
--   steps     timed steps, on both sides (lunerv 20, 10, 5 by size, PyTorch 10, 6, 3)
--   threads   for both sides; stays set
--   torch     false: without PyTorch; `compiled`: PyTorch compiled as well
--   scripts   the folder of torch_bench.py; `python`: the interpreter (python3)
-- `announce(seconds, roof)` is called with the expected duration before it starts.
function bench.run(given, announce)
  local o, progress = settle(given), Progress.new()
  local roof = native.fma_roof()
  if announce then announce(bench.expected_seconds(o, roof), roof) end
  local measured = o.mode == "kernels" and time_kernels or compare
  local result = bridge.finally(measured, function() progress:clear() end, o, progress)
  progress:clear()
  return result
end

-- What `lunerv bench` does.
function bench.main(given)
  local result = bench.run(given, function(seconds, roof)
    local text = ("this takes about %s; the multiply-add roof is %.0f GFLOP/s\n"):format(
      Progress.duration(seconds), roof)
    if not given.json then
      io.write(text):flush()
    elseif native.is_tty "stderr" then
      native.stderr(text)
    end
  end)
  if given.json then
    print(native.json_encode(result))
  else
    print(result.kernels and kernels.text(result) or bench.text(result))
  end
end

return bench
