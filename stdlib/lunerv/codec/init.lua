-- lv.codec: compressed files.
--
--   local file = assert(lv.codec.write("clip.lnv", cem, { clip = clip }))
--   print(file.bytes, file.bpp, file.psnr_8bit)
--   local video = assert(lv.codec.open("clip.lnv"))
--   for i = 1, #video do writer:write(video:frame(i)) end
--   assert(lv.codec.join("both.lnv", { "clip.lnv", "other.lnv" }))
--
-- A file may be in segments, each with its own network; a video holds one network at a time.
local buffers <const> = require "lunerv.codec.buffers"
local decoders <const> = require "lunerv.codec.decoders"
local errors <const> = require "lunerv.errors"
local module_buffers <const> = require "lunerv.nn.buffers"
local layout <const> = require "lunerv.codec.layout"
local modelled <const> = require "lunerv.codec.modelled"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local order <const> = require "lunerv.codec.order"
local program <const> = require "lunerv.codec.program"
local sources <const> = require "lunerv.sources"
local slots <const> = require "lunerv.compress.slots"
local videos <const> = require "lunerv.codec.video"

local codec <const> = {}

local takes_decode <const> = options.takes("codec.decode", {
  { "max_work", nil, "limit of operations and elements, per frame and per start of a segment; "
    .. "allows 2 s of processor time, and 1 s for every 5e8 (by the sizes of frames and file)",
    type = "number" },
  { "max_memory", nil, "limit of the bytes of tensors (by the size of frames, at most half of the "
    .. "memory)", type = "number" },
  { "confined", true, "whether to decode in a process without rights; false, for trusted files, "
    .. "decodes in this process, where `video.model` is the network, and does not need a system "
    .. "that can confine a process" },
  { "build", nil, "fun(text, sections): the model of a decoder in a trusted file",
    type = "function" },
  { "models", nil, "fun(name, sections): the probability model of that name in a trusted file",
    type = "function" },
})

local coded <const> = {
  { "clip", nil, "the clip that the model was trained on", type = "clip" },
  { "families", nil, "probability models of the symbols: gaussian, laplace, adaptive, context "
    .. "(those of the model, or all)", type = "table" },
  { "group", nil, "frames whose embeddings are decoded together", type = "integer" },
  { "predict", true, "code embeddings as differences from the previous frame" },
  { "model", nil, "the probability model of the weights, which is stored in the file: a module "
    .. "that returns a model of lv.coder, or fun(name, shape, index, codes) that gives one for a "
    .. "tensor, or nil (families)", type = "table|function" },
}

local function and_coded(list) return table.move(coded, 1, #coded, #list + 1, list) end

local takes_encode <const> = options.takes("codec.encode", and_coded {})
local takes_write <const> = options.takes("codec.write", and_coded {
  { "verify", true, "decode the file and measure its quality" },
  { "on_frame", nil, "fun(frame, output, quality): called with each decoded frame",
    type = "function" },
})
local takes_join <const> = options.takes("codec.join", {
  { "fps", nil, "frames per second of the result (the files')", type = "number" },
  { "timestamps", nil, "seconds of every frame of the result (the files')", type = "list" },
})

-- Reading -----------------------------------------------------------------------------------

codec.Video = videos.Video

--- Decodes the bytes of a file: a video. It has height, width, frames, fps, timestamps (nil at a
--- constant rate), bytes, bpp, sections and segments, `#video` frames, `video:frame(i)` and
--- `video:evaluate(clip)`. Damaged bytes are an error that names the section; segments after the
--- first are decoded on demand. Decoding runs in a confined process, within limits that no file can
--- raise: docs/security.md. `video:close()` ends the process.
---
---     local video = lv.codec.decode(assert(lv.read_file "clip.lnv"))
---     print(#video, video:frame(1).shape[4])
---
---@param bytes string
---@param options? lunerv.codec.decode.Options
---@return lunerv.codec.Video
function codec.decode(bytes, given)
  local o = takes_decode(given)
  local video, shared = layout.read(bytes)
  local has_program, has_model = false, false
  for _, segment in ipairs(video.segments) do
    has_program = has_program or program.is(segment.sections.decoder)
    has_model = has_model or modelled.is(segment)
  end
  if (has_program or has_model) and not shared["decoder program"] then
    layout.damaged("decoder program", "it is missing")
  end
  local is_own = has_program or has_model
  if (is_own or o.confined) and not (o.build or o.models) then
    video.process = native.decoder_process(bytes, video.height, video.width, video.frames, {
      max_work = o.max_work, max_memory = o.max_memory, confined = o.confined,
      section = is_own and "decoder program" or "decoder",
    })
    return setmetatable(video, codec.Video)
  end
  if has_program and not o.build or has_model and not o.models then
    errors.raise("codec.decode: this file requires `%s` too", o.build and "models" or "build")
  end
  video.build = o.build and function(text) return o.build(text, shared) end
  video.find_model = o.models and function(name)
    local model = o.models(name, shared)
    if modelled.is_model(model) then return model end
    errors.raise("'%s' does not return a probability model", name)
  end
  return videos.begin(video)
end

local function check_path(what, path)
  if type(path) ~= "string" then
    errors.raise("%s: expected a path, got %s", what, errors.type_of(path))
  end
end

-- Calls body(bytes of a file, …); nil and an error if it cannot be read or is damaged.
local function attempt(path, body, ...)
  local bytes, message = native.read_file(path)
  if not bytes then return nil, message end
  local ok, result = errors.attempt(body, bytes, ...)
  if ok then return result end
  return nil, errors.new("data", path .. ": " .. errors.reason(result))
end

--- Opens a file: a video; nil and an error if it cannot be read or decoded.
---
---     local video = assert(lv.codec.open "clip.lnv")
---     for i = 1, #video do writer:write(video:frame(i)) end
---
---@param path string
---@param options? lunerv.codec.decode.Options
---@return lunerv.codec.Video?
---@return lunerv.Error?
function codec.open(path, given)
  check_path("codec.open", path)
  local video, message = attempt(path, codec.decode, given)
  if not video then return nil, message end
  video.path = path
  return video
end

--- The contents of a file, without decoding a frame; or nil and an error.
---
--- `sections` is a list of { name, bytes, segment }, which sums to all bytes; `segments` one of
--- { first, last, frames, bytes, sections }.
---
---     for _, section in ipairs(assert(lv.codec.info "clip.lnv").sections) do
---       print(section.bytes, section.name)
---     end
---
---@param path string
---@return table?  height, width, frames, fps, bytes, bpp, level, decoder, sections, segments
---@return lunerv.Error?
function codec.info(path)
  check_path("codec.info", path)
  return attempt(path, function(bytes) return (layout.read(bytes)) end)
end

-- Writing -----------------------------------------------------------------------------------

-- Raises unless `compressed` is a compressed model, and its clip is given.
local function check_encoded(what, compressed, clip)
  local is_compressed = type(compressed) == "table" and not rawget(compressed, "class_name")
    and compressed.stored
  if not is_compressed then
    errors.raise("%s: expected a model from lv.compress, or an object with a method "
      .. "`stored`, got %s", what, errors.type_of(compressed))
  end
  if type(clip) ~= "table" and type(clip) ~= "userdata" then
    errors.raise("%s: expected { clip = … }, got %s for a clip", what, errors.type_of(clip))
  end
end

--- Encodes a compressed model as the bytes of a file: a model from lv.compress, or any object with
--- a method `stored(clip)`. That returns { model, weights, steps, origins, embeddings,
--- embedding_step, embedding_offset }: the tensors for the file, in the order of the parameters,
--- rounded to their step sizes. A custom `model` codes the weights; its module is stored in the
--- file, as is that of a custom decoder. A function that returns models also gets the previous
--- tensors: `codes[name]` are the symbols of one, as i32.
---
--- A custom decoder may predict a frame from others. If it has a method `references(i)`, which
--- returns a list of frame numbers, its `forward` is called as (t, i, images), with those frames.
--- If it has a method `restart()`, it may keep state between frames, which are then requested in
--- order. Both apply within a group of frames, whose length is the field `group` (all frames);
--- decoding any frame starts at the beginning of its group.
---
---     local bytes = lv.codec.encode(cem, { clip = clip })
---
---@param compressed lunerv.Module
---@param options lunerv.codec.encode.Options
---@return string
---@return function  the `build` of codec.decode, for a custom decoder
function codec.encode(compressed, given)
  local o = takes_encode(given)
  local clip = o.clip
  check_encoded("codec.encode", compressed, clip)
  if o.model and not modelled.is_model(o.model) then
    errors.raise("codec.encode: model: expected a table with a family, or a function, got %s",
      errors.type_of(o.model))
  end
  local model_name = o.model
    and errors.on_behalf("codec.encode", nil, program.model_name, o.model)
  local stored = compressed:stored(clip)
  local model = stored.model
  local text, fresh, group
  if decoders.knows(model) then
    text = decoders.describe(model)
    fresh = decoders.build(text, clip.height, clip.width, #clip)
  else
    group = order.group_of(model, #clip)
    text = errors.on_behalf("codec.encode", nil, program.describe, model,
      stored.embeddings and stored.embeddings[1].shape, group)
    fresh = program.build(text, program.class)
    module_buffers.reset(model) -- state of the last training frame does not belong in the file
  end

  local names, payloads = {}, {}
  local function add(name, bytes) names[#names + 1], payloads[#payloads + 1] = name, bytes end
  add("clip", native.lnv_clip(clip.height, clip.width, #clip, clip.fps or 25,
    clip.timestamps or {}))
  add(group and "ordered decoder" or "decoder", text)
  if program.is(text) or model_name then
    add("decoder program", native.lnv_program(program.sources(text, model_name)))
  end
  local constants = buffers.pack(model, fresh)
  if constants then add("buffers", constants) end
  local coding = { families = o.families or stored.families, group = o.group }
  local weights = stored.weights
  if stored.rounding and stored.rdo > 0 then
    weights = stored.rounding(stored.rdo, weights, stored.steps, coding.families)
  end
  local payload, kind
  if model_name then
    kind, payload = modelled.encode(model_name, o.model, slots.of(fresh), weights, stored.steps,
      coding.families)
  else
    coding.origins = stored.origins
    payload, kind = native.encode_tensors(weights, stored.steps, coding)
  end
  add(kind, payload)
  if stored.embeddings then
    coding.predict = o.predict and stored.predict ~= false
    payload, kind = native.encode_embeddings(stored.embeddings, stored.embedding_step,
      stored.embedding_offset, coding)
    add(kind, payload)
  end
  return layout.pack(names, payloads), function() return program.build(text, program.class) end
end

-- A stored decoder is tested in its confined process before the file is published: its frames must
-- equal those made here, bit for bit.
local function compare(index, there, here)
  if there:eq(here:frame(index)):amin():item() == 1 then return end
  errors.raise("codec.write: frame %d of the decoder program in the file differs from the one "
    .. "made here: its modules must be the loaded ones, and be deterministic",
    index)
end

-- The video that fresh bytes decode to in this process.
local function decoded_here(bytes, rebuild, model)
  local ok, video = errors.attempt(codec.decode, bytes,
    { build = rebuild, models = model and function() return model end })
  if ok then return video end
  if not model then error(video, 0) end
  errors.raise("codec: the model does not decode its own output: it must make the same choices "
    .. "in every call (%s)", errors.reason(video))
end

-- Results of writing: printable.
codec.File = {
  __tostring = function(f)
    return ("%d bytes, %.4f bpp, psnr_8bit %.2f dB, ms_ssim %.4f"):format(f.bytes, f.bpp,
      f.psnr_8bit, f.ms_ssim)
  end,
}

--- Writes the file of a compressed model, whole or not at all, and measures it. The figures are
--- measured on its own bytes, decoded; a custom decoder or model is decoded in a confined process.
--- The result prints as its figures.
---
---     local file = assert(lv.codec.write("clip.lnv", cem, { clip = clip }))
---     print(file.bytes, file.bpp, file.psnr_8bit)
---     lv.codec.write("own.lnv", cem, { clip = clip, model = require "peaks" })
---
---@param path string
---@param compressed lunerv.Module  see lv.codec.encode
---@param options lunerv.codec.write.Options
---@return table?  bytes, bpp, sections, path and, verified, psnr, ms_ssim, psnr_8bit
---@return lunerv.Error?
function codec.write(path, compressed, given)
  check_path("codec.write", path)
  local o = takes_write(given)
  check_encoded("codec.write", compressed, o.clip)
  sources.keep(path, o.clip and o.clip.source)
  local bytes, rebuild = errors.on_behalf("codec.write", "codec.encode", codec.encode, compressed,
    { clip = o.clip, families = o.families, group = o.group, predict = o.predict, model = o.model })
  local file = layout.read(bytes)
  local here = (program.is(file.decoder) or o.model) and decoded_here(bytes, rebuild, o.model)
  -- The library's own decoders give the same bits here, and the file is trusted.
  local there = (here or o.verify) and codec.decode(bytes, { confined = here and true or false })
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

--- Joins files into one: their frames follow one another, each file's in its own segments, without
--- encoding again. nil and an error if one cannot be read, if their frames differ in size, or if
--- `path` cannot be written.
---
---     assert(lv.codec.join("both.lnv", { "one.lnv", "two.lnv" }))
---
---@param path string
---@param paths string[]
---@param options? lunerv.codec.join.Options
---@return table?  the result of lv.codec.info
---@return lunerv.Error?
function codec.join(path, paths, given)
  check_path("codec.join", path)
  local o = takes_join(given)
  errors.check_list("codec.join", paths)
  if #paths == 0 then errors.raise "codec.join: expected a list of paths" end
  if o.fps and not (type(o.fps) == "number" and o.fps > 0 and o.fps < math.huge) then
    errors.raise("codec.join: fps: expected a number above 0, got %s", tostring(o.fps))
  end
  sources.keep(path, table.unpack(paths))
  local files = {}
  for i, from in ipairs(paths) do
    check_path("codec.join", from)
    local bytes, message = attempt(from, function(bytes)
      layout.read(bytes) -- a damaged file is named
      return bytes
    end)
    if not bytes then return nil, message end
    files[i] = bytes
  end
  local joined, bytes = errors.attempt(layout.join, files, o)
  if not joined then return nil, bytes end
  local ok, message = native.write_file(path, bytes)
  if not ok then return nil, message end
  local file = layout.read(bytes)
  file.path = path
  return file
end

return errors.refuse_unknown(codec, "lv.codec")
