-- Clips: reading and writing video frames.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"
local image <const> = require "lunerv.image"
local options <const> = require "lunerv.options"
local scenes <const> = require "lunerv.compress.scenes"
local sources <const> = require "lunerv.sources"

local video <const> = {}

-- Order of frames ---------------------------------------------------------------------------

local Sequence <const> = {}
Sequence.__index = Sequence

local function greatest_divisor(a, b)
  while b > 0 do a, b = b, a % b end
  return a
end

-- Every frame once, starting at a random one, in steps of the golden section: the first frames of a
-- pass, however few, are evenly distributed over the clip.
local function spread(count)
  local step = math.floor(count * (math.sqrt(5) - 1) / 2 + 0.5)
  while greatest_divisor(step, count) > 1 do step = step + 1 end
  local first, order = native.permutation(count)[1], {}
  for i = 1, count do order[i] = (first + i * step) % count + 1 end
  return order
end

--- The order in which frames are visited, pass after pass.
--- "shuffled" is a new random order in every pass, "spread" is evenly distributed over the clip at
--- any time, nil is the clip's order. Its order, position and epoch are plain data that a
--- checkpoint can store; `:advance()` returns the index of the next frame, and the one after it.
---
---     local order = lv.video.sequence(#clip, "shuffled")
---     print(order:advance())
---
---@param count integer
---@param kind? string
---@return table
function video.sequence(count, kind)
  return setmetatable(
    { count = count, kind = kind, order = {}, position = 0, epoch = 0 }, Sequence)
end

-- Advances to the next frame; returns its index, and the one after it in the same epoch.
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
video.Clip = Clip

local takes_open <const> = options.takes("video.open", {
  { "size", nil, "{ height, width } that frames are scaled to", type = "list" },
  { "resize", nil, "the same, as the command line calls it", type = "list" },
  { "crop", nil, "{ y, x, height, width } to keep, before scaling; y and x from 1",
    type = "list" },
  { "frames", nil, "number of frames from the first, or { first, last }", type = "integer|list" },
  { "first", nil, "the first frame, from 1", type = "integer" },
  { "last", nil, "the last frame, inclusive", type = "integer" },
  { "every", nil, "use every n-th frame", type = "integer" },
  { "rate", nil, "frames per second, reached by dropping or duplicating frames", type = "number" },
  { "deinterlace", nil, "combines fields into whole frames", type = "boolean" },
  { "allow_truncated", nil, "accepts a file that ends early", type = "boolean" },
  { "cache", nil, "bytes of decoded frames in memory (a quarter of it)", type = "integer" },
  { "cache_dir", nil, "folder for frames that do not fit into the cache", type = "string" },
  { "width", nil, "of headerless video", type = "integer" },
  { "height", nil, "of headerless video", type = "integer" },
  { "pixel_format", nil, "of headerless video, by libav's name", type = "string" },
})

local takes_batches <const> = options.takes("video.Clip.batches", {
  { "epochs", 1, "passes over the clip" },
  { "shuffle", false, "a new order in every pass" },
})

local takes_writer <const> = options.takes("video.writer", {
  { "clip", nil, "default for width, height, fps and timestamps",
    type = "clip|table" },
  { "sources", nil, "input paths, which are not overwritten", type = "table" },
  { "width", nil, "pixels across", type = "integer" },
  { "height", nil, "pixels down", type = "integer" },
  { "fps", nil, "frames per second", type = "number" },
  { "timestamps", nil, "seconds of every frame, instead of a constant rate", type = "list" },
  { "format", nil, "ffv1, x264, x265, y4m, png or raw (from the path)", type = "string" },
  { "crf", nil, "quality of H.264 and H.265, lower is better", type = "number" },
  { "preset", nil, "their preset, such as veryslow", type = "string" },
  { "tune", nil, "their tuning, such as psnr", type = "string" },
  { "one_group", nil, "one group of pictures for all frames", type = "boolean" },
  { "threads", nil, "threads of the encoder", type = "integer" },
})

local takes_scenes <const> = options.takes("video.scenes", {
  { "threshold", options.default "scene_threshold",
    "luma difference that starts a scene, in 8-bit levels above the recent mean" },
  { "least", options.default "min_gop", "minimum frames of a scene" },
})

video.layout = require "lunerv.raw_layout"

-- `given` with the layout of a raw file; second, that layout if it came from the name. Or nil, nil
-- and the error.
local function completed(path, given)
  if type(path) ~= "string" then
    errors.raise("video.open: expected the path of a video, got %s", errors.type_of(path))
  end
  given = takes_open(given)
  given.size, given.resize = given.size or given.resize, nil
  local frames = given.frames
  if type(frames) == "table" then
    given.first, given.last = frames[1], frames[2]
  elseif frames then
    given.last = (given.first or 1) + frames - 1
  end
  given.frames = nil
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

-- A clip object from its facts: `found` holds width, height, frames, fps, timestamps, …
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

--- Opens a clip: a video file, a folder of images or a raw file (whose layout comes from the name
--- unless it is given); nil and an error if that fails.
--- Frames are decoded on demand, and cached as long as there is room.
---
---     local clip <close> = assert(lv.video.open("film.mp4", { size = { 180, 320 }, last = 48 }))
---     print(#clip, clip.width, clip.height, clip.fps)
---
---@param path string
---@param options? lunerv.video.open.Options
---@return lunerv.Clip?
---@return lunerv.Error?
function video.open(path, given)
  local complete, layout, problem = completed(path, given)
  if problem then return nil, problem end
  local handle, message = native.open_video(path, complete)
  if not handle then return nil, message end
  local clip = new_clip(path, complete, layout, handle)
  clip.handle = handle
  return clip
end

--- Opens a clip without keeping frames in memory or on disk. It is read to its end once; its parts,
--- or all of it, are read again when frames are needed.
--- A pipe, which can be read only once, is opened as by lv.video.open.
---
---     local film = assert(lv.video.scan "film.mp4")
---     local scenes = lv.video.scenes(film)
---
---@param path string
---@param options? lunerv.video.open.Options
---@return lunerv.Clip?
---@return lunerv.Error?
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

--- Opens the clip that a command line asks for, and reports on stderr what was left out.
--- Frames that do not fit into memory spill to the disk of `output`.
---
---@param o table  clip, frames, resize, crop, deinterlace, cache
---@param output string  a path, which need not exist yet
---@param open? function  lv.video.open, or lv.video.scan
---@return lunerv.Clip?
---@return lunerv.Error?
function video.open_for(o, output, open)
  local folder = output
  repeat folder = folder:match "^(.+)/[^/]*$" or "." until native.exists(folder)
  local frames = o.frames or {}
  local clip, message = (open or video.open)(o.clip, {
    first = frames[2] and frames[1], last = frames[2] or frames[1],
    size = o.resize, crop = o.crop, deinterlace = o.deinterlace, cache = o.cache,
    cache_dir = folder,
  })
  if not clip then return nil, message end
  video.print_warnings(clip)
  return clip
end

-- Leaving a loop early releases the file; the next access to a frame opens it again. `what` is the
-- calling method.
local function opened(self, what)
  if self.closed then
    errors.raise("%s: expected an open clip, '%s' has been closed", what, self.source)
  end
  if not self.handle then
    self.handle = errors.must(native.open_video(self.source, self.given))
  end
  return self.handle
end

local function release(self)
  if self.handle then self.handle:close() end
  self.handle = nil
end

--- A frame as numbers from 0 to 1.
---
---     local image = clip:frame(1)
---
---@param index integer  from 1, from the end when negative
---@return lunerv.Tensor  (1, 3, h, w), f32
function Clip:frame(index) return opened(self, "frame"):frame(index) end

--- A frame as 8-bit levels.
---
---@param index integer
---@return lunerv.Tensor  (1, 3, h, w), u8
function Clip:frame_u8(index) return opened(self, "frame_u8"):frame_u8(index) end

--- Starts to decode a frame in the background, for the next `frame` or `sample` of it.
---
---@param index integer
function Clip:prefetch(index) opened(self, "prefetch"):prefetch(index) end

--- A frame for training: { image, t, index }, with t = index / frames.
---
---@param index integer
---@return table
function Clip:sample(index)
  if math.type(index) == "integer" and index < 0 then index = self.frames + 1 + index end
  return { image = self:frame(index), t = index / self.frames, index = index }
end

--- The difference of each frame from those before it: the mean luma difference of its pixels (0 to
--- 255).
---
---@return number[][]  from the previous frame, and from two frames before; 0 for none
function Clip:changes()
  if not self.differences then self.differences = opened(self, "changes"):changes() end
  return self.differences
end

-- A part of a clip that can be read only once.
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

--- Frames of a clip as a separate clip, whose times begin at 0.
--- It reads the file again, so that no other frames take memory.
---
---     local scene <close> = clip:part(25, 48)
---
---@param first integer  from 1
---@param last integer  inclusive
---@return lunerv.Clip
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
      errors.data("%s: the clip has changed since it was opened", self.source)
    end
    part = found
  end
  part.fps, part.timestamps = self.fps, {}
  for i = first, last do
    part.timestamps[i - first + 1] = self.timestamps[i] - self.timestamps[first]
  end
  return part
end

--- Closes the clip: its frames are no longer available.
function Clip:close()
  release(self)
  self.closed = true
end

Clip.__close = Clip.close

function Clip:__len() return self.frames end

function Clip:__tostring()
  return ("clip '%s': %d frames of %dx%d"):format(native.printable(self.source), self.frames,
    self.width, self.height)
end

--- An iterator over steps and frames, pass after pass.
--- Steps count from 1 over all passes. Leaving the loop early closes the file, which is opened
--- again for the next access to a frame.
---
---     for step, frame in clip:batches { epochs = 30, shuffle = true } do
---       local output = model(frame.t)
---     end
---
---@param options? lunerv.video.Clip.batches.Options
---@return function  returns a step's number and { image, t, index }
function Clip:batches(given)
  local o = takes_batches(given)
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
      if not finished then release(self) end
    end,
  })
  return next_frame, nil, 0, guard
end

--- The scenes of a clip, split where its content changes from one frame to the next.
---
--- Flashes, fades and pans are no cuts. Every frame belongs to one scene.
---
---     for _, scene in ipairs(lv.video.scenes(clip)) do
---       local part <close> = clip:part(scene.first, scene.last)
---     end
---
---@param clip lunerv.Clip
---@param options? lunerv.video.scenes.Options
---@return table[]  a list of { first, last }, frames from 1, inclusive
function video.scenes(clip, given)
  if type(clip) ~= "table" or not clip.changes then
    errors.raise("video.scenes: expected a clip, got %s", errors.type_of(clip))
  end
  local o = takes_scenes(given)
  local list, first = {}, 1
  for _, cut in ipairs(scenes.cuts(clip:changes(), o.threshold, o.least)) do
    list[#list + 1] = { first = first, last = cut - 1 }
    first = cut
  end
  list[#list + 1] = { first = first, last = #clip }
  return list
end

-- Writing -----------------------------------------------------------------------------------

--- Opens a file, or a folder of images, to write frames to; nil and an error if that fails.
--- The extension sets the format: .mkv is FFV1 and a folder (`name/`) PNGs, both exact; .mp4 is
--- H.264. Neither the source of `clip` nor one of `sources` is overwritten.
---
---     local writer <close> = assert(lv.video.writer("out.mkv", { clip = clip }))
---     for i = 1, #clip do writer:write(clip:frame(i)) end
---
---@param path string
---@param options lunerv.video.writer.Options
---@return lunerv.Writer?
---@return lunerv.Error?
function video.writer(path, given)
  if type(path) ~= "string" then
    errors.raise("video.writer: expected a path, got %s", errors.type_of(path))
  end
  given = takes_writer(given)
  local clip = given.clip
  sources.keep(path, clip and clip.source, table.unpack(given.sources or {}))
  for _, name in ipairs { "width", "height", "fps", "timestamps" } do
    if clip and given[name] == nil then given[name] = clip[name] end
  end
  given.clip, given.sources = nil, nil
  return native.open_writer(path, given)
end

--- Prints the warnings of a clip or a writer to stderr, except the first `printed`.
---
---@param of lunerv.Clip|lunerv.Writer
---@param printed? integer
---@return integer  the number of warnings
function video.print_warnings(of, printed)
  local warnings = of.warnings or {}
  for i = (printed or 0) + 1, #warnings do native.stderr("warning: " .. warnings[i] .. "\n") end
  return #warnings
end

--- The old name of lv.video.print_warnings.
---
---@param of lunerv.Clip|lunerv.Writer
---@param printed? integer
---@return integer
function video.tell(of, printed)
  errors.renamed("lv.video.tell", "lv.video.print_warnings") -- words: allow
  return video.print_warnings(of, printed)
end

--- Writes an image as a PNG file: the old name of lv.image.write.
---
---@param path string
---@param picture lunerv.Tensor  (1, 3, h, w)
---@return boolean?
---@return lunerv.Error?
function video.write_image(path, picture) return image.write(path, picture) end

--- Two images side by side.
---
---@param left lunerv.Tensor  (1, 3, h, w)
---@param right lunerv.Tensor
---@return lunerv.Tensor
function video.side_by_side(left, right) return native.cat({ left, right }, 4) end

return errors.refuse_unknown(video, "lv.video")
