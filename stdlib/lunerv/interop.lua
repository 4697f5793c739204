-- Interoperation with the authors' published checkpoints: their names, and reading and writing
-- their files.
local conversion <const> = require "lunerv.conversion"
local errors <const> = require "lunerv.errors"
local families <const> = require "lunerv.interop.families"
local kinds <const> = require "lunerv.models.kinds"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local parameters <const> = require "lunerv.interop.parameters"
local programs <const> = require "lunerv.interop.programs"
local options <const> = require "lunerv.options"

local interop <const> = {
  published_name = families.published, kind_of = families.kind,
  published_parameters = parameters.list, published_values = parameters.values,
  reshaped = parameters.reshaped, load_published = parameters.load,
}

-- Configurations ----------------------------------------------------------------------------

-- Numbers in a published configuration's text: "pe_1.25_80" → { 1.25, 80 }.
local function numbers(text)
  local list = {}
  for number in text:gmatch "[%d.]+" do
    list[#list + 1] = math.tointeger(tonumber(number)) or tonumber(number)
  end
  return list
end

local conditionings <const> = { res_sft = "tat", none = "none" }

local function integers(list)
  local result = {}
  for i, value in ipairs(list) do result[i] = math.tointeger(value) or value end
  return result
end

--- The options of our model that match a published configuration for a frame size.
---
---     local given = lv.interop.options_from_published("hnerv", config, 720, 1280, 132)
---     local model = lv.models.hnerv(given)
---
---@param kind string  a kind of model
---@param config table  the published configuration, decoded from JSON
---@param height integer?  of the frames
---@param width integer?
---@param frames integer?  how many there are
---@return table
function interop.options_from_published(kind, config, height, width, frames)
  local own = kinds.of(kind)
  local o = {
    height = height, width = width, frames = frames,
    fc_dim = math.tointeger(config.fc_dim), ks = numbers(config.ks),
    strides = integers(config.dec_strds), dec_blks = integers(config.dec_blks),
    reduce = config.reduce, lower_width = math.tointeger(config.lower_width), act = config.act,
    out_image = tonumber(config.out_bias) or config.out_bias,
  }
  if o.act == "swish" then o.act = "silu" end
  if own.embeds then
    o.enc_strides, o.enc_dim = integers(config.enc_strds), numbers(config.enc_dim)
    o.enc_blks = math.tointeger(config.enc_blks)
  else
    o.fc_hw = numbers(config.fc_hw)
  end
  if options.applies("block_dim", kind) then o.block_dim = math.tointeger(config.block_dim) end
  if own.encodes_time then
    local encoding = numbers(config.embed)
    o.pe_base, o.pe_levels = encoding[1], encoding[2]
  end
  if own.boosted then
    o.ch_t = math.tointeger(config.ch_t)
    o.conditioning = conditionings[config.sft_block]
      or errors.data("interop: unknown conditioning '%s' (known: none, res_sft)", config.sft_block)
  end
  return o
end

-- The published configuration of one of our models, as plain data.
local function published_config(model)
  local c = model.config
  local boosted = c.conditioning ~= nil
  if c.conditioning == "adain" then
    errors.raise "interop.save: a model conditioned by AdaIN has no published form"
  end
  if c.head_scale > 1 then
    errors.raise("interop.save: expected a model of head_scale 1, which the published programs "
      .. "have, got %d", c.head_scale)
  end
  return {
    sft_block = boosted and c.conditioning == "tat" and "res_sft" or "none", ch_t = c.ch_t or 32,
    act = c.act, embed = c.pe_base and ("pe_%s_%d"):format(c.pe_base, c.pe_levels) or "",
    enc_strds = c.enc_strides or {}, enc_dim = table.concat(c.enc_dim or { 64, 16 }, "_"),
    enc_blks = c.enc_blks or 1, dec_strds = c.strides, ks = table.concat(c.ks, "_"),
    reduce = c.reduce, dec_blks = c.dec_blks, lower_width = c.lower_width, fc_dim = c.fc_dim,
    fc_hw = table.concat(c.fc_hw or model.grid, "_"), block_dim = c.block_dim or 128,
    out_bias = c.out_image,
  }
end

-- Files -------------------------------------------------------------------------------------

-- Prefixes that DataParallel, torch.compile and training programs put before every name.
local wrappers <const> = { "module.", "_orig_mod.", "state_dict.", "model_state_dict.", "model.",
  "generator.", "net.", "ema." }

-- Tensors under their own names, without a prefix that most of them have. A name without it, such
-- as `embed` and counters of a training program, is kept.
local function unwrapped(tensors)
  for _, prefix in ipairs(wrappers) do
    local bare, with, without = {}, 0, 0
    for name, tensor in pairs(tensors) do
      local own = name:sub(1, #prefix) == prefix and name:sub(#prefix + 1)
      if own then with = with + 1 else without = without + 1 end
      bare[own or name] = tensor
    end
    if with > 2 * without then return unwrapped(bare) end
  end
  return tensors
end

-- Dequantises tensors: NAME.quant · NAME.scale + NAME.min, broadcast, in 32 bits, replaces the
-- three.
local function dequantised(tensors)
  local values = {}
  for name, tensor in pairs(tensors) do
    local base, part = name:match "^(.+)%.(%a+)$"
    local quant = base and tensors[base .. ".quant"]
    if quant and (part == "quant" or part == "min" or part == "scale") then
      local min, scale = tensors[base .. ".min"], tensors[base .. ".scale"]
      if not (min and scale) then errors.data("interop: '%s.quant' has no min and scale", base) end
      if quant.dtype ~= "u8" then
        errors.data("interop: '%s.quant': expected u8, got %s", base, quant.dtype)
      end
      if min.dtype ~= "f32" or scale.dtype ~= "f32" then
        errors.data("interop: '%s': expected min and scale of f32, got %s and %s (the option dtype "
          .. "= 'f32' converts)", base, min.dtype, scale.dtype)
      end
      local ok, value = pcall(function() return quant:to "f32" * scale + min end)
      if not ok or #value.shape ~= #quant.shape or value:numel() ~= quant:numel() then
        errors.data("interop: '%s': min and scale do not broadcast to its %s values", base,
          quant:numel())
      end
      values[base] = value:evaluate()
    else
      values[name] = tensor
    end
  end
  return values
end

-- Puts frame size and frame count into `o`; shapes give them only in part.
local function find_frames(o, kind, tensors, embeddings, known)
  local unit = 1
  for _, stride in ipairs(o.strides) do unit = unit * stride end
  local sizes = embeddings and embeddings.shape
  if kinds.by_name[kind].embeds then
    o.height = known.height or sizes and sizes[3] * unit * o.unfold
    o.width = known.width or sizes and sizes[4] * unit * o.unfold
  else
    o.fc_hw = known.fc_hw
    if not (o.fc_hw or known.height and known.width) then o.fc_hw = { 9, 16 } end
    if o.fc_hw then
      o.height, o.width = o.fc_hw[1] * unit, o.fc_hw[2] * unit
    end
    o.height, o.width = known.height or o.height, known.width or o.width
    local rows, columns = (o.height - 1) // unit + 1, (o.width - 1) // unit + 1
    if o.fc_hw then rows, columns = o.fc_hw[1], o.fc_hw[2] end
    local theirs = families.of(kind)
    local cells = theirs.cells and theirs.cells(tensors, o.fc_dim)
    if cells and cells ~= rows * columns then
      errors.data("interop: expected the frame's height and width, or fc_hw: the first map has %d "
        .. "cells, not %d x %d", cells, rows, columns)
    end
  end
  o.frames = sizes and sizes[1] or known.frames
  if not (o.height and o.width and o.frames) then
    errors.data("interop: the file does not describe the frames: expected their height, width and "
      .. "number")
  end
end

local function integer(text) return text and math.tointeger(tonumber(text)) end

-- Options from the file's own metadata, overridden by `given`.
local function known_facts(kind, metadata, given)
  local known = {
    height = integer(metadata.height), width = integer(metadata.width),
    frames = integer(metadata.frames_total),
  }
  if metadata.config then
    local config = native.json_decode(metadata.config)
    local from_config = interop.options_from_published(kind, config)
    for _, name in ipairs { "act", "out_image", "pe_base", "fc_hw" } do
      known[name] = from_config[name]
    end
  end
  for name, value in pairs(given) do known[name] = value end
  return known
end

local Published <const> = {}
Published.__index = Published

local open_takes <const> = options.takes("interop.open", {
  { "height", nil, "of the frames, if the file does not say", type = "integer" },
  { "width", nil, "of the frames, if the file does not say", type = "integer" },
  { "frames", nil, "the number of frames, if the file does not say", type = "integer" },
  { "fc_hw", nil, "rows and columns of the first map, for kinds that take the frame's time",
    type = "list" },
  { "act", nil, "the activation, if the file does not say", type = "string" },
  { "out_image", nil, "how the head becomes an image, if the file does not say",
    type = "string|number" },
  { "pe_base", nil, "base of the time encoding, if the file does not say", type = "number" },
  { "clip", nil, "the clip, whose frames are encoded if the file has no embeddings",
    type = "clip" },
  { "interleaved", nil, "whether encodings are sin, cos, sin, cos, … (as in the program whose "
    .. "names the file has)", type = "boolean" },
  { "dtype", nil, "'f32' converts floating point of any width; a value out of its range is an "
    .. "error", type = "string" },
  { "extra", "refuse", "'skip' leaves out entries that the model lacks" },
})

--- Opens a safetensors file with a published program's parameters, plain or quantised: a decoder,
--- with `embed` (frames, channels, rows, columns) for the HNeRV kinds, or a whole model. Strides
--- and widths follow from the shapes; options supply what neither the shapes nor the file's
--- metadata say. Files of NeRV's and of E-NeRV's own programs are recognised by their names.
--- Prefixes that programs put before names (`module.`, `_orig_mod.`, `state_dict.`, …) are dropped.
--- Values of 64 bits and entries that the model lacks are errors, unless `dtype = "f32"` converts
--- the values and `extra = "skip"` skips the entries, whose names are then in `skipped`.
---
---     local theirs = assert(lv.interop.open("theirs.safetensors", { clip = clip }))
---     local image = theirs:frame(1)          -- made at the time theirs:time(1)
---
---@param path string
---@param given? lunerv.interop.open.Options
---@return table  { model, kind, frames, height, width, embeddings, skipped }; or nil and an error
function interop.open(path, given)
  local o = open_takes(given)
  conversion.skips("interop.open", o.extra)
  if o.dtype and o.dtype ~= "f32" then
    errors.raise("interop.open: option 'dtype': expected 'f32', which models have, got %s",
      errors.show(o.dtype))
  end
  local stored, metadata, _, skipped = native.load_safetensors(path,
    { dtype = o.dtype, extra = o.extra })
  if not stored then return nil, metadata end
  local tensors, is_own = programs.recognise(dequantised(unwrapped(stored)))
  local embeddings = tensors.embed
  tensors.embed = nil
  if embeddings and (#embeddings.shape ~= 4 or embeddings:numel() == 0) then
    errors.data("interop: 'embed': expected (frames, channels, rows, columns), got (%s)",
      table.concat(embeddings.shape, ", "))
  end
  if embeddings and embeddings.dtype ~= "f32" then
    errors.data("interop: 'embed': expected f32, got %s (the option dtype = 'f32' converts)",
      embeddings.dtype)
  end

  local clip = o.clip
  if clip then
    o.height, o.width, o.frames = clip.height, clip.width, clip.frames
    o.clip = nil
  end
  local kind = families.kind(tensors)
  local theirs = families.of(kind)
  local program = is_own and theirs.program or programs.boosting
  local found, known = families.options(kind, tensors), known_facts(kind, metadata, o)
  find_frames(found, kind, tensors, embeddings, known)
  found.act, found.out_image = known.act, known.out_image or program.out_image
  if kinds.by_name[kind].encodes_time then found.pe_base = known.pe_base end
  if o.interleaved or o.interleaved == nil and program.interleaved then
    programs.separate(tensors, theirs.encoded)
  end

  local model, unknown = interop.load_published(models[kind](found), tensors,
    { dtype = o.dtype, extra = o.extra })
  table.move(unknown, 1, #unknown, #skipped + 1, skipped)
  table.sort(skipped)
  if embeddings then
    local c, s = model.config, embeddings.shape
    local wanted = c.enc_dim and { s[1], c.enc_dim[2], model.grid[1], model.grid[2] } or {}
    if table.concat(wanted, ", ") ~= table.concat(s, ", ") then
      errors.data("interop: 'embed': expected (%s) for frames of %dx%d, got (%s)", c.enc_dim
        and table.concat(wanted, ", ") or "none", c.height, c.width, table.concat(s, ", "))
    end
  end
  if model.decode and not embeddings and not (clip and model.encoder) then
    errors.data("interop: the file has no 'embed'%s", model.encoder
      and ": expected a clip, from which embeddings can be made" or ", and no encoder either")
  end
  return setmetatable({
    model = model, kind = kind, embeddings = embeddings, clip = clip, frames = found.frames,
    height = found.height, width = found.width, program = program, skipped = skipped,
  }, Published)
end

-- The time of frame `i` in the program that wrote the file.
function Published:time(i) return self.program.time(i, self.frames) end

-- Frame `i` as (1, 3, height, width).
function Published:frame(i)
  if math.type(i) ~= "integer" or i < 1 or i > self.frames then
    errors.raise("frame: expected a number from 1 to %d, got %s", self.frames, tostring(i))
  end
  local t = self:time(i)
  return native.no_grad(function()
    if not self.model.decode then return self.model(t) end
    local embedding = self.embeddings and self.embeddings:slice(1, i, i)
      or self.model:encode(self.clip:frame(i))
    return self.model:decode(embedding, t)
  end)
end

-- An 8-bit quantised tensor: { NAME.quant, NAME.min, NAME.scale } as list entries.
local function quantised(name, tensor)
  local min = tensor:amin()
  local scale = (tensor:amax() - min):item() / 255
  local levels = (tensor - min) * (scale > 0 and 1 / scale or 0)
  local quant = levels:round():clamp { min = 0, max = 255 }
  return { name .. ".quant", quant:to "u8" }, { name .. ".min", min:view(1) },
    { name .. ".scale", native.full(scale, 1) }
end

-- Every frame's embedding: (frames, channels, rows, columns).
local function embeddings_of(model, clip)
  local list = {}
  for i = 1, #clip do
    list[i] = native.no_grad(function() return model:encode(clip:frame(i)):evaluate() end)
  end
  return native.cat(list, 1)
end

local save_takes <const> = options.takes("interop.save", {
  { "quantised", false, "whether to quantise every tensor to 8 bits and leave out the encoder" },
  { "clip", nil, "of the HNeRV kinds: the clip, whose embeddings are stored as `embed`",
    type = "clip" },
})

--- Writes a model under the published names, for the published programs. A NeRV is written for
--- NeRV's own program, which interleaves encodings and counts times from 0; its frames there are
--- the same as here.
---
---     assert(lv.interop.save("theirs.safetensors", model, { clip = clip }))
---
---@param path string
---@param model lunerv.Module  of one of the kinds
---@param given? lunerv.interop.save.Options
---@return boolean  true, or nil and an error
function interop.save(path, model, given)
  local o = save_takes(given)
  local static = model.config and model.config.static_dim or 0
  if static > 0 then
    errors.raise("interop.save: expected a model without a static map, which the published "
      .. "programs do not have, got static_dim %d", static)
  end
  local list = {}
  for _, entry in ipairs(interop.published_values(model)) do
    if not (o.quantised and entry[1]:match "^encoder%.") then list[#list + 1] = entry end
  end
  local theirs = families.of(model.kind)
  if theirs.for_program and not kinds.by_name[model.kind].boosted then
    list = theirs.for_program(list, model)
  end
  if model.decode and o.clip then
    list[#list + 1] = { "embed", embeddings_of(model, o.clip) }
  elseif model.decode and o.quantised then
    errors.raise("interop.save: expected a clip: without its embeddings the file "
      .. "could not be decoded")
  end
  if o.quantised then
    local plain = list
    list = {}
    for _, entry in ipairs(plain) do
      for _, part in ipairs { quantised(entry[1], entry[2]) } do list[#list + 1] = part end
    end
  end
  local c = model.config
  return native.save_safetensors(path, list, {
    kind = model.kind, config = native.json_encode(published_config(model)),
    frames_total = tostring(c.frames), height = tostring(c.height), width = tostring(c.width),
  })
end

return errors.refuse_unknown(interop, "lv.interop")
