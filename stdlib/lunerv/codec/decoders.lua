-- The names of decoders in files. A stdlib decoder is frozen by version: "hnerv_boost@1", with its
-- defaults below, never changes meaning; later defaults are stored in the file. Parameter names do
-- not change either: a file's probability model may depend on them.
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local layout <const> = require "lunerv.codec.layout"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local origin <const> = require "lunerv.nn.origin"

local decoders <const> = {}

-- The options of a decoder: those that are always stored, and those that are omitted if they have
-- these values. `enc_dim` is only the embedding's channels, since the encoder is not stored.
local function hnerv(kind, act, more)
  local defaults = {
    ks = { 0, 1, 5 }, reduce = 1.2, lower_width = 12, out_image = "tanh", act = act,
    dec_blks = { 1 },
  }
  for name, value in pairs(more or {}) do defaults[name] = value end
  return {
    kind = kind, always = { fc_dim = true, strides = true, enc_dim = true },
    sometimes = { enc_strides = true, widths = true }, defaults = defaults,
  }
end

local function of_time(kind, act, more)
  local defaults = {
    ks = { 0, 3, 3 }, reduce = 2, lower_width = 12, out_image = "tanh", act = act,
    dec_blks = { 1 }, pe_base = 1.25, pe_levels = 80,
  }
  for name, value in pairs(more) do defaults[name] = value end
  return {
    kind = kind, always = { fc_dim = true, strides = true, fc_hw = true },
    sometimes = { widths = true }, defaults = defaults,
  }
end

local frozen <const> = {
  ["hnerv@1"] = hnerv("hnerv", "gelu"),
  ["hnerv_boost@1"] = hnerv("hnerv_boost", "sin",
    { dec_blks = { 1, 1, 2 }, conditioning = "tat", ch_t = 32, pe_base = 1.25, pe_levels = 80 }),
  ["nerv@1"] = of_time("nerv", "silu", { stem_dim = 512, pe_levels = 40 }),
  ["nerv_boost@1"] = of_time("nerv_boost", "sin",
    { stem_dim = 256, dec_blks = { 1, 1, 2 }, conditioning = "tat", ch_t = 32 }),
  ["enerv@1"] = of_time("enerv", "gelu", { block_dim = 128 }),
  ["enerv_boost@1"] = of_time("enerv_boost", "sin",
    { block_dim = 128, dec_blks = { 1, 1, 2 }, conditioning = "tat", ch_t = 32 }),
}

-- A kind that is not frozen. Its files store all options of the decoder: no default can change
-- their meaning.
local function in_full(kind)
  local always, sometimes = {}, { widths = true }
  for _, name in ipairs(options.model_names(kind)) do sometimes[name] = true end
  for _, name in ipairs { "fc_dim", "strides", "enc_dim", "fc_hw" } do
    always[name], sometimes[name] = sometimes[name], nil
  end
  for _, name in ipairs { "preset", "size", "params", "head_scale", "static_dim", "enc_blks" } do
    sometimes[name] = nil
  end
  return { kind = kind, always = always, sometimes = sometimes, defaults = {} }
end

-- A decoder with one more option that is always stored.
local function with(known, name)
  local next_one = options.copy(known)
  next_one.always = options.copy(known.always)
  next_one.always[name] = true
  return next_one
end

-- Version 2 of each has a head that makes several pixels per cell of the trunk; version 3 also has
-- a static map, and in version 4 that map is larger than the frame and follows the camera.
for _, kind in ipairs(models.kinds) do
  local first = frozen[kind .. "@1"] or in_full(kind)
  local second = with(first, "head_scale")
  frozen[kind .. "@1"], frozen[kind .. "@2"] = first, second
  local third = with(second, "static_dim")
  frozen[kind .. "@3"] = third
  frozen[kind .. "@4"] = with(with(third, "static_knots"), "static_reach")
end

-- Whether a file can name the model's decoder. A class that extends one of lv.models must be stored
-- in the file.
function decoders.knows(model)
  local built = origin[model]
  return frozen[tostring(model.kind) .. "@1"] ~= nil and built ~= nil
    and rawequal(built.class, models[model.kind])
end

-- The text for `model`'s decoder in a file.
function decoders.describe(model)
  local c = model.config
  local version = c.static_knots and 4 or c.static_dim > 0 and 3 or c.head_scale > 1 and 2 or 1
  local program = ("%s@%d"):format(model.kind, version)
  local known = frozen[program]
  local stored = {}
  for name in pairs(known.always) do stored[name] = c[name] end
  if known.always.enc_dim then stored.enc_dim = c.enc_dim[2] end
  for name in pairs(known.sometimes) do stored[name] = c[name] end
  if options.same(c.enc_strides, geometry.trunk(c)) then stored.enc_strides = nil end
  for name, default in pairs(known.defaults) do
    if not options.same(c[name], default) then stored[name] = c[name] end
  end
  return program .. native.json_encode(stored)
end

local function fail(message, ...) layout.damaged("decoder", message, ...) end

-- The largest decoder: parameters, and elements between two layers.
local most_parameters <const>, most_numbers <const> = 1 << 27, 1 << 31

-- The largest number, or the largest in a list, that an option may have; the others are limited by
-- the options' own ranges.
local largest <const> = {
  fc_dim = 1 << 16, strides = 64, enc_strides = 64, enc_dim = 1 << 12, dec_blks = 64, ks = 31,
  lower_width = 1 << 12, static_dim = 1 << 8, static_knots = 1 << 12, static_reach = 1 << 12,
  ch_t = 1 << 12, pe_levels = 1 << 12, stem_dim = 1 << 16,
  block_dim = 1 << 12, fc_hw = 1 << 12, widths = 1 << 16,
}

local function is_bounded(value, most)
  if type(value) ~= "table" then
    return math.type(value) == "integer" and value >= 0 and value <= most
  end
  for _, number in ipairs(value) do
    if type(number) == "table" or not is_bounded(number, most) then return false end
  end
  return #value <= 64
end

-- A probable symbol takes almost no bits, so a few bytes can stand for any number of parameters.
-- These limits bound that number: a constant, plus a number per byte of the weights. StoredTensors
-- has the same limits for symbols.
local free_parameters <const>, parameters_per_byte <const> = 1 << 20, 1 << 10

-- Checks a file's options before anything is built; `bytes` are its weights', or nil.
local function check(class, o, bytes)
  for name, most in pairs(largest) do
    local value = o[name]
    if name == "enc_dim" and value then value = value[2] end
    if value ~= nil and not is_bounded(value, most) then
      fail("%s: expected integers up to %d", name, most)
    end
  end
  for _, strides in ipairs { o.strides, o.enc_strides or o.strides } do
    if #strides > 16 or geometry.product(strides) > 1 << 12 then
      fail "strides: their product is too large"
    end
  end
  -- A model that has computed only its shape.
  local shape = setmetatable({}, { __index = class })
  shape:configure(o)
  local c = shape.config
  local parameters = shape:count(c, c.fc_dim)
  if parameters > most_parameters then
    fail("expected at most %d parameters, got %d", most_parameters, parameters)
  end
  if bytes and parameters > free_parameters + parameters_per_byte * bytes then
    fail("%d parameters are more than %d bytes of weights can hold", parameters, bytes)
  end
  local rows, columns = shape.grid[1] * (c.unfold or 1), shape.grid[2] * (c.unfold or 1)
  -- Each head of a transformer compares all pairs of cells.
  if c.block_dim and 8 * (rows * columns) ^ 2 > most_numbers then fail "fc_hw: too many cells" end
  for _, stage in ipairs(shape:plan(c, c.fc_dim)) do
    rows, columns = rows * stage.scale, columns * stage.scale
    if rows * columns * stage.to > most_numbers then fail "a layer is too large" end
  end
end

-- The model that `text` describes, with uninitialised parameters, for frames of a size; `bytes` are
-- those of its weights in the file.
function decoders.build(text, height, width, frames, bytes)
  local program, stored = text:match "^([%w_]+@%d+)(%b{})$"
  local known = program and frozen[program]
  if not known then fail("unknown decoder '%s'", text:sub(1, 40)) end
  local readable, given = pcall(native.json_decode, stored)
  if not readable then fail "its options cannot be read" end

  local o = { height = height, width = width, frames = frames, head_scale = 1,
    static_dim = 0 }
  for name, default in pairs(known.defaults) do o[name] = default end
  for name, value in pairs(given) do
    if not (known.always[name] or known.sometimes[name] or known.defaults[name] ~= nil) then
      fail("unknown option '%s'", tostring(name))
    end
    o[name] = value
  end
  for name in pairs(known.always) do
    if o[name] == nil then fail("its %s is missing", name) end
  end
  if known.always.enc_dim then
    o.enc_dim, o.encoder = { 1, o.enc_dim }, false
  end
  local built, result = errors.attempt(function()
    local class = models[known.kind]
    check(class, o, bytes)
    return class(o)
  end)
  if built then return result end
  if errors.fact(result, "section") then error(result, 0) end
  fail("%s", errors.reason(result))
end

return decoders
