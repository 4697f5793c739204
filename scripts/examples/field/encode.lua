-- lunerv run scripts/examples/field/encode.lua CLIP OUT.lnv --codec NAME --minutes 5 --bpp 0.1:
-- fits a codec of this folder to a clip, makes it small, and writes a file that brings its decoder
-- along: `lunerv decompress OUT.lnv -o OUT.mkv` needs no more than the file.
--
-- A codec is a module that returns a class, the decoder, called with the time; of its fields the
-- driver reads
--   for_clip(clip, parameters)  the model for a clip, of at most so many parameters; without it
--               Codec(height, width, frames, { width = … }), the widest that has no more
--   bits        what a file has for each parameter, which decides how many there are (3.3)
--   options     options of lv.train: loss, patch, lr, …
--   cem         options of lv.compress.cem: lambda, families, …
--   grids       a pattern: parameters of such names are seen by few frames each, and left to Adam
--   model       a probability model of the weights, which a module returns
--   encode(clip, o)  everything up to the object for lv.codec.write, in place of the two stages
--                    below; o = { bytes, bpp, minutes, deadline, seed, say, optimiser, clocked }
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "encode_field",
  usage = "lunerv run scripts/examples/field/encode.lua CLIP OUT.lnv --codec NAME [options]",
  about = "Fits a codec written in Lua to a clip and writes a file that carries its decoder.",
  positional = { "clip", "output" }, required = { "codec" }, any_model = true,
})
if not o then return end

local began <const> = lv.time()
local deadline <const> = began + 60 * o.minutes
package.path = (arg[0]:match "^(.*/)" or "") .. "?.lua;" .. package.path
local Codec <const> = require(o.codec)

if o.threads then lv.set_threads(o.threads) end
lv.seed(o.seed)
local clip <close> = assert(lv.video.open_for(o, o.output))
local pixels <const> = #clip * clip.height * clip.width
local bytes <const> = math.floor(o.bpp * pixels / 8)
local function say(...) if not o.json then print(...) end end

-- Training by the clock ------------------------------------------------------------------------

-- Muon for matrices, Adam for grids and for the quantisers' steps, Adan for the rest.
local function optimiser(model, given)
  local lists = { matrices = {}, grids = {}, steps = {}, others = {} }
  for name, parameter in model:named_parameters() do
    local kind = name:match "^quantisers%." and "steps"
      or Codec.grids and name:match(Codec.grids) and "grids"
      or lv.optim.is_matrix(parameter) and "matrices" or "others"
    table.insert(lists[kind], parameter)
  end
  local groups = {}
  local function add(group) if #group.params > 0 then groups[#groups + 1] = group end end
  add { params = lists.matrices, optimiser = "muon", lr = given.lr, momentum = 0.97 }
  add { params = lists.grids, optimiser = "adam", lr = 0.5 * given.lr, beta2 = 0.99 }
  add { params = lists.others, optimiser = "adan", lr = 0.2 * given.lr }
  add { params = lists.steps, optimiser = "adam", lr = 0.025 * given.lr }
  return lv.optim.Muon(groups)
end

-- Options of lv.train for `model` that end at the time `stop`: the learning rate falls in a
-- straight line, and what changes in the course of a training goes by the clock too.
local function clocked(model, stop, given)
  local start, last = lv.time(), 0
  local function share() return math.min((lv.time() - start) / (stop - start), 1) end
  function model.progress()
    local now, before = share(), last
    last = now
    return now, now - before
  end
  local training = { model = model, clip = clip, steps = 1 << 30, optimiser = optimiser,
    guard = true, order = "spread", seed = o.seed, label = o.codec, lr = 0.01,
    schedule = function(step, _, lr) return lr * math.min(step / 50, 1 - share() + 1e-3) end,
    progress = function(_, steps) return (steps - 1) * share() end,
    on_step = function() if lv.time() > stop then return false end end,
    evaluate = function(trained, frames)
      return lv.metrics.evaluate(trained, frames, nil, lv.metrics.spread(#frames, 8))
    end,
  }
  for name, value in pairs(Codec.options or {}) do training[name] = value end
  for name, value in pairs(given or {}) do training[name] = value end
  return training
end

-- Fitting, then pricing bits -------------------------------------------------------------------

local function size_of(small) return #lv.codec.encode(small, { clip = clip, model = Codec.model }) end

-- What the end takes, with the file decoded here and there: by the time that one frame needs.
local function ending(model)
  local start = lv.time()
  lv.metrics.evaluate(model, clip, nil, { 1, #clip })
  return 1 + 1.5 * (lv.time() - start) * #clip / 2
end

local function build(parameters)
  if Codec.for_clip then return Codec.for_clip(clip, parameters) end
  local function of(width) return Codec(clip.height, clip.width, #clip, { width = width }) end
  local low, high = 4, 512
  while high - low > 1 do
    local middle = (low + high) // 2
    if of(middle):parameter_count() <= parameters then low = middle else high = middle end
  end
  lv.seed(o.seed)
  return of(low)
end

local function fit()
  local model = build(8 * bytes // (Codec.bits or 3.3))
  local stop = deadline - ending(model)
  say(("%s, %d parameters"):format(Codec.class_name, model:parameter_count()))
  local run = lv.train(clocked(model, lv.time() + 0.06 * (stop - lv.time())))
  say(("fitted in %.0f s, %d steps: %s"):format(run.seconds, run.steps, run.metrics))

  local given = { clip = clip, target_bpp = 8 * bytes / pixels, lambda = 0.5, rate_every = 4,
    steerable = true }
  for name, value in pairs(Codec.cem or {}) do given[name] = value end
  local small = lv.compress.cem(model, given)
  small.probes, small.pace = 8, 5
  local passes = 0
  run = lv.train(clocked(small, stop, { lr = 0.012, on_epoch = function()
    passes = passes + 1
    -- What a file takes says how far the estimate is off.
    if passes % 4 == 0 then small:aim(0.99 * bytes / size_of(small) * small:estimated_bpp()) end
  end }))
  say(("made small in %.0f s, %d steps: %s"):format(run.seconds, run.steps, run.metrics))
  return small, run
end

-- The object for lv.codec.write whose file fits: weights are rounded to what is worth its bits,
-- more strongly until it does, then to larger steps.
local function fitting(small)
  local stored = small:stored(clip)
  local object = { stored = function() return stored end }
  if not stored.rounding then return object end
  for _, strength in ipairs { 0.1, 0.2, 0.4, 0.8, 1.5, 3 } do
    if size_of(object) <= bytes then break end
    stored.rdo = strength
  end
  for _ = 1, 20 do
    if size_of(object) <= bytes then break end
    for i, step in ipairs(stored.steps) do stored.steps[i] = step * 1.1 end
  end
  return object
end

local small, run
if Codec.encode then
  small, run = Codec.encode(clip, { bytes = bytes, bpp = o.bpp, minutes = o.minutes, say = say,
    deadline = deadline, seed = o.seed, optimiser = optimiser, clocked = clocked })
else
  small, run = fit()
end
local file <const> = assert(lv.codec.write(o.output, fitting(small),
  { clip = clip, model = Codec.model }))
local seconds <const> = lv.time() - began
if o.json then
  print(lv.json.encode { codec = o.codec, bytes = file.bytes, bpp = file.bpp, psnr = file.psnr,
    psnr_8bit = file.psnr_8bit, ms_ssim = file.ms_ssim, seconds = seconds, seed = o.seed,
    steps = run and run.steps, sections = file.sections })
else
  print(("%s: %.2f dB, %d bytes, %.4f bpp, %.0f s"):format(o.codec, file.psnr_8bit, file.bytes,
    file.bpp, seconds))
end
