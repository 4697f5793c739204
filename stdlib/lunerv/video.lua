-- Clips: frames in, frames out.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local video <const> = {}

-- Order of frames ---------------------------------------------------------------------------

local Sequence <const> = {}
Sequence.__index = Sequence

-- The order in which frames are visited, epoch after epoch; its `order`, `position` and `epoch`
-- are plain data that a checkpoint stores.
function video.sequence(count, shuffle)
  return setmetatable(
    { count = count, shuffle = shuffle, order = {}, position = 0, epoch = 0 }, Sequence)
end

-- Goes on to the next frame and returns its index, and the one after it in the same epoch.
function Sequence:advance()
  if self.position == #self.order then
    if self.shuffle then
      self.order = native.permutation(self.count)
    elseif #self.order == 0 then
      for i = 1, self.count do self.order[i] = i end
    end
    self.position, self.epoch = 0, self.epoch + 1
  end
  self.position = self.position + 1
  return self.order[self.position], self.order[self.position + 1]
end

-- Clips -------------------------------------------------------------------------------------

local Clip <const> = {}
Clip.__index = Clip
Clip.__name = "clip"

-- How headerless video is laid out, by its name: { width, height, pixel_format, fps } for
-- "ReadySteadyGo_1920x1080_120fps_420_10bit_YUV.yuv" and its like. 4:2:0 with 8 bits unless the
-- name says otherwise; the rate is "50fps", "50Hz" or the number behind the size. nil for names
-- that say no size.
function video.layout(path)
  local name = path:match "[^/]*$"
  local width, height, rest = name:match "(%d+)[xX](%d+)(.*)$"
  if not width or not name:lower():match "%.yuv$" then return nil end
  local lower = name:lower()
  local chroma = lower:match "444" or lower:match "422" or "420"
  local deep = lower:match "10[_-]?bit" or lower:match "p10" or lower:match "10le"
  local fps = lower:match "(%d+%.?%d*)fps" or lower:match "(%d+%.?%d*)hz"
    or rest:match "^_(%d+)%f[_.]"
  return {
    width = math.tointeger(tonumber(width)), height = math.tointeger(tonumber(height)),
    pixel_format = "yuv" .. chroma .. "p" .. (deep and "10le" or ""), fps = tonumber(fps),
  }
end

-- Opens a video file, a folder of images or a raw file (whose layout video.layout reads off its
-- name unless given). Options: size {h, w}, crop {y, x, h, w},
-- first, last, every, rate, cache, cache_dir, and pixel_format, width, height for raw files.
-- Returns a clip with width, height, frames, fps, path, timestamps, warnings and has_audio, or
-- nil and a message.
function video.open(path, given)
  if given ~= nil and type(given) ~= "table" then
    errors.raise("open: a table of options expected, got %s", type(given))
  end
  local layout
  given = options.copy(given)
  if not (given.width or given.height) then
    layout = video.layout(path)
    if not layout and path:lower():match "%.yuv$" and native.exists(path) then
      return nil, ("%s: headerless video is read by its name, as NAME_1920x1080_50fps.yuv or "
        .. "NAME_1920x1080_25fps_444_10bit.yuv: rename it, or give width, height and pixel_format")
        :format(path)
    end
    layout = layout or {}
    given.width, given.height = layout.width, layout.height
    given.pixel_format = given.pixel_format or layout.pixel_format
  end
  local handle, message = native.open_video(path, given)
  if not handle then return nil, message end
  local fps, timestamps = handle.fps, handle.timestamps
  if layout and layout.fps then
    fps = layout.fps
    for i in ipairs(timestamps) do timestamps[i] = (i - 1) / fps end
  end
  return setmetatable({
    handle = handle, source = path, given = given,
    path = handle.path, width = handle.width, height = handle.height, frames = handle.frames,
    fps = fps, timestamps = timestamps, warnings = handle.warnings,
    has_audio = handle.has_audio,
  }, Clip)
end

-- Opens the clip that a command line asks for (`o` holds clip, frames, resize, crop, cache), and
-- says on stderr what was left out. Frames that memory cannot hold are kept on the disk that
-- `output`, a path that need not exist yet, will be on.
function video.open_for(o, output)
  local beside = output
  repeat beside = beside:match "^(.+)/[^/]*$" or "." until native.exists(beside)
  local frames = o.frames or {}
  local clip, message = video.open(o.clip, {
    first = frames[2] and frames[1], last = frames[2] or frames[1],
    size = o.resize, crop = o.crop, cache = o.cache, cache_dir = beside,
  })
  if not clip then return nil, message end
  for _, warning in ipairs(clip.warnings or {}) do native.stderr("warning: " .. warning .. "\n") end
  return clip
end

-- A loop that breaks lets go of the file; whoever asks for a frame later opens it again.
local function opened(self)
  if self.closed then errors.raise("the clip '%s' has been closed", self.source) end
  if not self.handle then
    local handle, message = native.open_video(self.source, self.given)
    self.handle = handle or errors.raise("%s", message)
  end
  return self.handle
end

local function let_go(self)
  if self.handle then self.handle:close() end
  self.handle = nil
end

-- Frame `index` as (1, 3, h, w): numbers in [0, 1], or their 8-bit levels.
function Clip:frame(index) return opened(self):frame(index) end
function Clip:frame_u8(index) return opened(self):frame_u8(index) end

-- Starts to decode a frame in the background.
function Clip:prefetch(index) opened(self):prefetch(index) end

-- What a model is trained on: { image, t, index }, with t = index / frames.
function Clip:sample(index)
  return { image = self:frame(index), t = index / self.frames, index = index }
end

function Clip:close()
  let_go(self)
  self.closed = true
end

Clip.__close = Clip.close

function Clip:__len() return self.frames end

function Clip:__tostring()
  return ("clip '%s': %d frames of %dx%d"):format(self.source, self.frames, self.width, self.height)
end

-- for step, frame in clip:batches { epochs = 30, shuffle = true } do … end
-- Steps count from 1 over all epochs. Leaving the loop early closes the file.
function Clip:batches(given)
  local o = options(given, { epochs = 1, shuffle = false })
  local sequence, last = video.sequence(self.frames, o.shuffle), o.epochs * self.frames
  local finished = false
  local function next_frame(_, step)
    if step == last then
      finished = true
      return nil
    end
    local index, following = sequence:advance()
    local frame = self:sample(index)
    if following then self:prefetch(following) end
    return step + 1, frame
  end
  local guard = setmetatable({}, {
    __close = function()
      if not finished then let_go(self) end
    end,
  })
  return next_frame, nil, 0, guard
end

-- Writing -----------------------------------------------------------------------------------

-- Opens a file, or a folder of images, to write frames to; nil and a message if that fails.
video.writer = native.open_writer

-- Two images beside each other.
function video.side_by_side(left, right) return native.cat({ left, right }, 4) end

return video
