-- Inpainting: the model sees, and is trained on, the visible pixels of every masked frame, and is
-- compared with the whole frame.
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local video <const> = require "lunerv.video"
local view <const> = require "lunerv.tasks.view"

-- Masks -------------------------------------------------------------------------------------
-- A mask is a function of a frame's index to (1, 1, h, w): 1 where a pixel is visible, 0 where it
-- is hidden.

-- `size` values: 1 at the positions from `first` to below `last`, counted from 0; otherwise 0.
local function inside(size, first, last)
  local places = native.arange(0, size - 1)
  return places:ge(first) * places:lt(last)
end

-- 1 outside the boxes { top, bottom, left, right }.
local function outside(height, width, boxes)
  local hidden = native.zeros(1, 1, height, width)
  for _, box in ipairs(boxes) do
    local rows = inside(height, box[1], box[2]):view(1, 1, height, 1)
    local columns = inside(width, box[3], box[4]):view(1, 1, 1, width)
    hidden = 1 - (1 - hidden) * (1 - rows * columns)
  end
  return (1 - hidden):evaluate()
end

local shapes <const> = {}

-- The paper's box: a quarter of the height and of the width, in the centre.
function shapes.centre(height, width)
  local y, x, up, left = height // 2, width // 2, height // 8, width // 8
  return outside(height, width, { { y - up, y + up, x - left, x + left } })
end

-- The paper's five squares of 50 pixels, in the centre and around it.
function shapes.disperse(height, width)
  local boxes = {}
  for i, at in ipairs { { 2, 2 }, { 1, 1 }, { 1, 3 }, { 3, 1 }, { 3, 3 } } do
    local y, x = height * at[1] // 4, width * at[2] // 4
    boxes[i] = { y - 25, y + 25, x - 25, x + 25 }
  end
  return outside(height, width, boxes)
end

-- Dark parts of an image are visible. Parts where a colour has at least half of full brightness,
-- such as the objects in DAVIS annotations, are hidden.
local function visible(image) return image:amax(2, true):lt(0.5):evaluate() end

-- The mask of an image, or the masks of a video with as many frames as the clip.
local function from_file(path, clip)
  local handle <close>, message = video.open(path)
  if not handle then
    errors.data("mask: expected 'centre', 'disperse' or an image or video: %s", message)
  end
  if handle.height ~= clip.height or handle.width ~= clip.width then
    errors.data("mask: expected %dx%d, the size of the clip's frames, got %dx%d from %s",
      clip.width, clip.height, handle.width, handle.height, path)
  end
  if #handle ~= 1 and #handle ~= #clip then
    errors.data("mask: expected one image, or %d frames as in the clip, got %d from %s", #clip,
      #handle, path)
  end
  local list = {}
  for i = 1, #handle do list[i] = visible(handle:frame(i)):to "u8" end
  return list
end

local function masks_of(clip, mask)
  local list = shapes[mask] and { shapes[mask](clip.height, clip.width):to "u8" }
    or from_file(mask, clip)
  local hidden = 0
  for _, one in ipairs(list) do
    local shown = one:to("f32"):mean():item()
    if shown == 0 then
      errors.data("mask: '%s' hides all of a frame of %dx%d", mask, clip.width, clip.height)
    end
    hidden = hidden + 1 - shown
  end
  if hidden == 0 then errors.data("mask: '%s' hides nothing", mask) end
  return function(index) return (list[index] or list[1]):to "f32" end, hidden / #list
end

-- The task ----------------------------------------------------------------------------------

-- The PSNR of a frame's hidden pixels; nil if it hides none.
local function hidden_psnr(frame, output)
  local hidden = 1 - frame.mask
  local share = hidden:mean():item()
  if share == 0 then return nil end
  local mse = native.mse_loss(output * hidden, frame.original * hidden):item() / share
  return metrics.decibels(mse)
end

local takes <const> = options.takes("tasks.inpainting", {
  { "mask", "centre", "what is hidden: centre (a box), disperse (five squares), or the path of an "
    .. "image or video of the clip's frame size that is light there" },
})

--- The task of filling in the hidden pixels of every frame.
--- psnr and ms_ssim compare whole frames with the original; `psnr_hidden` compares the hidden
--- pixels, `hidden_share` is their share.
---
---     local task = lv.tasks.inpainting(clip, { mask = "disperse" })
---     local run = lv.tasks.fit(clip, task, o, print)
---
---@param clip lunerv.Clip  the clip to fit
---@param given? lunerv.tasks.inpainting.Options
---@return table  a task for tasks.fit
return function(clip, given)
  local mask <const> = takes(given).mask
  local mask_at, share = masks_of(clip, mask)
  local masked = view(clip, { sample = function(frame)
    frame.mask, frame.original = mask_at(frame.index), frame.image
    frame.image = (frame.image * frame.mask):evaluate()
  end })

  local function evaluate(model, _, on_frame)
    local sum, count = 0, 0
    local result = metrics.evaluate(model, masked, function(frame, output)
      local decibels = hidden_psnr(frame, output)
      if decibels then sum, count = sum + decibels, count + 1 end
      if on_frame then on_frame(frame, output) end
    end)
    result.psnr_hidden, result.hidden_share = sum / count, share
    return result
  end

  return {
    name = "inpainting", clip = masked, evaluate = evaluate, facts = { mask = mask },
    source = not shapes[mask] and mask or nil,
    panels = function(frame, output) return { frame.image, output, frame.original } end,
  }
end
