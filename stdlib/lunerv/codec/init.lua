-- lv.codec: compressed files.
--
--   local file = assert(lv.codec.write("clip.lnv", cem, { clip = clip }))
--   print(file.bytes, file.bpp, file.psnr_8bit)
--   local video = assert(lv.codec.open("clip.lnv"))
--   for i = 1, #video do writer:write(video:frame(i)) end
local bridge <const> = require "lunerv.bridge"
local decoders <const> = require "lunerv.codec.decoders"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local program <const> = require "lunerv.codec.program"
local slots <const> = require "lunerv.compress.slots"

local codec <const> = {}

-- Reading -----------------------------------------------------------------------------------

local Video <const> = {}
Video.__index = Video

local function damaged(message, ...) bridge.fail("data", message:format(...)) end

-- The tensors of a model that are no parameters: what it computes with but does not learn.
local function buffers_of(model)
  local parameters, list = {}, {}
  for _, tensor in ipairs(model:parameters()) do parameters[tensor] = true end
  for _, entry in ipairs(model:state_dict()) do
    if not parameters[entry[2]] and not entry[1]:match "^encoder%." then list[#list + 1] = entry end
  end
  return list
end

-- Buffers that differ from those a new model has: 32-bit floats in order, all or none.
local function pack_buffers(model, fresh)
  local parts, differ = {}, false
  local theirs = buffers_of(fresh)
  for i, entry in ipairs(buffers_of(model)) do
    local values = entry[2]:view(-1):tolist()
    local other = theirs[i][2]:view(-1):tolist()
    for k, value in ipairs(values) do
      differ = differ or value ~= other[k]
      parts[#parts + 1] = string.pack("<f", value)
    end
  end
  return differ and table.concat(parts) or nil
end

local function unpack_buffers(model, bytes)
  local at = 1
  for _, entry in ipairs(buffers_of(model)) do
    local values, count = {}, entry[2]:numel()
    if at + 4 * count - 1 > #bytes then damaged "section 'buffers': it ends too early" end
    for k = 1, count do values[k], at = string.unpack("<f", bytes, at) end
    native.no_grad(function()
      entry[2]:copy_(native.tensor(values):view(table.unpack(entry[2].shape)))
    end)
  end
  if at ~= #bytes + 1 then damaged "section 'buffers': it is too long" end
end

local required <const> = { "clip", "decoder", "weights" }

-- Sections by name, and the list of all with their sizes, which sum to the file's.
local function sections_of(bytes)
  local names, payloads, header, skipped = native.lnv_unpack(bytes)
  local by_name, sizes = {}, { { name = "header", bytes = header } }
  for i, name in ipairs(names) do
    if by_name[name] then damaged("section '%s' comes twice", name) end
    by_name[name] = payloads[i]
    sizes[#sizes + 1] = { name = name, bytes = #payloads[i] }
  end
  if skipped > 0 then sizes[#sizes + 1] = { name = "skipped", bytes = skipped } end
  for _, name in ipairs(required) do
    if not by_name[name] then damaged("section '%s' is missing", name) end
  end
  return by_name, sizes
end

local function describe(bytes)
  local sections, sizes = sections_of(bytes)
  local height, width, frames, fps, timestamps = native.lnv_read_clip(sections.clip)
  return {
    height = height, width = width, frames = frames, fps = fps, timestamps = timestamps,
    bytes = #bytes, bpp = 8 * #bytes / (frames * height * width), sections = sizes,
    decoder = sections.decoder,
  }, sections
end

-- The model of a file, and the shape of an embedding, if it decodes such.
local function model_of(sections, video, build)
  if program.is(sections.decoder) then return build(sections.decoder, sections) end
  local model = decoders.build(sections.decoder, video.height, video.width, video.frames)
  local c = model.config
  return model, model.encode and { 1, c.enc_dim[2], model.grid[1], model.grid[2] }
end

-- Decodes the bytes of a file: a video with height, width, frames, fps, timestamps (nil at a
-- constant rate), bytes, bpp, sections, and `:frame(i)`. What is wrong with them is an error that
-- names the section.
--
-- A decoder that came in the file runs in a process without rights, and with `confined = true`
-- every other does. Options: `max_work`, the elements, multiplications and additions that it may
-- compute for the whole video, and `max_memory`, the bytes of its tensors (both follow from the
-- frames' size and number). `build(text, sections)` gives its model here instead, for those who
-- trust it.
function codec.decode(bytes, given)
  local o = options(given, {}, { "max_work", "max_memory", "confined", "build" })
  local video, sections = describe(bytes)
  local is_program = program.is(sections.decoder)
  if is_program and not sections["decoder program"] then
    damaged "section 'decoder program' is missing"
  end
  if (is_program or o.confined) and not o.build then
    video.process = native.decoder_process(bytes, video.height, video.width, video.frames,
      { max_work = o.max_work, max_memory = o.max_memory })
    return setmetatable(video, Video)
  end
  local model, embedding = model_of(sections, video, o.build)
  if sections.buffers then unpack_buffers(model, sections.buffers) end

  local list, shapes = slots.of(model), {}
  for i, slot in ipairs(list) do shapes[i] = slot.tensor.shape end
  local tensors = native.decode_tensors(sections.weights, shapes)
  native.no_grad(function()
    for i, slot in ipairs(list) do
      slot.tensor:copy_(tensors[i])
      slot.tensor.requires_grad = false
    end
  end)

  if embedding then
    if not sections.embeddings then damaged "section 'embeddings' is missing" end
    video.embeddings = native.decode_embeddings(sections.embeddings, video.frames, embedding)
  elseif sections.embeddings then
    damaged "section 'embeddings' has no use for this decoder"
  end
  video.model = model
  return setmetatable(video, Video)
end

-- Calls body(bytes of a file, …); nil and a message when it cannot be read, or is not sound.
local function attempt(path, body, ...)
  local bytes, message = native.read_file(path)
  if not bytes then return nil, message end
  local ok, result = pcall(body, bytes, ...)
  if ok then return result end
  if bridge.interrupted() then error(result, 0) end
  -- What is wrong with a file has no place in a script.
  local problem = tostring(result)
  local at = problem:find("header: ", 1, true) or problem:find("section '", 1, true) or 1
  return nil, ("%s: %s"):format(path, problem:sub(at))
end

-- Opens a file, with the options of codec.decode; nil and a message if it cannot be read or
-- decoded.
function codec.open(path, given) return attempt(path, codec.decode, given) end

-- What a file holds, without decoding a frame: height, width, frames, fps, bytes, bpp, decoder and
-- `sections`, a list of { name, bytes }; or nil and a message.
function codec.info(path) return attempt(path, describe) end

function Video:__len() return self.frames end

-- Frame `i` as (1, 3, height, width), numbers near [0, 1].
function Video:frame(i)
  if math.type(i) ~= "integer" or i < 1 or i > self.frames then
    errors.raise("frame: 1 to %d expected, got %s", self.frames, tostring(i))
  end
  if self.process then return self.process:frame(i) end
  local t = i / self.frames
  local output = native.no_grad(function()
    if not self.embeddings then return self.model(t):evaluate() end
    return self.model:decode(self.embeddings:frame(i), t):evaluate()
  end)
  native.step_boundary()
  return output
end

-- Compares the video with a clip of the same size: { psnr, ms_ssim, psnr_8bit }, printable.
-- `on_frame(frame, output)` is called for each frame, in order.
function Video:evaluate(clip, on_frame)
  if clip.height ~= self.height or clip.width ~= self.width or #clip ~= self.frames then
    errors.raise("the file has %d frames of %dx%d, the clip %d of %dx%d", self.frames, self.width,
      self.height, #clip, clip.width, clip.height)
  end
  local decoded = { reconstruct = function(_, frame) return self:frame(frame.index) end }
  return metrics.evaluate(decoded, clip, on_frame)
end

-- Writing -----------------------------------------------------------------------------------

-- The bytes of a file for `compressed`, which answers `stored(clip)`: { model, weights, steps,
-- embeddings, embedding_step, embedding_offset }. Options: clip; families (of "gaussian",
-- "laplace", "adaptive"), what distributions symbols may have; group, frames decoded together;
-- predict = false, to tell every frame's embedding by itself.
function codec.encode(compressed, given)
  local o = options(given, { predict = true }, { "clip", "families", "group" })
  local clip = o.clip or errors.raise "codec: a clip expected"
  local stored = compressed:stored(clip)
  local model = stored.model
  local text, fresh, embedding
  if decoders.knows(model) then
    text = decoders.describe(model)
    fresh = decoders.build(text, clip.height, clip.width, #clip)
  else
    embedding = stored.embeddings and stored.embeddings[1].shape
    text = program.describe(model, embedding)
    fresh = program.build(text, program.class)
  end

  local names, payloads = {}, {}
  local function add(name, bytes) names[#names + 1], payloads[#payloads + 1] = name, bytes end
  add("clip", native.lnv_clip(clip.height, clip.width, #clip, clip.fps or 25,
    clip.timestamps or {}))
  add("decoder", text)
  if program.is(text) then add("decoder program", native.lnv_program(program.sources(text))) end
  local buffers = pack_buffers(model, fresh)
  if buffers then add("buffers", buffers) end
  local coding = { families = o.families or stored.families, group = o.group }
  local weights = stored.weights
  if stored.rounding and stored.rdo > 0 then
    weights = stored.rounding(stored.rdo, weights, stored.steps, coding.families)
  end
  add("weights", native.encode_tensors(weights, stored.steps, coding))
  if stored.embeddings then
    coding.predict = o.predict and stored.predict ~= false
    add("embeddings", native.encode_embeddings(stored.embeddings, stored.embedding_step,
      stored.embedding_offset, coding))
  end
  return native.lnv_pack(names, payloads), function() return fresh, embedding end
end

-- A decoder that travels is tried where it will run before its file is published: what that makes
-- must equal, bit for bit, what it makes here.
local function compare(index, there, here)
  if there:eq(here:frame(index)):amin():item() == 1 then return end
  errors.raise("frame %d of the decoder program in the file differs from what it makes here: its "
    .. "modules must be those that were loaded, and compute the same every time", index)
end

-- What files written are: printable.
codec.File = {
  __tostring = function(f)
    return ("%d bytes, %.4f bpp, psnr_8bit %.2f dB, ms_ssim %.4f"):format(f.bytes, f.bpp,
      f.psnr_8bit, f.ms_ssim)
  end,
}

-- Writes `compressed` to `path`, whole or not at all. The result says what the file is: bytes,
-- bpp, sections, and, unless `verify` is false, psnr, ms_ssim and psnr_8bit of what decoding those
-- bytes gives (`on_frame(frame, output)` sees each frame). Other options as codec.encode. Returns
-- nil and a message when the file cannot be written.
function codec.write(path, compressed, given)
  local o = options(given, { verify = true, predict = true },
    { "clip", "families", "group", "on_frame" })
  local bytes, build = codec.encode(compressed,
    { clip = o.clip, families = o.families, group = o.group, predict = o.predict })
  local file = describe(bytes)
  local here = program.is(file.decoder) and codec.decode(bytes, { build = build })
  local there = (here or o.verify) and codec.decode(bytes)
  if here and not o.verify then compare(1, there:frame(1), here) end
  if o.verify then
    local quality = there:evaluate(o.clip, function(frame, output, ...)
      if here then compare(frame.index, output, here) end
      if o.on_frame then o.on_frame(frame, output, ...) end
    end)
    for name, value in pairs(quality) do file[name] = value end
    setmetatable(file, codec.File)
  end
  local ok, message = native.write_file(path, bytes)
  if not ok then return nil, message end
  file.path = path
  return file
end

return codec
