-- The model's input in one call: a frame, or several, each whole or with a window.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local batch <const> = {}

-- A random window { y, x, height, width } of a frame; y and x count from 1. It is drawn even for a
-- frame of another rank.
local function window_of(frame, patch)
  local place = native.rand(2):tolist()
  if not frame.image then return nil end
  local height, width = frame.image:size(3), frame.image:size(4)
  if patch[1] > height or patch[2] > width then
    errors.raise("train: patch: expected at most the frame's %dx%d, got %dx%d", height, width,
      patch[1], patch[2])
  end
  return { 1 + place[1] * (height - patch[1] + 1) // 1 | 0,
    1 + place[2] * (width - patch[2] + 1) // 1 | 0, patch[1], patch[2] }
end

local function crop(image, window)
  local y, x, height, width = table.unpack(window)
  return image:slice(3, y, y + height - 1):slice(4, x, x + width - 1)
end

-- Frames with a window each.
function batch.windows(frames, patch)
  local list = {}
  for i, frame in ipairs(frames) do
    list[i] = options.copy(frame)
    list[i].window = window_of(frame, patch)
  end
  return list
end

-- The target for the output of `frame`, and the mask for both; nil for none.
local function target(frame)
  local image, mask, window = frame.image, frame.mask, frame.window
  if not window then return image, mask end
  return crop(image, window), mask and crop(mask, window)
end

local function join(list)
  local first = list[1].shape
  for _, tensor in ipairs(list) do
    for d, size in ipairs(tensor.shape) do
      if size ~= first[d] then
        errors.raise("train: batch: expected frames of one size, got (%s) and (%s)",
          table.concat(first, ", "), table.concat(tensor.shape, ", "))
      end
    end
  end
  return native.cat(list, 1)
end

-- Frames `first` to `last` of the list as one, their target, and the mask or nil. Several images
-- are concatenated, and `t`, `index` and `window` are lists.
function batch.of(frames, first, last)
  if first == last then return frames[first], target(frames[first]) end
  local all = { t = {}, index = {}, frames = {} }
  local images, targets, masks = {}, {}, {}
  for i = first, last do
    local frame, k = frames[i], i - first + 1
    all.t[k], all.index[k], all.frames[k], images[k] = frame.t, frame.index, frame, frame.image
    if frame.window then
      all.window = all.window or {}
      all.window[k] = frame.window
    end
    targets[k], masks[k] = target(frame)
  end
  all.image = join(images)
  local mask
  if next(masks) then
    for k in ipairs(targets) do masks[k] = masks[k] or native.ones_like(select(2, next(masks))) end
    mask = join(masks)
    all.mask = mask
  end
  return all, all.window and join(targets) or all.image, mask
end

-- Raises unless `output` has the target's shape: one that broadcasts to it would be trained
-- silently.
function batch.check(output, image, model)
  local got, expected = output.shape, image.shape
  for d, size in ipairs(expected) do
    if got[d] ~= size then
      local hint = d == 1 and "set its takes_batches to false to get frames one at a time"
        or "with `patch`, a model returns only the part in frame.window"
      errors.raise("train: expected an output (%s) from %s, got (%s): %s",
        table.concat(expected, ", "), model.class_name, table.concat(got, ", "), hint)
    end
  end
end

return batch
