-- lunerv run scripts/examples/field/encode.lua CLIP OUT.lnv --codec NAME --minutes 5 --bpp 0.1:
-- fits a codec of this folder to a clip, compresses it, and writes a file that contains its
-- decoder: `lunerv decompress OUT.lnv -o OUT.mkv` needs only the file.
--
-- A codec is a module that returns a class, the decoder, called with the time. Optional fields:
--   for_clip(clip, parameters)  the model for a clip, with at most that many parameters; default:
--            Codec(height, width, frames, { width = … }), as wide as possible
--   bits     stored bits per parameter, which determine the number of parameters (3.3)
--   grids    a pattern: parameters of such names are each used by few frames, and trained by Adam
--   options  options of lv.train: loss, patch, lr, …
--   cem      options of lv.compress.cem: lambda, families, …
-- Modules next to it, which a file's decoder does not need:
--   NAME_model    the probability model of the weights, which is stored in the file separately
--   NAME_encoder  a function (clip, o) that returns the object for lv.codec.write, for a codec
--            with its own training; o has bytes, bpp, deadline and seed, and the functions say,
--            build(parameters) and clocked(model, stop, given): options of lv.train until a time
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "encode_field",
  usage = "lunerv run scripts/examples/field/encode.lua CLIP OUT.lnv --codec NAME [options]",
  about = "Fits a codec written in Lua to a clip, and writes a file that contains its decoder.",
  positional = { "clip", "output" }, required = { "codec" }, any_model = true,
})
if not o then return end
local began <const> = lv.time()
local deadline <const> = began + 60 * o.minutes
package.path = (arg[0]:match "^(.*/)" or "") .. "?.lua;" .. package.path
if not package.searchpath(o.codec, package.path) then
  io.stderr:write(("--codec: expected a module next to the script, got '%s'\n"):format(o.codec))
  os.exit(2)
end
local Codec <const> = require(o.codec)
local training <const> = require "training"
local function sibling(name)
  return package.searchpath(o.codec .. name, package.path) and require(o.codec .. name)
end
local encoder <const>, probabilities <const> = sibling "_encoder", sibling "_model"
if o.threads then lv.set_threads(o.threads) end
lv.seed(o.seed)
local native <const> = require "lunerv.native"
local sources <const> = require "lunerv.sources"
-- A wrong path is reported before the minutes are spent.
sources.keep(o.output, o.clip)
assert(native.check_writable(o.output))
local clip <close> = assert(lv.video.open_for(o, o.output))
local bytes <const> = o.bpp * #clip * clip.height * clip.width // 8 | 0
local function say(...) if not o.json then print(...) end end

local function clocked(model, stop, given)
  return training.clocked(Codec, model, stop, training.with(
    { clip = clip, seed = o.seed, label = o.codec }, given))
end

-- The widest model with at most this many parameters.
local function build(parameters)
  local function of(width)
    lv.seed(o.seed)
    return Codec(clip.height, clip.width, #clip, { width = width })
  end
  if Codec.for_clip then return Codec.for_clip(clip, parameters) end
  local low, high = 4, 512
  while high - low > 1 do
    local middle = (low + high) // 2
    local fits = of(middle):parameter_count() <= parameters
    low, high = fits and middle or low, fits and high or middle
  end
  return of(low)
end

-- Seconds per step, and for the end: the file is decoded by a process and here, and compared.
local function seconds_of(model)
  local step = math.huge
  lv.train(clocked(model, math.huge, { steps = 6, on_step = function(e)
    step = math.min(step, e.seconds)
  end }))
  local start = lv.time()
  lv.metrics.evaluate(model, clip, nil, { 1, #clip })
  return 1.1 * step, 1 + 0.75 * #clip * (lv.time() - start)
end

-- A model for the byte budget, the time when its training ends, and the bits per parameter. After
-- few passes each parameter takes more bits, so the budget allows fewer of them, which in turn
-- makes a step faster.
local function sized()
  local bits, step, ending, passes = Codec.bits or 3.3, nil, nil, nil
  for _ = 1, 2 do
    step, ending = seconds_of(build(8 * bytes // bits))
    passes = math.max((deadline - lv.time() - ending) / (step * #clip), 1)
    bits = (Codec.bits or 3.3) * math.sqrt(math.max(24 / passes, 1))
  end
  local model = build(8 * bytes // bits)
  say(("%s, %d parameters, %.0f ms per step, about %.0f passes"):format(Codec.class_name,
    model:parameter_count(), 1000 * step, passes))
  return model, deadline - ending, bits
end

local function size_of(object)
  return #lv.codec.encode(object, { clip = clip, model = probabilities })
end

-- Fits a model, then continues with rounded parameters and their bits priced.
local function fit()
  local model, stop, bits = sized()
  local run = lv.train(clocked(model, lv.time() + 0.06 * (stop - lv.time())))
  say(("fitted in %.0f s, %d steps: %s"):format(run.seconds, run.steps, run.metrics))

  local small = lv.compress.cem(model, training.with({ clip = clip, target_bpp = o.bpp,
    lambda = 0.5, rate_every = 4, steerable = true }, Codec.cem))
  small.probes, small.pace = 8, 5
  small:steer(math.min(1, (4 / bits) ^ 4))
  -- The size of a file shows how far off the estimate is.
  local function on_epoch(e)
    if e.epoch % 2 == 0 then small:aim(0.99 * bytes / size_of(small) * small:estimated_bpp()) end
  end
  run = lv.train(clocked(small, stop, { on_epoch = on_epoch }))
  say(("compressed in %.0f s, %d steps: %s"):format(run.seconds, run.steps, run.metrics))
  return small, run
end

-- The object for lv.codec.write whose file fits: rate-aware rounding of the weights, at increasing
-- strength until it fits, then larger step sizes.
local function fitting(small)
  local stored = small:stored(clip)
  local object = { stored = function() return stored end }
  if not stored.rounding then return object end -- its encoder has met the budget
  for k = 1, 30 do
    if size_of(object) <= bytes then break end
    if k <= 6 and stored.rounding then
      stored.rdo = 0.05 * 2 ^ k
    else
      for i, step in ipairs(stored.steps) do stored.steps[i] = step * 1.1 end
    end
  end
  return object
end

local small <const>, run <const> = (encoder or fit)(clip, { bytes = bytes, bpp = o.bpp,
  deadline = deadline, seed = o.seed, say = say, build = build, clocked = clocked })
local file <const> = assert(lv.codec.write(o.output, fitting(small),
  { clip = clip, model = probabilities }))
local seconds <const> = lv.time() - began
if o.json then
  print(lv.json.encode { codec = o.codec, psnr = file.psnr, psnr_8bit = file.psnr_8bit,
    ms_ssim = file.ms_ssim, bytes = file.bytes, bpp = file.bpp, seconds = seconds, seed = o.seed,
    steps = run and run.steps, sections = file.sections })
end
say(("%s: %.2f dB, %d bytes, %.4f bpp, %.0f s"):format(o.codec, file.psnr_8bit, file.bytes,
  file.bpp, seconds))
