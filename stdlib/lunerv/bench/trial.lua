-- One schedule of `lunerv bench --quality`, in a separate process: like scripts/regress.lua with
-- the same words, but without output folder, videos and unneeded figures. Prints a JSON object for
-- each pass, { pass, psnr } (the mean over its frames during training), and at the end { passes,
-- psnr, parameters, cpu_seconds } (the evaluation's mean over the frames; the time of all threads).
local compress <const> = require "lunerv.compress"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local train <const> = require "lunerv.train"
local video <const> = require "lunerv.video"

local trial <const> = {}

-- The options in `words`, a command line of scripts/regress.lua.
function trial.options(words)
  return options.parse(words, {
    command = "regress", usage = "CLIP [options]", about = "", positional = { "clip" },
  })
end

-- The model of these options for `clip`, as the recipe changes it.
function trial.model(o, clip)
  local settings = compress.model_options(o, clip)
  settings.clip = clip
  return models[o.model](settings)
end

-- PSNR alone, because the other side computes only that.
local function evaluate(model, clip)
  local sum = 0
  for index = 1, #clip do
    local frame = clip:sample(index)
    if index < #clip then clip:prefetch(index + 1) end
    sum = sum + native.no_grad(function()
      return metrics.psnr(metrics.reconstruct(model, frame), frame.image)
    end)
    native.step_boundary()
  end
  return { psnr = sum / #clip }
end

local function print_json(object)
  io.write(native.json_encode(object), "\n")
  io.stdout:flush()
end

function trial.run(words)
  local o = trial.options(words)
  native.set_threads(o.threads)
  native.seed(o.seed)
  local clip <close> = video.open_for(o, o.clip) or errors.data("%s: expected a video", o.clip)
  local training, sum, count = compress.train_options(o), 0, 0
  training.model, training.clip, training.evaluate = trial.model(o, clip), clip, evaluate
  training.label = ("%s, %d passes:"):format(o.recipe, o.epochs)
  function training.on_step(e) sum, count = sum + e.psnr, count + 1 end
  function training.on_epoch(e)
    print_json { pass = e.epoch, psnr = sum / count }
    sum, count = 0, 0
  end
  local run = train(training)
  print_json {
    passes = o.epochs, psnr = run.metrics.psnr, parameters = run.model:parameter_count(),
    cpu_seconds = os.clock(),
  }
end

return trial
