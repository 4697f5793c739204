-- How a file names the network that decodes it. A stdlib decoder is frozen by version: what
-- "hnerv_boost@1" means, with its defaults below, never changes; a later default is told in the
-- file.
local bridge <const> = require "lunerv.bridge"
local budget <const> = require "lunerv.models.budget"
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"

local decoders <const> = {}

-- Options that a decoder depends on, with the values that go without saying. The encoder's have
-- none; `enc_dim` is the embedding's channels, `enc_strides` is told where it is not `strides`.
local frozen <const> = {
  ["hnerv@1"] = {
    kind = "hnerv",
    told = { "fc_dim", "strides", "enc_strides", "enc_dim" },
    defaults = {
      dec_blks = { 1 }, ks = { 0, 1, 5 }, reduce = 1.2, lower_width = 12, act = "gelu",
      out_image = "tanh",
    },
  },
  ["hnerv_boost@1"] = {
    kind = "hnerv_boost",
    told = { "fc_dim", "strides", "enc_strides", "enc_dim" },
    defaults = {
      dec_blks = { 1, 1, 2 }, ks = { 0, 1, 5 }, reduce = 1.2, lower_width = 12, act = "sin",
      out_image = "tanh", conditioning = "tat", ch_t = 32, pe_base = 1.25, pe_levels = 80,
    },
  },
}

local function same(a, b)
  return a == b or native.json_encode(a) == native.json_encode(b)
end

-- The text that stands for `model`'s decoder in a file.
function decoders.describe(model)
  local program = tostring(model.kind) .. "@1"
  local known, c = frozen[program], model.config
  if not known then errors.raise("no file can hold a decoder of %s yet", model.class_name) end
  local told = {
    fc_dim = c.fc_dim, strides = c.strides, enc_dim = c.enc_dim[2],
    enc_strides = not same(c.enc_strides, c.strides) and c.enc_strides or nil,
  }
  for name, default in pairs(known.defaults) do
    if not same(c[name], default) then told[name] = c[name] end
  end
  return program .. native.json_encode(told)
end

local function fail(message, ...)
  bridge.fail("data", ("section 'decoder': " .. message):format(...))
end

-- No decoder is larger: parameters, and numbers between two layers.
local most_parameters <const>, most_numbers <const> = 1 << 27, 1 << 31

-- Bounds what a file may ask for before anything is built.
local function check(o)
  local function bounded(name, value, most)
    for _, number in ipairs(type(value) == "table" and value or { value }) do
      if math.type(number) ~= "integer" or number < 0 or number > most then
        fail("%s: integers up to %d expected", name, most)
      end
    end
    if type(value) == "table" and #value > 16 then fail("%s: too many numbers", name) end
  end
  bounded("fc_dim", o.fc_dim, 1 << 16)
  bounded("strides", o.strides, 64)
  bounded("enc_strides", o.enc_strides, 64)
  bounded("enc_dim", o.enc_dim[2], 1 << 12)
  bounded("dec_blks", o.dec_blks, 64)
  bounded("ks", o.ks, 31)
  bounded("lower_width", o.lower_width, 1 << 12)
  bounded("ch_t", o.ch_t or 1, 1 << 12)
  bounded("pe_levels", o.pe_levels or 1, 1 << 12)
  local unit = geometry.product(o.enc_strides)
  if unit > 1 << 12 then fail "strides: their product is too large" end
  o.unfold = unit // geometry.product(o.strides)
  local scale = geometry.product(o.strides)
  local rows, columns = geometry.up(o.height, unit) // scale, geometry.up(o.width, unit) // scale
  local parameters = budget.hnerv_decoder(o, o.fc_dim)
  if parameters > most_parameters then
    fail("%d parameters, at most %d expected", parameters, most_parameters)
  end
  for _, stage in ipairs(geometry.stages(o, o.fc_dim)) do
    rows, columns = rows * stage.scale, columns * stage.scale
    if rows * columns * stage.to > most_numbers then fail "a layer is too large" end
  end
  o.unfold = nil
end

-- The model that `text` describes, with parameters nobody has set yet, for frames of a size.
function decoders.build(text, height, width, frames)
  local program, told = text:match "^([%w_]+@%d+)(%b{})$"
  local known = program and frozen[program]
  if not known then fail("an unknown decoder, '%s'", (text:sub(1, 40):gsub("[^%w@_]", "?"))) end
  local readable, given = pcall(native.json_decode, told)
  if not readable then fail "its options cannot be read" end

  local o = { height = height, width = width, frames = frames }
  for name, default in pairs(known.defaults) do o[name] = default end
  for name, value in pairs(given) do
    local allowed = known.defaults[name] ~= nil
    for _, told_name in ipairs(known.told) do allowed = allowed or told_name == name end
    if not allowed then fail("an unknown option, '%s'", (name:gsub("[^%w_]", "?"))) end
    o[name] = value
  end
  if type(o.fc_dim) ~= "number" or type(o.enc_dim) ~= "number" or type(o.strides) ~= "table" then
    fail "its width, strides or embedding channels are missing"
  end
  -- The encoder is not in the file: the least that can be built stands in for it.
  o.enc_dim, o.enc_blks = { 1, o.enc_dim }, 0
  o.enc_strides = o.enc_strides or o.strides
  local built, result = pcall(function()
    local class = models[known.kind]
    o.largest_kernel = class.largest_kernel
    check(o)
    o.largest_kernel = nil
    return class(o)
  end)
  if built then return result end
  if bridge.interrupted() then error(result, 0) end
  local message = tostring(result):gsub("^.-section 'decoder': ", "")
  fail("%s", message)
end

return decoders
