-- lv.compress: ways to make a model small, each a model for lv.train and lv.codec.write.
local Progress <const> = require "lunerv.progress"
local codec <const> = require "lunerv.codec"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local train <const> = require "lunerv.train"

local compress <const> = {
  cem = require "lunerv.compress.cem",
  three_step = require "lunerv.compress.three_step",
}

local function chosen(o, names)
  local values = {}
  for _, name in ipairs(names) do values[name] = o[name] end
  return values
end

-- The values of `o` that are options of a model kind, of lv.train.
function compress.model_options(o) return chosen(o, options.model_names(o.model)) end
function compress.train_options(o) return chosen(o, options.train_names()) end

-- The published price of a bit belongs to the boosted loss, 60 times that of pixels alone: beside
-- the latter it would outweigh every distortion (HNeRV at 16 frames of 160×90: 15.1 dB with 0.05,
-- 23.8 dB with this, and as many bytes).
local lambdas <const> = { l2 = 5e-4, l1 = 8e-4 }

-- The steps that make a fitted model small by `o.method`: the model for lv.codec.write, and what
-- lv.train is told of it. `o` holds the options of the command line.
function compress.plan(model, o)
  local training = compress.train_options(o)
  training.epochs, training.lr, training.warmup = o.compress_epochs, o.compress_lr, 0
  -- By default what suits the method.
  training.optimiser, training.beta1 = o.compress_optimiser, nil
  if o.method == "three_step" then
    local small = compress.three_step(model, { bits = o.bits })
    -- Weights go in steps over the first half; the second heals.
    local steps = math.max(1, o.compress_epochs // 2)
    function training.on_epoch(e) small:prune(o.prune * math.min(1, e.epoch / steps)) end
    training.model = small
  else
    training.model = compress.cem(model, {
      bits = o.bits, target_bpp = o.target_bpp, lambda = o.lambda or lambdas[o.loss],
      channel = o.channel, predict = o.predict, rdo = o.rdo, steerable = o.steerable,
      families = o.families and o.families ~= "all" and { o.families } or nil,
    })
  end
  return training.model, training
end

-- Fits a model to `clip`, makes it small and writes the file `path`; `say` is told, line by line,
-- what is being done. `o` holds the options of the command line; checkpoints of both parts lie in
-- o.out, from which o.resume goes on. What o.bpp, o.bytes, o.psnr and o.minutes ask for is
-- compress/rate.lua's. Returns what lv.codec.write does, with `seconds`.
function compress.file(path, clip, o, say)
  local rate = require "lunerv.compress.rate"
  if rate.wanted(o) then return rate.file(path, clip, o, say) end
  local settings = compress.model_options(o)
  settings.clip = clip
  local model = models[o.model](settings)
  say(model:summary())
  native.make_dirs(o.out)

  local fitting = compress.train_options(o)
  fitting.model, fitting.clip, fitting.out = model, clip, o.out .. "/fit"
  local fitted = train(fitting)
  say(("fitted in %s: %s"):format(Progress.duration(fitted.seconds), fitted.metrics))

  local small, training = compress.plan(model, o)
  training.clip, training.out = clip, o.out .. "/small"
  local run = train(training)
  say(("made small in %s: %s"):format(Progress.duration(run.seconds), run.metrics))

  local file, message = codec.write(path, small, { clip = clip })
  if file then file.seconds = fitted.seconds + run.seconds end
  return file, message
end

return compress
