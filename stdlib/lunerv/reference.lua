-- Encodes a clip with x264 and x265 for comparison.
--
-- The preset is veryslow, tuned for PSNR, 4:2:0, one group of pictures. Bytes are those of the bare
-- stream; PSNR is measured on 8-bit RGB, as for compressed files.
--
--     local point = lv.reference.encode(clip, { codec = "x265", crf = 30 })
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local scratch <const> = require "lunerv.scratch"
local video <const> = require "lunerv.video"

local reference <const> = { codecs = { "x264", "x265" } }

local extensions <const> = { x264 = ".264", x265 = ".265" }
local best_crf <const>, worst_crf <const> = 0, 51

-- Encodes the clip into `path`, with one thread. Odd sizes are padded by a copy of the last row or
-- column.
local function write(path, clip, o)
  local bottom, right = clip.height % 2, clip.width % 2
  local writer <close> = errors.must(native.open_writer(path, {
    width = clip.width + right, height = clip.height + bottom, fps = clip.fps or 25,
    format = o.codec, crf = o.crf, preset = o.preset, tune = "psnr", one_group = true, threads = 1,
  }))
  for index = 1, #clip do
    local frame = clip:frame(index)
    if bottom + right > 0 then
      frame = frame:pad { bottom = bottom, right = right, mode = "edge" }
    end
    writer:write(frame)
  end
  writer:close()
end

local function quality(path, clip)
  local decoded <close> = assert(video.open(path))
  if #decoded ~= #clip then
    errors.data("%s: %d frames were written, %d were read back", path, #clip, #decoded)
  end
  local sum = 0
  for index = 1, #clip do
    native.no_grad(function()
      local frame = decoded:frame(index)
      frame = frame:slice(3, 1, clip.height):slice(4, 1, clip.width)
      sum = sum + metrics.psnr_8bit(frame, clip:frame(index))
    end)
    native.step_boundary()
  end
  return sum / #clip
end

local takes_encode <const> = options.takes("reference.encode", {
  { "codec", "x264", "x264 or x265" },
  { "crf", 28, "constant rate factor, from 0 (best) to 51" },
  { "preset", "veryslow", "the codec's preset, which sets the search effort" },
})

local takes_at_bytes <const> = options.takes("reference.at_bytes", {
  { "codec", "x264", "x264 or x265" },
  { "preset", "veryslow", "the codec's preset, which sets the search effort" },
})

--- Encodes a clip with x264 or x265 and measures the decoded frames.
--- The result is { codec, crf, bytes, bpp, psnr_8bit, seconds }.
---
---     local point = lv.reference.encode(clip, { codec = "x265", crf = 30 })
---     print(point.bpp, point.psnr_8bit)
---
---@param clip lunerv.Clip  the clip to encode
---@param given? lunerv.reference.encode.Options
---@return table  codec, crf, bytes, bits per pixel, PSNR of 8-bit RGB, and seconds of encoding
function reference.encode(clip, given)
  local o = takes_encode(given)
  if not extensions[o.codec] then
    errors.raise("reference.encode: codec: expected one of %s, got %s",
      errors.list(reference.codecs), tostring(o.codec))
  end
  local file = scratch.file(extensions[o.codec])
  local bytes, psnr, seconds = bridge.on_error(function()
    local began = native.time()
    write(file.path, clip, o)
    local took = native.time() - began
    return #errors.must(native.read_file(file.path)), quality(file.path, clip), took
  end, function() file:remove() end)
  file:remove()
  return {
    codec = o.codec, crf = o.crf, bytes = bytes, psnr_8bit = psnr, seconds = seconds,
    bpp = 8 * bytes / (#clip * clip.height * clip.width),
  }
end

--- Encodes a clip to the size closest to a number of bytes.
--- The rate factor is searched until the size is within half a percent, if the codec allows that.
---
---     local point = lv.reference.at_bytes(clip, file.bytes, { codec = "x265" })
---
---@param clip lunerv.Clip  the clip to encode
---@param bytes number  the wanted size
---@param given? lunerv.reference.at_bytes.Options
---@return table  as from reference.encode
function reference.at_bytes(clip, bytes, given)
  local o = takes_at_bytes(given)
  -- The logarithm of the size is almost linear in the rate factor.
  local wanted = math.log(bytes, 2)
  local better, worse, best -- the closest sizes above and below, and the closer of the two
  local crf = 30
  for _ = 1, 8 do
    local result = reference.encode(clip,
      { codec = o.codec, preset = o.preset, crf = crf })
    local point = { crf = crf, size = math.log(result.bytes, 2) - wanted, result = result }
    if not best or math.abs(point.size) < math.abs(best.size) then best = point end
    if point.size > 0 then better = point else worse = point end
    if math.abs(result.bytes / bytes - 1) < 0.005 then break end
    if better and worse then
      if worse.crf - better.crf < 0.02 then break end
      local share = better.size / (better.size - worse.size)
      -- Never so close to an end that the bracket hardly shrinks.
      share = math.min(math.max(share, 0.1), 0.9)
      crf = better.crf + share * (worse.crf - better.crf)
    else
      local following = crf + 6 * point.size + (point.size > 0 and 0.5 or -0.5)
      following = math.min(math.max(following, best_crf), worst_crf)
      if following == crf then break end
      crf = following
    end
  end
  return best.result
end

return errors.refuse_unknown(reference, "lv.reference")
