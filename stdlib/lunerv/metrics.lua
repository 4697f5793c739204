-- Metrics of reconstruction quality.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local metrics <const> = {}

--- PSNR in dB from a mean squared error of values from 0 to 1; 90 if there is no error.
---
---     print(lv.metrics.decibels(lv.mse_loss(output, image):item()))
---
---@param mse number
---@return number
function metrics.decibels(mse) return -10 * math.log(mse + 1e-9, 10) end
local decibels <const> = metrics.decibels

-- Raises unless both are tensors; `what` names the caller.
local function check_pair(what, output, image)
  for _, pair in ipairs { { "output", output }, { "image", image } } do
    if not native.is_tensor(pair[2]) then
      errors.raise("metrics.%s: %s: expected a tensor, got %s", what, pair[1],
        errors.type_of(pair[2]))
    end
  end
end

--- PSNR of one frame in dB, of unrounded values: the papers' metric.
---
---     print(lv.metrics.psnr(model(t), image))
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return number
function metrics.psnr(output, image)
  check_pair("psnr", output, image)
  return decibels(native.mse_loss(output, image):item())
end

--- PSNR in dB of the frame as stored in a video file: clamped and rounded to 8 bits.
---
---     print(lv.metrics.psnr_8bit(model(t), image))
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return number
function metrics.psnr_8bit(output, image)
  check_pair("psnr_8bit", output, image)
  local levels = (output * 255):round():clamp { min = 0, max = 255 }
  return decibels(native.mse_loss(levels, (image * 255):round()):item() / 255 ^ 2)
end

--- The multi-scale structural similarity, at most 1, of frames of at least 5 pixels per side.
---
---     print(lv.metrics.ms_ssim(model(t), image))
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return number
function metrics.ms_ssim(output, image)
  check_pair("ms_ssim", output, image)
  return native.ms_ssim(output, image):item()
end

--- A model's reconstruction of a frame: `model:reconstruct(frame)` if it is defined; otherwise the
--- model is a function of time, `model(frame.t)`.
---
---     local output = lv.metrics.reconstruct(model, clip:sample(1))
---
---@param model lunerv.Module
---@param frame table  { image, t, index }, as clip:sample gives it, or a batch as lv.train makes it
---@return lunerv.Tensor  (1, 3, height, width)
function metrics.reconstruct(model, frame)
  if model.reconstruct then return model:reconstruct(frame) end
  return model(frame.t)
end

local Result <const> = {
  __tostring = function(r)
    return ("psnr %.2f dB, ms_ssim %.4f, psnr_8bit %.2f dB"):format(r.psnr, r.ms_ssim, r.psnr_8bit)
  end,
}

--- Makes a table of means printable, as the result of metrics.evaluate is.
---
---     print(lv.metrics.result { psnr = 31.2, ms_ssim = 0.97, psnr_8bit = 31.1 })
---
---@param means table  psnr, ms_ssim and psnr_8bit, numbers
---@return table  the same table
function metrics.result(means) return setmetatable(means, Result) end

--- The indices of at most `most` of a clip's frames, evenly spaced and ascending.
---
---     local some = lv.metrics.evaluate(model, clip, nil, lv.metrics.spread(#clip, 16))
---
---@param count integer  frames of the clip
---@param most integer
---@return integer[]
function metrics.spread(count, most)
  local list, n = {}, math.min(count, most)
  for i = 1, n do list[i] = 1 + (2 * i - 1) * count // (2 * n) end
  return list
end

-- An iterator over the frames to evaluate: all frames of a clip, those listed, or one pass of a
-- dataset.
local function frames_of(clip, frames)
  if type(clip) == "function" or type(clip) == "table" and clip.is_dataset then
    if frames then
      errors.raise "metrics.evaluate: expected no numbers of frames with an iterator"
    end
    return clip(0)
  end
  local i, count = 0, frames and #frames or #clip
  return function()
    i = i + 1
    if i > count then return nil end
    local frame = clip:sample(frames and frames[i] or i)
    if i < count then clip:prefetch(frames and frames[i + 1] or i + 1) end
    return frame
  end
end

--- Means over the frames of a clip: psnr, ms_ssim and psnr_8bit, printable. No gradients are
--- recorded. A frame whose image is masked for the model is compared with its `original`.
---
---     print(lv.metrics.evaluate(model, clip))
---     lv.metrics.evaluate(model, clip, function(frame, output, quality)
---       print(frame.index, quality.psnr)
---     end)
---
---@param model lunerv.Module
---@param clip lunerv.Clip|function  a clip, or (pass) → iterator of frames, as lv.train takes it
---@param on_frame? fun(frame: table, output: lunerv.Tensor, quality: table)  for each, in order
---@param frames? integer[]  the indices of the frames (all)
---@return table  psnr, ms_ssim and psnr_8bit
function metrics.evaluate(model, clip, on_frame, frames)
  if type(model) ~= "table" then
    errors.raise("metrics.evaluate: expected a model, got %s", errors.type_of(model))
  end
  if type(clip) ~= "table" and type(clip) ~= "function"
    and (type(clip) ~= "userdata" or native.is_tensor(clip))
  then
    errors.raise("metrics.evaluate: expected a clip, got %s", errors.type_of(clip))
  end
  local sum, count = { psnr = 0, ms_ssim = 0, psnr_8bit = 0 }, 0
  for frame in frames_of(clip, frames) do
    count = count + 1
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
  if count == 0 then errors.raise "metrics.evaluate: expected at least one frame, got none" end
  for name, value in pairs(sum) do sum[name] = value / count end
  return metrics.result(sum)
end

return errors.refuse_unknown(metrics, "lv.metrics")
