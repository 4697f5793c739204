-- One training of `scripts/soak`: CLIP OUT PLAN THREADS EPOCHS. It resumes after a stop. Every loss
-- is written to OUT.losses immediately, to the last bit.
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
  echo = function()
    return training(out, { model = require "echo"(clip.height, clip.width, 3), guard = true,
      optimiser = "sgd", lr = 0.05, loss = "l1", ema = 0.8, eval_every = 3, keep_best = true })
  end,
  patches = function()
    -- A network of coordinates: it computes only the window.
    local net = lv.nn.MLP({ 3, 24, 3 }, { act = "sin" })
    local Places = lv.nn.class "Places"
    function Places:init() self.net = net end
    function Places:reconstruct(frame)
      local w = frame.window or { 1, 1, clip.height, clip.width }
      local ys = lv.arange(w[1], w[1] + w[3] - 1) / clip.height
      local xs = lv.arange(w[2], w[2] + w[4] - 1) / clip.width
      local rows, columns = lv.meshgrid({ ys, xs })
      local t = lv.full(frame.t, w[3], w[4])
      local x = self.net(lv.stack({ rows, columns, t }, 3):view(w[3] * w[4], 3))
      return x:transpose(1, 2):reshape(1, 3, w[3], w[4])
    end
    return training(out, { model = Places(), patch = { 8, 12 }, loss = "l2",
      schedule = lv.schedule.cosine_restarts { cycles = 3 } })
  end,
  small = function()
    local model = hnerv "hnerv"
    training(out .. "/fit", { model = model })
    return training(out .. "/small", { model = lv.compress.cem(model, { clip = clip }) })
  end,
}

plans[plan]()
