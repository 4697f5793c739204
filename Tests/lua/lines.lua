-- What tests of training train: a few frames in memory, and a model that changes with time in a
-- straight line.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local tiny <const> = require "tiny"

local equal <const> = harness.equal

local lines <const> = {}

local height <const>, width <const>, count <const> = 12, 16, 5

-- Frames of noise in memory, as a clip.
local function frames_in_memory()
  lv.seed(11)
  local clip = { height = height, width = width, images = {} }
  for i = 1, count do clip.images[i] = lv.rand(1, 3, height, width) end
  function clip:sample(i) return { image = self.images[i], t = i / count, index = i } end
  function clip:prefetch() end
  return setmetatable(clip, { __len = function() return count end })
end
local clip <const> = frames_in_memory()

-- An image that changes with time in a straight line; it makes batches, and windows of a frame.
local Line <const> = lv.nn.class "Line"
Line.takes_batches = true

function Line:init()
  lv.seed(5)
  self.image = lv.nn.parameter(lv.rand(1, 3, height, width))
  self.slope = lv.nn.parameter(lv.rand(1, 3, height, width))
end

function lines.at(self, t, window)
  local y = self.image + self.slope * t
  if not window then return y end
  return y:slice(3, window[1], window[1] + window[3] - 1)
    :slice(4, window[2], window[2] + window[4] - 1)
end

function Line:reconstruct(frame)
  if type(frame.t) == "number" then return lines.at(self, frame.t, frame.window) end
  local parts = {}
  for i, t in ipairs(frame.t) do
    parts[i] = lines.at(self, t, frame.window and frame.window[i])
  end
  return lv.cat(parts, 1)
end

-- Trains a fresh model, until the error of step `stop_at` if it is given; returns the run or false,
-- the losses by step, and the error.
function lines.train(given)
  local losses, o = {}, lv.options({ clip = clip, loss = "l2", lr = 0.01 }, {}, {
    "clip", "loss", "lr" })
  for name, value in pairs(given) do o[name] = value end
  if not o.steps then o.epochs = o.epochs or 4 end
  o.model, o.stop_at = o.model or Line(), nil
  function o.on_step(e)
    losses[e.step] = e.loss
    if e.step == given.stop_at then error("stopped on purpose", 0) end
  end
  local ok, run = pcall(lv.train, o)
  return ok and run, losses, run
end

-- A run with these options, stopped after each of these steps and resumed, is the whole run.
function lines.resumes(given, stops)
  local folder <close> = harness.folder()
  local function of(more)
    local o = {}
    for name, value in pairs(given) do o[name] = value end
    for name, value in pairs(more) do o[name] = value end
    return lines.train(o)
  end
  local whole, expected, problem = of { out = folder.path .. "/whole" }
  assert(whole, problem)
  for _, stop_at in ipairs(stops) do
    local out = ("%s/%d"):format(folder.path, stop_at)
    local stopped, _, message = of { out = out, stop_at = stop_at }
    equal(stopped, false)
    assert(tostring(message):find("on purpose", 1, true), message)
    local resumed, losses, reason = of { out = out, resume = true }
    assert(resumed, reason)
    for step = stop_at + 1, whole.steps do equal(losses[step], expected[step]) end
    equal(losses[stop_at], nil)
    equal(tiny.values(resumed.model), tiny.values(whole.model))
    equal({ resumed.steps, resumed.metrics.psnr, resumed.best }, { whole.steps,
      whole.metrics.psnr, whole.best })
  end
  return whole
end

lines.clip, lines.Line = clip, Line
lines.height, lines.width, lines.count = height, width, count

return lines
