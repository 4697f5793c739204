-- How good a reconstruction is.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local metrics <const> = {}

-- Structural similarity needs as many pixels in either direction.
metrics.smallest_side = 5

-- PSNR in dB of a mean squared error, of values from 0 to 1; at most 90, where there is none.
function metrics.decibels(mse) return -10 * math.log(mse + 1e-9, 10) end
local decibels <const> = metrics.decibels

-- PSNR of one frame in dB, on unclamped values: the papers' number.
function metrics.psnr(output, image)
  return decibels(native.mse_loss(output, image):item())
end

-- PSNR in dB of the frame as it is written to a file: clamped and rounded to 8 bits.
function metrics.psnr_8bit(output, image)
  local levels = (output * 255):round():clamp { min = 0, max = 255 }
  return decibels(native.mse_loss(levels, (image * 255):round()):item() / 255 ^ 2)
end

function metrics.ms_ssim(output, image)
  return native.ms_ssim(output, image):item()
end

-- What `model` makes of a frame: `model:reconstruct(frame)` where it is defined, which gets the
-- frame's image, t and index; a model without it is a function of time, `model(frame.t)`.
function metrics.reconstruct(model, frame)
  if model.reconstruct then return model:reconstruct(frame) end
  return model(frame.t)
end

local Result <const> = {
  __tostring = function(r)
    return ("psnr %.2f dB, ms_ssim %.4f, psnr_8bit %.2f dB"):format(r.psnr, r.ms_ssim, r.psnr_8bit)
  end,
}

-- Makes means of figures by name printable as those of metrics.evaluate are.
function metrics.result(means) return setmetatable(means, Result) end

-- At most `most` of `count` frames, evenly spread: their numbers, rising.
function metrics.spread(count, most)
  local list, n = {}, math.min(count, most)
  for i = 1, n do list[i] = 1 + (2 * i - 1) * count // (2 * n) end
  return list
end

-- Means over all frames of `clip`, or those of the list `frames`: { psnr, ms_ssim, psnr_8bit },
-- printable. A frame whose `image`
-- is only what the model may see is compared with its `original`. `on_frame(frame, output,
-- quality)` is called for each frame, in order; `quality` holds the figures of that frame.
function metrics.evaluate(model, clip, on_frame, frames)
  local sum, count = { psnr = 0, ms_ssim = 0, psnr_8bit = 0 }, frames and #frames or #clip
  if count == 0 then errors.raise "evaluate: expected at least one frame, got none" end
  for i = 1, count do
    local index = frames and frames[i] or i
    local frame = clip:sample(index)
    if i < count then clip:prefetch(frames and frames[i + 1] or i + 1) end
    native.no_grad(function()
      local output, image = metrics.reconstruct(model, frame), frame.original or frame.image
      local quality = {
        psnr = metrics.psnr(output, image), psnr_8bit = metrics.psnr_8bit(output, image),
        ms_ssim = metrics.ms_ssim(output, image),
      }
      for name, value in pairs(quality) do sum[name] = sum[name] + value end
      if on_frame then on_frame(frame, output, quality) end
    end)
    native.step_boundary()
  end
  for name, value in pairs(sum) do sum[name] = value / count end
  return metrics.result(sum)
end

return errors.refuse_unknown(metrics, "lv.metrics")
