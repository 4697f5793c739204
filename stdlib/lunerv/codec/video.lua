-- A file that is being decoded, lv.codec.Video. It holds the network of one segment at a time.
local buffers <const> = require "lunerv.codec.buffers"
local decoders <const> = require "lunerv.codec.decoders"
local errors <const> = require "lunerv.errors"
local layout <const> = require "lunerv.codec.layout"
local metrics <const> = require "lunerv.metrics"
local modelled <const> = require "lunerv.codec.modelled"
local native <const> = require "lunerv.native"
local order <const> = require "lunerv.codec.order"
local program <const> = require "lunerv.codec.program"
local slots <const> = require "lunerv.compress.slots"

local Video <const> = {}
Video.__index = Video

-- Called with "segment" or "frame" before its network or image is made.
local function begun() end

-- The model of a segment of `video`; the shape of an embedding, if it decodes embeddings; and the
-- frames per group, if they depend on each other.
local function model_of(video, segment)
  local text = segment.sections.decoder
  if program.is(text) then return video.build(text) end
  local model = decoders.build(text, video.height, video.width, segment.frames,
    #segment.sections.weights)
  local c = model.config
  return model, model.encode and { 1, c.enc_dim[2], model.grid[1], model.grid[2] }
end

local function weights_of(video, segment, list)
  if modelled.is(segment) then
    return modelled.decode(segment.sections.weights, list, video.find_model)
  end
  local shapes = {}
  for i, slot in ipairs(list) do shapes[i] = slot.tensor.shape end
  return native.decode_tensors(segment.kinds.weights, segment.sections.weights, shapes)
end

-- The network's output for frame `i` of a segment.
local function image_of(segment, model, embeddings, i, ...)
  begun "frame"
  local t = i / segment.frames
  if not embeddings then return model(t, ...):evaluate() end
  return model:decode(embeddings:frame(i), t, ...):evaluate()
end

-- The order of a segment's frames; nil if they are independent.
local function order_of(segment, model, embeddings, group)
  if (segment.kinds.decoder == "ordered decoder") ~= (group ~= nil) then
    layout.damaged("decoder", "only an ordered decoder has groups of frames")
  end
  if not group then return nil end
  return order.of(model, group, segment.frames, function(i, images)
    return image_of(segment, model, embeddings, i, i, images)
  end)
end

-- The network of a segment of `video`, its embeddings and its order, if any.
local function build(video, segment)
  local sections, embeddings = segment.sections, nil
  local model, embedding, group = model_of(video, segment)
  if sections.buffers then buffers.unpack(model, sections.buffers) end

  local list = slots.of(model)
  local tensors = weights_of(video, segment, list)
  native.no_grad(function()
    for i, slot in ipairs(list) do
      slot.tensor:copy_(tensors[i])
      slot.tensor.requires_grad = false
    end
  end)

  if embedding then
    if not sections.embeddings then layout.damaged("embeddings", "it is missing") end
    embeddings = native.decode_embeddings(segment.kinds.embeddings, sections.embeddings,
      segment.frames, embedding)
  elseif sections.embeddings then
    layout.damaged("embeddings", "this decoder does not use it")
  end
  return model, embeddings, order_of(segment, model, embeddings, group)
end

-- Prepares `video` for the frames of segment `index`, replacing the previous one: there is one
-- network at a time.
local function enter(video, index)
  local segment = video.segments[index]
  if video.segment == segment then return end
  video.segment, video.model, video.embeddings, video.order = nil, nil, nil, nil
  begun "segment"
  local state = native.rng_state() -- a new model draws random numbers
  local ok, model, embeddings, in_order = errors.attempt(build, video, segment)
  native.set_rng_state(state)
  if not ok then
    if #video.segments == 1 then error(model, 0) end
    errors.data("%s", ("%ssegment %d, %s"):format(video.path and video.path .. ": " or "", index,
      errors.reason(model)))
  end
  video.segment, video.model, video.embeddings = segment, model, embeddings
  video.order = in_order
end

-- A frame from the process that decodes; an error names the file.
local function frame_of_process(video, i)
  local ok, frame = errors.attempt(video.process.frame, video.process, i)
  native.step_boundary()
  if ok then return frame end
  if video.path and errors.is(frame, "data") then
    errors.data("%s: %s", video.path, errors.reason(frame))
  end
  error(frame, 0)
end

function Video:__len() return self.frames end

--- Ends the process that decodes the file, if any. `local video <close> = …` does so at the end of
--- its block, and garbage collection later.
---
---     local video <close> = assert(lv.codec.open "clip.lnv")
function Video:close()
  if self.process then self.process:close() end
end

Video.__close = Video.close

--- The number of the segment that frame `i` belongs to.
---
---@param i integer
---@return integer
function Video:segment_of(i)
  local low, high = 1, #self.segments
  while low < high do
    local middle = (low + high + 1) // 2
    if self.segments[middle].first <= i then low = middle else high = middle - 1 end
  end
  return low
end

--- A frame of the video, as numbers near [0, 1].
---
---@param i integer  from 1
---@return lunerv.Tensor  (1, 3, height, width)
function Video:frame(i)
  if math.type(i) ~= "integer" or i < 1 or i > self.frames then
    errors.raise("frame: expected 1 to %d, got %s", self.frames, tostring(i))
  end
  if self.process then return frame_of_process(self, i) end
  enter(self, self:segment_of(i))
  local index = i - self.segment.first + 1
  local output = native.no_grad(function()
    if self.order then return self.order:frame(index) end
    return image_of(self.segment, self.model, self.embeddings, index)
  end)
  native.step_boundary()
  return output
end

--- Compares the video with a clip of the same size: means over its frames, printable.
---
---     print(assert(lv.codec.open "clip.lnv"):evaluate(clip))
---
---@param clip lunerv.Clip
---@param on_frame? fun(frame: table, output: lunerv.Tensor, quality: table)  sees each frame
---@param frames? integer[]  the frames to compare (all)
---@return table  psnr, psnr_8bit, ms_ssim
function Video:evaluate(clip, on_frame, frames)
  if clip.height ~= self.height or clip.width ~= self.width or #clip ~= self.frames then
    errors.raise("evaluate: the file has %d frames of %dx%d, the clip %d of %dx%d", self.frames,
      self.width, self.height, #clip, clip.width, clip.height)
  end
  local decoded = { reconstruct = function(_, frame) return self:frame(frame.index) end }
  return metrics.evaluate(decoded, clip, on_frame, frames)
end

return {
  Video = Video,
  when_begun = function(observer) begun = observer end,
  -- `video`, from layout.read, prepared for its first frame: in this process.
  begin = function(video)
    enter(setmetatable(video, Video), 1)
    return video
  end,
}
