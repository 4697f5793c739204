-- lv.image: reads and writes single images.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local image <const> = {}

-- Extensions of formats that are not written.
local foreign <const> = { jpg = true, jpeg = true, webp = true, bmp = true, gif = true, tif = true,
  tiff = true, exr = true, avif = true }

--- Reads an image file (PNG, JPEG and other formats of libav) as numbers from 0 to 1.
---
--- Unlike PyTorch's `read_image` it returns f32. An alpha channel is dropped, grey becomes three
--- equal channels. From a video it reads the first frame. nil and an error if the file cannot be
--- read.
---
---     local picture = assert(lv.image.read "frame.png")
---     print(picture.shape[2], picture.shape[3])
---
---@param path string
---@return lunerv.Tensor?  (3, h, w)
---@return lunerv.Error?
function image.read(path)
  if type(path) ~= "string" then
    errors.raise("image.read: expected a path, got %s", errors.type_of(path))
  end
  local clip, problem = native.open_video(path, { last = 1 })
  if not clip then return nil, problem end
  local _ <close> = clip
  local ok, frame = errors.attempt(function() return clip:frame(1):evaluate() end)
  if not ok then return nil, errors.new("data", path .. ": " .. errors.reason(frame)) end
  return frame:view(3, clip.height, clip.width)
end

--- Writes an image as a PNG file, atomically; true, or nil and an error.
---
--- Numbers are clamped to 0…1 and rounded to 8 bits.
---
---     assert(lv.image.write("frame.png", model(0.5)))
---
---@param path string
---@param picture lunerv.Tensor  (3, h, w), (1, 3, h, w) or, grey, (h, w): f32 in [0, 1], or u8
---@return boolean?
---@return lunerv.Error?
function image.write(path, picture)
  if not native.is_tensor(picture) then
    errors.raise("image.write: expected a tensor, got %s", errors.type_of(picture))
  end
  local ending = tostring(path):match "%.(%w+)$"
  if ending and foreign[ending:lower()] then
    errors.raise("image.write: expected a path that ends in .png, got '%s'", path)
  end
  return native.write_file(path, errors.on_behalf("image.write", "png", native.png, picture))
end

return errors.refuse_unknown(image, "lv.image")
