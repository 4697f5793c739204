-- One training of `scripts/soak`: CLIP OUT PLAN THREADS EPOCHS. It goes on where it was stopped.
-- Every loss is written to OUT.losses at once, to the last bit.
local lv <const> = require "lunerv"

local clip_path <const>, out <const>, plan <const> = arg[1], arg[2], arg[3]
local epochs <const> = math.tointeger(tonumber(arg[5]))
package.path = (arg[0]:match "^(.*)/" or ".") .. "/?.lua;" .. package.path

lv.set_threads(math.tointeger(tonumber(arg[4])))
lv.seed(3)
local clip <close> = assert(lv.video.open(clip_path))

local log <close> = assert(io.open(out .. ".losses", "a"))
log:setvbuf "no"

local function training(folder, given)
  given.clip, given.out, given.resume = clip, folder, true
  given.epochs, given.checkpoint_steps = given.epochs or epochs, given.checkpoint_steps or 5
  local name <const> = folder:match "[^/]*$"
  given.on_step = function(e)
    local line = ("%s %d %a\n"):format(name, e.step, e.loss)
    log:write(line)
    io.write(line)
    io.flush()
  end
  return lv.train(given)
end

local function hnerv(kind)
  local o = { clip = clip, fc_dim = 8, enc_dim = { 8, 4 }, strides = { 2, 2 } }
  if kind == "hnerv_boost" then o.ch_t, o.pe_levels = 4, 8 end
  return lv.models[kind](o)
end

local function of_time(kind)
  local o = { clip = clip, fc_dim = 8, strides = { 2, 2 }, pe_levels = 8 }
  if kind == "enerv" then o.block_dim = 16 else o.stem_dim = 16 end
  return lv.models[kind](o)
end

local plans <const> = {
  boost = function() return training(out, { model = hnerv "hnerv_boost" }) end,
  fast = function()
    return training(out, { model = hnerv "hnerv_boost", recipe = "fast", ema = 0.9 })
  end,
  batches = function()
    return training(out, { model = of_time "nerv", batch = 2, accumulate = 2, clip_grad = 1 })
  end,
  best = function()
    return training(out, { model = of_time "enerv", eval_every = 1, keep_best = true })
  end,
  soap = function()
    return training(out, { model = hnerv "hnerv", optimiser = "soap", guard = true,
      order = "spread" })
  end,
  own = function()
    local model = require "cells"(clip.height, clip.width, 6)
    model.body.weight:register_hook(function(g) return g * 0.5 end)
    return training(out, { model = model, optimiser = "adam", loss = "l2" })
  end,
  small = function()
    local model = hnerv "hnerv"
    training(out .. "/fit", { model = model })
    return training(out .. "/small", { model = lv.compress.cem(model, { clip = clip }) })
  end,
}

plans[plan]()
