-- The names and shapes of the authors' published checkpoints, and ours.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local interop <const> = {}

local function zero_based(i) return math.tointeger(i) - 1 end

-- A list of { pattern of our name, their name as a format or function of the captures }; the
-- first pattern that matches the start of a name is replaced, and the rest is looked up in turn.
local affine <const> = {
  { "^gamma%.(%d)%.", function(i) return ("SFT_scale_conv%d."):format(zero_based(i)) end },
  { "^beta%.(%d)%.", function(i) return ("SFT_shift_conv%d."):format(zero_based(i)) end },
}

local residual <const> = {
  { "^conv(%d)%.", function(i) return ("conv%d."):format(zero_based(i)) end },
  { "^tat(%d)%.", function(i) return ("sft%d."):format(zero_based(i)) end, affine },
}

local convnext <const> = {
  { "^depthwise%.", "dwconv." },
  { "^norm%.", "norm." },
  { "^expand%.", "pwconv1." },
  { "^project%.", "pwconv2." },
  { "^scale$", "gamma" },
}

-- The first stage is (conv, norm), the others are (norm, conv).
local function downsampling(conv_first, conv_later)
  return function(i)
    local place = i == "1" and conv_first or conv_later
    return ("encoder.downsample_layers.%d.%d."):format(zero_based(i), place)
  end
end

local hnerv <const> = {
  { "^encoder%.stages%.(%d+)%.conv%.", downsampling(0, 1) },
  { "^encoder%.stages%.(%d+)%.norm%.", downsampling(1, 0) },
  { "^encoder%.stages%.(%d+)%.blocks%.(%d+)%.", function(i, j)
    return ("encoder.stages.%d.%d."):format(zero_based(i), zero_based(j))
  end, convnext },
  { "^stem%.conv%.", "decoder.0.conv.downconv." },
  { "^stem%.up%.conv%.", "decoder.0.conv.downconv." },
  { "^stem%.residual%.", "decoder.0.sft_block.", residual },
  { "^stages%.(%d+)%.conv%.", "decoder.%s.conv.upconv.0." },
  { "^stages%.(%d+)%.up%.conv%.", "decoder.%s.conv.upconv.0." },
  { "^stages%.(%d+)%.residual%.", "decoder.%s.sft_block.", residual },
  { "^time%.(%d)%.", function(i) return ("stem_t.%d."):format(2 * zero_based(i)) end },
  { "^head%.", "head_layer." },
}

local rules <const> = { hnerv = hnerv, hnerv_boost = hnerv }

local function translate(name, list)
  if not list then return name end
  for _, rule in ipairs(list) do
    local first, last, capture, second = name:find(rule[1])
    if first then
      local theirs = rule[2]
      theirs = type(theirs) == "function" and theirs(capture, second)
        or theirs:format(capture)
      local rest = translate(name:sub(last + 1), rule[3])
      return rest and theirs .. rest
    end
  end
end

-- Their name of our parameter `name` in a model of `kind`; nil for what they do not store (the
-- bases of the positional encoding).
function interop.published_name(kind, name)
  local list = rules[kind] or errors.raise("no published names are known for '%s'", tostring(kind))
  return translate(name, list)
end

-- Calls each(tensor, theirs) for every parameter of `model` with its published name.
local function each_parameter(model, each)
  for name, tensor in model:named_parameters() do
    local theirs = interop.published_name(model.kind, name)
      or errors.raise("'%s' has no published name", name)
    each(tensor, theirs)
  end
end

-- The parameters of `model` by published name: a list of { name, tensor }.
function interop.published_parameters(model)
  local list = {}
  each_parameter(model, function(tensor, theirs) list[#list + 1] = { theirs, tensor } end)
  return list
end

-- Their tensor in the shape of ours: linear layers are stored as 1×1 convolutions and the other
-- way round, so only sizes of 1 may differ.
local function reshaped(tensor, shape, name)
  local function without_ones(sizes)
    local text = {}
    for _, size in ipairs(sizes) do
      if size ~= 1 then text[#text + 1] = size end
    end
    return table.concat(text, ", ")
  end
  if without_ones(tensor.shape) ~= without_ones(shape) then
    errors.raise("'%s': shape (%s) expected, got (%s)", name, table.concat(shape, ", "),
      table.concat(tensor.shape, ", "))
  end
  return tensor:view(table.unpack(shape))
end

interop.reshaped = reshaped

-- Copies published parameters, a table of tensors by name, into `model`. All must be there, and
-- nothing else.
function interop.load_published(model, tensors)
  local used = {}
  native.no_grad(function()
    each_parameter(model, function(tensor, theirs)
      local value = tensors[theirs] or errors.raise("'%s' is missing", theirs)
      tensor:copy_(reshaped(value, tensor.shape, theirs))
      used[theirs] = true
    end)
  end)
  local unexpected = {}
  for name in pairs(tensors) do
    if not used[name] then unexpected[#unexpected + 1] = name end
  end
  if #unexpected > 0 then
    errors.raise("%s has no %s", model.class_name, errors.list(unexpected))
  end
  return model
end

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

-- The options of our model of `kind` that equal a published configuration (a decoded JSON
-- table), for frames of the given size.
function interop.options_from_published(kind, config, height, width, frames)
  local o = {
    height = height, width = width, frames = frames,
    fc_dim = math.tointeger(config.fc_dim), ks = numbers(config.ks),
    strides = integers(config.dec_strds), dec_blks = integers(config.dec_blks),
    reduce = config.reduce, lower_width = math.tointeger(config.lower_width), act = config.act,
    out_image = tonumber(config.out_bias) or config.out_bias,
  }
  if kind == "hnerv" or kind == "hnerv_boost" then
    o.enc_strides, o.enc_dim = integers(config.enc_strds), numbers(config.enc_dim)
    o.enc_blks = math.tointeger(config.enc_blks)
  end
  if kind == "hnerv_boost" then
    local encoding = numbers(config.embed)
    o.pe_base, o.pe_levels = encoding[1], encoding[2]
    o.ch_t = math.tointeger(config.ch_t)
    o.conditioning = conditionings[config.sft_block]
      or errors.raise("unknown conditioning '%s' (known: none, res_sft)", config.sft_block)
  end
  return o
end

return interop
