-- lunerv run scripts/regress.lua CLIP --out DIR …: fits a model to a clip, and shows how well.
local lv <const> = require "lunerv"
local Progress <const> = require "lunerv.progress"

local o <const> = lv.options.parse(arg, {
  command = "regress",
  usage = "lunerv run scripts/regress.lua CLIP --out DIR [options]",
  about = "Fits a model to a clip. Writes metrics.json, reconstruction.mkv (exact), a\n"
    .. "side-by-side video, TensorBoard events and checkpoints to DIR.",
  positional = { "clip" },
  required = { "out" },
})
if not o then return end

if o.threads then lv.set_threads(o.threads) end
lv.seed(o.seed)

local clip <close> = assert(lv.video.open_for(o, o.out))
local function chosen(names)
  local values = {}
  for _, name in ipairs(names) do values[name] = o[name] end
  return values
end

local settings <const> = chosen(lv.options.model_names(o.model))
settings.clip = clip
local model <const> = lv.models[o.model](settings)
print(clip)
print(model:summary())
lv.make_dirs(o.out) -- not before all that was asked for has proved possible

-- Opens a video of the clip's frame rate, `across` frames wide, or says why not.
local function writer(name, across)
  return lv.video.writer(o.out .. "/" .. name, {
    width = clip.width * across, height = clip.height, fps = clip.fps,
    timestamps = clip.timestamps,
  })
end

local reconstruction, side_by_side
local function write_videos(frame, output)
  if not reconstruction then
    reconstruction = assert(writer("reconstruction.mkv", 1))
    -- H.264 halves the rows of its colours.
    side_by_side = clip.height % 2 == 0 and writer("side_by_side.mp4", 2)
      or assert(writer("side_by_side.mkv", 2))
  end
  reconstruction:write(output)
  side_by_side:write(lv.video.side_by_side(frame.image, output))
end

local steps_made = 0
local training <const> = chosen(lv.options.train_names())
training.model, training.clip, training.on_frame = model, clip, write_videos

function training.on_step(e)
  steps_made = steps_made + 1
  if steps_made ~= 4 then return end -- the first ones say little
  print(("%.3g s a step: about %s for the %d steps left"):format(
    e.seconds_per_step, Progress.duration(e.seconds_per_step * (e.steps - e.step)),
    e.steps - e.step))
end

function training.on_epoch(e)
  if e.evaluation then print(("epoch %d: %s"):format(e.epoch, e.evaluation)) end
end

local run <const> = lv.train(training)
if reconstruction then
  reconstruction:close()
  side_by_side:close()
end
print(("%d steps in %s: %s"):format(run.steps, Progress.duration(run.seconds), run.metrics))
