-- Interpolation: frames 1, 3, 5, … are used for training, those between are predicted. For an
-- unseen frame, models with an encoder get the mean of the two neighbours' embeddings, and the
-- frame's own time.
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local view <const> = require "lunerv.tasks.view"

-- The model for frames between those of the training: `frame` may hold `neighbours`, the two
-- adjacent images.
local Between <const> = {}
Between.__index = Between

function Between:reconstruct(frame)
  local model, near = self.model, frame.neighbours
  if not near or not model.encode then return metrics.reconstruct(model, frame) end
  return model:decode((model:encode(near[1]) + model:encode(near[2])) / 2, frame.t)
end

-- Sums figures by name.
local function add(sums, quality)
  for name, value in pairs(quality) do sums[name] = (sums[name] or 0) + value end
  sums.count = (sums.count or 0) + 1
end

--- The task of training on every second frame, and predicting the frames between.
--- A clip with an even number of frames loses its last frame, which has only one neighbour. The
--- figures are those of the unseen frames; `psnr_seen`, `ms_ssim_seen` and `psnr_8bit_seen` are
--- those of the others.
---
---     local run = lv.tasks.fit(clip, lv.tasks.interpolation(clip), o, print)
---
---@param clip lunerv.Clip  three frames or more
---@return table  a task for tasks.fit
return function(clip)
  local count = #clip - (1 - #clip % 2)
  if count < 3 then
    errors.data("interpolation: expected a frame between two others, so 3 frames or more; the clip "
      .. "has %d", #clip)
  end
  local seen, all = {}, {}
  for i = 1, count do
    all[i] = i
    if i % 2 == 1 then seen[#seen + 1] = i end
  end
  local whole = view(clip, { indices = all, frames = count, sample = function(frame)
    local i = frame.index
    if i % 2 == 0 then frame.neighbours = { clip:frame(i - 1), clip:frame(i + 1) } end
  end })

  local function evaluate(model, _, on_frame)
    local sums = { seen = {}, unseen = {} }
    local between = setmetatable({ model = model }, Between)
    metrics.evaluate(between, whole, function(frame, output, quality)
      add(sums[frame.neighbours and "unseen" or "seen"], quality)
      if on_frame then on_frame(frame, output) end
    end)
    local means = { frames_unseen = sums.unseen.count }
    for _, name in ipairs { "psnr", "ms_ssim", "psnr_8bit" } do
      means[name] = sums.unseen[name] / sums.unseen.count
      means[name .. "_seen"] = sums.seen[name] / sums.seen.count
    end
    return metrics.result(means)
  end

  return {
    name = "interpolation", clip = view(clip, { indices = seen, frames = count }),
    evaluate = evaluate, written = count,
  }
end
