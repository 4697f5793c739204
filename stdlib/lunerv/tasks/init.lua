-- lv.tasks: what the scripts of the tasks share. A task says which clip a model learns, how it is
-- judged and what is shown of it:
--   clip      what lv.train gets: anything like a clip (lunerv.tasks.view makes some)
--   evaluate  of lv.train, where a plain comparison will not do
--   facts     what a resumed run must share with the one it continues
--   written   how many frames are written: all of the source's, unless given
--   source    a file that was read besides the clip, which no video may replace
--   panels    a function (frame, output) → images that stand side by side
local Progress <const> = require "lunerv.progress"
local compress <const> = require "lunerv.compress"
local errors <const> = require "lunerv.errors"
local frames <const> = require "lunerv.report.frames"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local recipes <const> = require "lunerv.recipes"
local report <const> = require "lunerv.report"
local sources <const> = require "lunerv.sources"
local train <const> = require "lunerv.train"
local video <const> = require "lunerv.video"

local tasks <const> = {
  interpolation = require "lunerv.tasks.interpolate",
  inpainting = require "lunerv.tasks.inpaint",
  ablate = require "lunerv.tasks.ablate",
  view = require "lunerv.tasks.view",
}

-- Every frame of the clip, as it is.
function tasks.regression(clip) return { name = "regression", clip = clip } end

local function both(frame, output) return { frame.image, output } end

-- Videos of a run -----------------------------------------------------------------------------

local Videos <const> = {}
Videos.__index = Videos

-- Writes DIR/reconstruction.mkv (exact; `name` is another one) and DIR/side_by_side.mp4 (.mkv where
-- H.264 has no such size): videos(dir, clip, { frames =, panels =, name = }):write(frame, output).
-- Neither the clip nor `source`, another file that was read, is written over.
function tasks.videos(folder, clip, given)
  for _, name in ipairs { given.name or "reconstruction.mkv", "side_by_side.mp4",
    "side_by_side.mkv", "metrics.json", "run.json", "report.html" } do
    sources.keep(folder .. "/" .. name, clip.source, given.source)
  end
  local timestamps = clip.timestamps
  if timestamps and given.frames then
    timestamps = table.move(timestamps, 1, given.frames, 1, {})
  end
  return setmetatable({
    folder = folder, clip = clip, timestamps = timestamps, panels = given.panels or both,
    name = given.name or "reconstruction.mkv",
  }, Videos)
end

-- A writer, and how many warnings it has from the beginning: that the format is lossy.
local function open(self, name, width)
  local writer = errors.must(video.writer(self.folder .. "/" .. name, {
    width = width, height = self.clip.height, fps = self.clip.fps, timestamps = self.timestamps,
  }))
  return { writer = writer, known = #writer.warnings }
end

local function finish(opened)
  opened.writer:close()
  video.tell(opened.writer, opened.known)
end

local function write(self, frame, output)
  local beside = native.cat(self.panels(frame, output), 4)
  if not self.reconstruction then
    local width = beside:size(4)
    self.reconstruction = open(self, self.name, self.clip.width)
    -- H.264 halves the rows and columns of its colours.
    local even = self.clip.height % 2 == 0 and width % 2 == 0
    self.side_by_side = open(self, even and "side_by_side.mp4" or "side_by_side.mkv", width)
  end
  self.reconstruction.writer:write(output)
  self.side_by_side.writer:write(beside)
end

-- A video that cannot be written is told of by `close`: it must not take the run's results along.
function Videos:write(frame, output)
  if self.problem then return end
  local ok, problem = errors.attempt(write, self, frame, output)
  if not ok then self.problem = problem end
end

function Videos:close()
  if self.problem then error(self.problem, 0) end
  if not self.reconstruction then return end
  finish(self.reconstruction)
  finish(self.side_by_side)
end

-- Runs ----------------------------------------------------------------------------------------

-- Opens the clip of a command line, with its threads and seed set.
function tasks.open(o)
  if o.threads then native.set_threads(o.threads) end
  native.seed(o.seed)
  return errors.must(video.open_for(o, o.out))
end

-- Fits the model that a command line asks for to a task on `clip`; `o` holds the options, `say` is
-- told, line by line, what happens. Writes checkpoints, metrics.json, TensorBoard events, videos
-- and the page report.html to o.out; returns what lv.train does.
function tasks.fit(clip, task, o, say)
  local settings = recipes.settings(o.recipe, compress.model_options(o), o.model, task.clip)
  settings.clip = task.clip
  local model = models[o.model](settings)
  say(model:summary())
  native.work_folder(o.out) -- not before all that was asked for has proved possible

  local training = compress.train_options(o)
  local videos = tasks.videos(o.out, clip, { frames = task.written, panels = task.panels,
    source = task.source })
  training.model, training.clip, training.evaluate = model, task.clip, task.evaluate
  training.facts = { task = task.name ~= "regression" and task.name or nil }
  for name, value in pairs(task.facts or {}) do training.facts[name] = value end
  local shown = frames.of(o.out, clip, task.source)
  function training.on_frame(frame, output)
    videos:write(frame, output)
    shown:see(frame.index, frame.original or frame.image, output)
  end

  local steps_made = 0
  function training.on_step(e)
    steps_made = steps_made + 1
    if steps_made ~= 4 or e.step == e.steps then return end -- the first ones say little
    say(("%.3g s a step: about %s for the %d steps left"):format(e.seconds_per_step,
      Progress.duration(e.seconds_per_step * (e.steps - e.step)), e.steps - e.step))
  end

  function training.on_epoch(e)
    if e.evaluation then say(("epoch %d: %s"):format(e.epoch, e.evaluation)) end
  end

  local run = train(training)
  videos:close()
  say(("%d steps in %s: %s"):format(run.steps, Progress.duration(run.seconds), run.metrics))
  report.beside(o.out, o.out .. "/report.html")
  return run
end

return tasks
