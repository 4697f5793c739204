-- Clips: frames in, frames out.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local sources <const> = require "lunerv.sources"

local video <const> = {}

-- Order of frames ---------------------------------------------------------------------------

local Sequence <const> = {}
Sequence.__index = Sequence

local function greatest_divisor(a, b)
  while b > 0 do a, b = b, a % b end
  return a
end

-- Every frame once, from a random one on, in steps of the golden section: however few steps one
-- looks at, their frames lie evenly in the clip.
local function spread(count)
  local step = math.floor(count * (math.sqrt(5) - 1) / 2 + 0.5)
  while greatest_divisor(step, count) > 1 do step = step + 1 end
  local first, order = native.permutation(count)[1], {}
  for i = 1, count do order[i] = (first + i * step) % count + 1 end
  return order
end

-- The order in which frames are visited, epoch after epoch: "shuffled" anew, "spread" evenly over
-- the clip at any time, or (nil) their own. Its `order`, `position` and `epoch` are plain data that
-- a checkpoint stores.
function video.sequence(count, kind)
  return setmetatable(
    { count = count, kind = kind, order = {}, position = 0, epoch = 0 }, Sequence)
end

-- Goes on to the next frame and returns its index, and the one after it in the same epoch.
function Sequence:advance()
  if self.position == #self.order then
    if self.kind == "shuffled" then
      self.order = native.permutation(self.count)
    elseif self.kind == "spread" then
      self.order = spread(self.count)
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

-- How headerless video is laid out, by its name: { width, height, pixel_format, fps }; nil, and
-- perhaps why, where that does not say it (raw_layout.lua).
video.layout = require "lunerv.raw_layout"

-- `given` with the layout of a raw file; second, that layout, where it was read off the name. Or
-- nil, nil and what is wrong.
local function completed(path, given)
  if given ~= nil and type(given) ~= "table" then
    errors.raise("open: expected a table of options, got %s", type(given))
  end
  given = options.copy(given)
  if given.width or given.height then return given end
  local layout, problem = video.layout(path)
  if not layout and path:lower():match "%.yuv$" and native.exists(path) then
    return nil, errors.failure("%s: headerless video is read by its name, as "
      .. "NAME_1920x1080_50fps.yuv or NAME_1920x1080_25fps_444_10bit.yuv: rename it, or give "
      .. "width, height and pixel_format%s", path, problem and (" (%s)"):format(problem) or "")
  end
  layout = layout or {}
  given.width, given.height = layout.width, layout.height
  given.pixel_format = given.pixel_format or layout.pixel_format
  return given, layout
end

-- A clip of what is known of it: `found` holds width, height, frames, fps, timestamps, …
local function new_clip(path, given, layout, found)
  local fps, timestamps = found.fps, found.timestamps
  if layout and layout.fps then
    fps = layout.fps
    for i in ipairs(timestamps) do timestamps[i] = (i - 1) / fps end
  end
  return setmetatable({
    source = path, given = given, path = found.path, width = found.width, height = found.height,
    frames = found.frames, fps = fps, timestamps = timestamps, warnings = found.warnings,
    has_audio = found.has_audio,
  }, Clip)
end

-- Opens a video file, a folder of images or a raw file (whose layout video.layout reads off its
-- name unless given). Options: size {h, w}, crop {y, x, h, w},
-- first, last, every, rate, deinterlace, cache, cache_dir, and pixel_format, width, height for raw
-- files.
-- Returns a clip with width, height, frames, fps, path, timestamps, warnings and has_audio, or
-- nil and a message.
function video.open(path, given)
  local complete, layout, problem = completed(path, given)
  if problem then return nil, problem end
  local handle, message = native.open_video(path, complete)
  if not handle then return nil, message end
  local clip = new_clip(path, complete, layout, handle)
  clip.handle = handle
  return clip
end

-- The same clip without a frame of it in memory or on disk: it is read to its end once, and its
-- parts, or all of it, when frames are asked for. What can be read only once is opened.
function video.scan(path, given)
  if not native.can_reread(path) then return video.open(path, given) end
  local complete, layout, problem = completed(path, given)
  if problem then return nil, problem end
  local width, height, fps, timestamps, warnings, has_audio, changes =
    native.scan_video(path, complete)
  if not width then return nil, height end
  local clip = new_clip(path, complete, layout, {
    path = path, width = width, height = height, frames = #timestamps, fps = fps,
    timestamps = timestamps, warnings = warnings, has_audio = has_audio,
  })
  clip.differences = changes
  return clip
end

-- Opens the clip that a command line asks for (`o` holds clip, frames, resize, crop, deinterlace,
-- cache), and says on stderr what was left out. Frames that memory cannot hold are kept on the disk
-- that `output`, a path that need not exist yet, will be on. `open` is video.open, or video.scan.
function video.open_for(o, output, open)
  local beside = output
  repeat beside = beside:match "^(.+)/[^/]*$" or "." until native.exists(beside)
  local frames = o.frames or {}
  local clip, message = (open or video.open)(o.clip, {
    first = frames[2] and frames[1], last = frames[2] or frames[1],
    size = o.resize, crop = o.crop, deinterlace = o.deinterlace, cache = o.cache,
    cache_dir = beside,
  })
  if not clip then return nil, message end
  video.tell(clip)
  return clip
end

-- A loop that breaks lets go of the file; whoever asks for a frame later opens it again.
local function opened(self)
  if self.closed then errors.raise("the clip '%s' has been closed", self.source) end
  if not self.handle then
    self.handle = errors.must(native.open_video(self.source, self.given))
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
  if math.type(index) == "integer" and index < 0 then index = self.frames + 1 + index end
  return { image = self:frame(index), t = index / self.frames, index = index }
end

-- How much each frame's luma (0 to 255) differs, in the mean of its pixels, from that of the frame
-- before and of the one before that: two lists; 0 where there is none.
function Clip:changes()
  if not self.differences then self.differences = opened(self):changes() end
  return self.differences
end

-- Part of a clip that can be read only once.
local Part <const> = {}
Part.__index = Part
Part.__name = "clip"

function Part:__len() return self.frames end
function Part:frame(i) return self.whole:frame(self.before + i) end
function Part:frame_u8(i) return self.whole:frame_u8(self.before + i) end
function Part:prefetch(i) self.whole:prefetch(self.before + i) end
function Part:close() end
Part.__close = Part.close
Part.sample = Clip.sample

-- Frames `first` to `last` as a clip whose times begin at 0. It is read anew, so that no other
-- frames take room.
function Clip:part(first, last)
  if math.type(first) ~= "integer" or math.type(last) ~= "integer" or first < 1
    or last > self.frames or first > last
  then
    errors.raise("part: expected frames from 1 to %d, got %s to %s", self.frames, tostring(first),
      tostring(last))
  end
  local part = setmetatable({ whole = self, before = first - 1, width = self.width,
    height = self.height, frames = last - first + 1, source = self.source }, Part)
  if native.can_reread(self.source) then
    local given, start = options.copy(self.given), self.given.first or 1
    local every = given.every or 1
    given.first, given.last = start + (first - 1) * every, start + (last - 1) * every
    local found = errors.must(video.open(self.source, given))
    if #found ~= part.frames or found.width ~= self.width or found.height ~= self.height then
      errors.data("%s: the clip is another one than before", self.source)
    end
    part = found
  end
  part.fps, part.timestamps = self.fps, {}
  for i = first, last do
    part.timestamps[i - first + 1] = self.timestamps[i] - self.timestamps[first]
  end
  return part
end

function Clip:close()
  let_go(self)
  self.closed = true
end

Clip.__close = Clip.close

function Clip:__len() return self.frames end

function Clip:__tostring()
  return ("clip '%s': %d frames of %dx%d"):format(native.printable(self.source), self.frames,
    self.width, self.height)
end

-- for step, frame in clip:batches { epochs = 30, shuffle = true } do … end
-- Steps count from 1 over all epochs. Leaving the loop early closes the file.
function Clip:batches(given)
  local o = options(given, { epochs = 1, shuffle = false })
  if not math.tointeger(o.epochs) or o.epochs < 1 then
    errors.raise("batches: epochs: expected an integer of at least 1, got %s", tostring(o.epochs))
  end
  local sequence = video.sequence(self.frames, o.shuffle and "shuffled")
  local last = o.epochs * self.frames
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

-- Opens a file, or a folder of images, to write frames to: width, height, fps, timestamps, format
-- (ffv1, x264, x265, y4m, png, raw; the path says it), and for H.264 and H.265 crf, preset, tune,
-- one_group, threads. `clip` gives what is not given of width, height, fps and timestamps; neither
-- its source nor one of `sources`, paths that are read, is written over. Returns a writer with
-- `write(frame)`, `close()`, `cancel()` and `warnings`, or nil and a message.
function video.writer(path, given)
  given = options.copy(given)
  local clip = given.clip
  sources.keep(path, clip and clip.source, table.unpack(given.sources or {}))
  for _, name in ipairs { "width", "height", "fps", "timestamps" } do
    if clip and given[name] == nil then given[name] = clip[name] end
  end
  given.clip, given.sources = nil, nil
  return native.open_writer(path, given)
end

-- Says on stderr what a clip or writer warns of, but for the first `told` warnings; returns how
-- many there are.
function video.tell(of, told)
  local warnings = of.warnings or {}
  for i = (told or 0) + 1, #warnings do native.stderr("warning: " .. warnings[i] .. "\n") end
  return #warnings
end

-- Writes an image, (1, 3, h, w), as the PNG file `path`, whole or not at all. Returns true, or nil
-- and a message.
function video.write_image(path, image)
  local folder = path .. ".parts/"
  local ok, message = native.check_writable(path)
  if not ok then return nil, message end
  local writer
  writer, message = video.writer(folder, { width = image:size(4), height = image:size(3) })
  if not writer then return nil, message end
  writer:write(image)
  writer:close()
  local name = folder .. native.list_dir(folder)[1]
  ok, message = native.write_file(path, (assert(native.read_file(name))))
  native.remove(name)
  native.remove(folder)
  return ok, message
end

-- Two images beside each other.
function video.side_by_side(left, right) return native.cat({ left, right }, 4) end

return video
