-- The parts that the scripts of the tasks share: regression, inpainting, interpolation, ablations.
--
-- A task describes the clip that a model is trained on, its evaluation, and the videos of the run:
--   clip      the clip for lv.train, or anything with its methods (lunerv.tasks.view makes some)
--   evaluate  the option of lv.train, if a plain comparison is not enough
--   facts     the facts that a resumed run must share with the one it continues
--   written   the number of frames to write (all frames of the source)
--   source    another input file, which no video may replace
--   panels    a function (frame, output) → images to show side by side
local Progress <const> = require "lunerv.progress"
local compress <const> = require "lunerv.compress"
local errors <const> = require "lunerv.errors"
local frames <const> = require "lunerv.report.frames"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local pages <const> = require "lunerv.report.write"
local sources <const> = require "lunerv.sources"
local train <const> = require "lunerv.train"
local video <const> = require "lunerv.video"

local tasks <const> = {
  interpolation = require "lunerv.tasks.interpolate",
  inpainting = require "lunerv.tasks.inpaint",
  ablate = require "lunerv.tasks.ablate",
  view = require "lunerv.tasks.view",
}

--- The task of regression: training on every frame of a clip as it is.
---
---     local run = lv.tasks.fit(clip, lv.tasks.regression(clip), o, print)
---
---@param clip lunerv.Clip  what is learned
---@return table  a task for tasks.fit
function tasks.regression(clip) return { name = "regression", clip = clip } end

local function both(frame, output) return { frame.image, output } end

-- Videos of a run -----------------------------------------------------------------------------

local Videos <const> = {}
Videos.__index = Videos

tasks.Videos = Videos

local takes_videos <const> = options.takes("tasks.videos", {
  { "frames", nil, "how many frames are written (all)", type = "integer" },
  { "panels", nil, "(frame, output) → images that stand side by side", type = "function" },
  { "name", "reconstruction.mkv", "name of the exact video" },
  { "source", nil, "another input file, which is not overwritten", type = "string" },
})

--- Opens the videos of a run: the reconstruction, and source and output side by side.
--- The reconstruction is exact; side_by_side.mp4 is lossy (.mkv if H.264 does not support the
--- size). The clip itself is never overwritten.
---
---     local videos = lv.tasks.videos("runs/a", clip)
---     for i = 1, #clip do videos:write(clip:sample(i), outputs[i]) end
---     videos:close()
---
---@param folder string  where they are written
---@param clip lunerv.Clip  whose size, rate and timestamps they have
---@param given? lunerv.tasks.videos.Options
---@return lunerv.tasks.Videos
function tasks.videos(folder, clip, given)
  given = takes_videos(given)
  for _, name in ipairs { given.name, "side_by_side.mp4", "side_by_side.mkv", "metrics.json",
    "run.json", "report.html" } do
    sources.keep(folder .. "/" .. name, clip.source, given.source)
  end
  local timestamps = clip.timestamps
  if timestamps and given.frames then
    timestamps = table.move(timestamps, 1, given.frames, 1, {})
  end
  return setmetatable({
    folder = folder, clip = clip, timestamps = timestamps, panels = given.panels or both,
    name = given.name,
  }, Videos)
end

-- A writer, and the number of its initial warnings: that the format is lossy.
local function open(self, name, width)
  local writer = errors.must(video.writer(self.folder .. "/" .. name, {
    width = width, height = self.clip.height, fps = self.clip.fps, timestamps = self.timestamps,
  }))
  return { writer = writer, printed = #writer.warnings }
end

local function finish(opened)
  opened.writer:close()
  video.print_warnings(opened.writer, opened.printed)
end

local function write(self, frame, output)
  local row = native.cat(self.panels(frame, output), 4)
  if not self.reconstruction then
    local width = row:size(4)
    self.reconstruction = open(self, self.name, self.clip.width)
    -- H.264 stores colours at half the resolution, so rows and columns must be even.
    local even = self.clip.height % 2 == 0 and width % 2 == 0
    self.side_by_side = open(self, even and "side_by_side.mp4" or "side_by_side.mkv", width)
  end
  self.reconstruction.writer:write(output)
  self.side_by_side.writer:write(row)
end

--- Adds one frame and its reconstruction to the videos.
--- If a video cannot be written, only `close` raises an error, so that a run keeps its results.
---
---     videos:write(frame, output)
---
---@param frame table  a sample of the clip: { image, t, index }
---@param output lunerv.Tensor  its reconstruction, (1, 3, height, width)
function Videos:write(frame, output)
  if self.problem then return end
  local ok, problem = errors.attempt(write, self, frame, output)
  if not ok then self.problem = problem end
end

--- Finishes the videos; an error if one could not be written.
---
---     videos:close()
function Videos:close()
  if self.problem then error(self.problem, 0) end
  if not self.reconstruction then return end
  finish(self.reconstruction)
  finish(self.side_by_side)
end

-- Runs ----------------------------------------------------------------------------------------

--- Opens the clip of a command line, and sets its threads and seed.
---
---     local clip <close> = lv.tasks.open(o)
---
---@param o table  what lv.options.parse returned
---@return lunerv.Clip
function tasks.open(o)
  if o.threads then native.set_threads(o.threads) end
  if o.deadline then native.set_rank_deadline(o.deadline) end
  native.seed(o.seed)
  return errors.must(video.open_for(o, o.out))
end

--- Trains the model of a command line on a task.
--- Checkpoints, metrics.json, TensorBoard events, videos and the page report.html are written to
--- o.out.
---
---     local run = lv.tasks.fit(clip, lv.tasks.inpainting(clip), o, print)
---     print(run.metrics)
---
---@param clip lunerv.Clip  the clip that the videos show
---@param task table  what regression, inpainting or interpolation returned, or one like it
---@param o table  what lv.options.parse returned
---@param say fun(line: string)  receives progress, line by line
---@return table  what lv.train returns
function tasks.fit(clip, task, o, say)
  local settings = compress.model_options(o, task.clip)
  settings.clip = task.clip
  local model = models[o.model](settings)
  say(model:summary())
  -- Of several ranks, the first one writes.
  local writes <const> = native.ranks() == 0
  if writes then native.work_folder(o.out) end -- only after all checks

  local training = compress.train_options(o, clip)
  local videos = writes and tasks.videos(o.out, clip, { frames = task.written,
    panels = task.panels, source = task.source })
  training.model, training.clip, training.evaluate = model, task.clip, task.evaluate
  training.facts.task = task.name ~= "regression" and task.name or nil
  for name, value in pairs(task.facts or {}) do training.facts[name] = value end
  -- Indices of frames are those of the whole clip; the model may have seen only some of them.
  local shown = frames.of(o.out, clip, task.source)
  training.frames = false
  training.on_frame = writes and function(frame, output)
    videos:write(frame, output)
    shown:add(frame.index, frame.original or frame.image, output)
  end or nil

  local steps_made = 0
  function training.on_step(e)
    steps_made = steps_made + 1
    if steps_made ~= 4 or e.step == e.steps then return end -- the first steps are slower
    say(("%.3g s per step: about %s for the %d steps left"):format(e.seconds_per_step,
      Progress.duration(e.seconds_per_step * (e.steps - e.step)), e.steps - e.step))
  end

  function training.on_epoch(e)
    if e.evaluation then say(("epoch %d: %s"):format(e.epoch, e.evaluation)) end
  end

  local run = train(training)
  if writes then videos:close() end
  say(("%d steps in %s: %s"):format(run.steps, Progress.duration(run.seconds), run.metrics))
  if writes then pages.next_to(o.out, o.out .. "/report.html") end
  return run
end

return errors.refuse_unknown(tasks, "lv.tasks")
