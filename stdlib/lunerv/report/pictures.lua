-- Frames for a page: PNG files as data: addresses, scaled to the available bytes, and error maps.
local errors <const> = require "lunerv.errors"
local html <const> = require "lunerv.report.html"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local scratch <const> = require "lunerv.scratch"
local video <const> = require "lunerv.video"

local pictures <const> = {}

-- The error that is shown as white, as a fraction of the range.
local white <const> = 0.25
pictures.white_levels = 255 * white
-- The image is scaled down until it fits, at most this many times.
local tries <const> = 6
local smallest <const> = 16

-- The bytes of an image as a PNG file.
local function png(image)
  local file <close> = scratch.file ".png"
  errors.must(video.write_image(file.path, image))
  return errors.must(native.read_file(file.path))
end

-- The difference between two images, black through red and yellow to white.
local function error_map(source, decoded)
  local off = (decoded - source):abs():mean(2, true) * (3 / white)
  local channels = {}
  for i = 1, 3 do channels[i] = (off - (i - 1)):clamp { min = 0, max = 1 } end
  return native.cat(channels, 2)
end

local function opened(path, size)
  local clip <close> = errors.must(video.open(path, { size = size }))
  return clip:frame(1):evaluate()
end

local function address(bytes) return "data:image/png;base64," .. html.base64(bytes) end

-- Both images as PNG at scale `scale`: { source, decoded, map }.
local function scaled(frame, height, width, scale)
  local function side(pixels) return math.max(smallest, math.floor(pixels * scale)) end
  local size = scale < 1 and { side(height), side(width) } or nil
  local source, decoded = opened(frame.source, size), opened(frame.decoded, size)
  return { source = png(source), decoded = png(decoded), map = png(error_map(source, decoded)) },
    source:size(3), source:size(4)
end

-- A frame of a run for a page, in at most `most` bytes: { index, psnr, height, width, source,
-- decoded, map, scaled }. nil if not even a small one fits.
function pictures.of(frame, most)
  local source, decoded = opened(frame.source), opened(frame.decoded)
  local height, width = source:size(3), source:size(4)
  if decoded:size(3) ~= height or decoded:size(4) ~= width then return nil end
  local psnr = metrics.psnr_8bit(decoded, source)
  -- An image with more pixels than screens have is scaled at once.
  local scale = math.min(1, 1280 / width)
  for _ = 1, tries do
    local files, h, w = scaled(frame, height, width, scale)
    local bytes = (#files.source + #files.decoded + #files.map) * 4 / 3
    if bytes <= most then
      return { index = frame.index, psnr = psnr, height = height, width = width,
        source = address(files.source), decoded = address(files.decoded),
        map = address(files.map), scaled = h ~= height and { h, w } or nil, bytes = bytes }
    end
    scale = scale * math.min(0.8, 0.95 * math.sqrt(most / bytes))
    if math.min(height, width) * scale < smallest then return nil end
  end
end

return pictures
