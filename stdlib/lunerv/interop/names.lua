-- The names and shapes that parameters have in the authors' published checkpoints.
local errors <const> = require "lunerv.errors"

local names <const> = {}

local function zero_based(i) return math.tointeger(i) - 1 end

-- "name.N.", N counting modules from 0, `step` for each of ours: activations stand between layers.
local function numbered(name, step)
  return function(i) return ("%s.%d."):format(name, step * zero_based(i)) end
end

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

local transformer <const> = {
  { "^attention%.qkv%.", "attn.to_qkv." },
  { "^attention%.out%.", "attn.to_out.0." },
  { "^expand%.", "ffn.net.0." },
  { "^project%.", "ffn.net.3." },
}

-- The first stage is (conv, norm), the others are (norm, conv).
local function downsampling(conv_first, conv_later)
  return function(i)
    local place = i == "1" and conv_first or conv_later
    return ("encoder.downsample_layers.%d.%d."):format(zero_based(i), place)
  end
end

-- A block on its own; a boosted one has it in `up`.
local block <const> = {
  { "^conv%.", "conv.upconv.0." },
  { "^first_up%.conv%.", "conv1.upconv.0." },
  { "^second%.", "conv2." },
  { "^first%.", "conv1." },
  { "^second_up%.conv%.", "conv2.upconv.0." },
}

local boosted_block <const> = {
  { "^up%.", "", block },
  { "^residual%.", "sft_block.", residual },
  { "^", "", block },
}

local hnerv <const> = {
  { "^encoder%.stages%.(%d+)%.conv%.", downsampling(0, 1) },
  { "^encoder%.stages%.(%d+)%.norm%.", downsampling(1, 0) },
  { "^encoder%.stages%.(%d+)%.blocks%.(%d+)%.", function(i, j)
    return ("encoder.stages.%d.%d."):format(zero_based(i), zero_based(j))
  end, convnext },
  { "^stem%.conv%.", "decoder.0.conv.downconv." },
  { "^stem%.up%.conv%.", "decoder.0.conv.downconv." },
  { "^stem%.residual%.", "decoder.0.sft_block.", residual },
  { "^stages%.(%d+)%.", "decoder.%s.", boosted_block },
  { "^time%.(%d)%.", numbered("stem_t", 2) },
  { "^head%.", "head_layer." },
}

local nerv <const> = {
  { "^stem%.(%d)%.", numbered("stem", 2) },
  { "^stages%.(%d+)%.", numbered("layers", 1), boosted_block },
  { "^time%.(%d)%.", numbered("stem_t", 2) },
  { "^head%.", "head_layer." },
}

local enerv <const> = {
  { "^time_stem%.(%d)%.", numbered("stem_t", 2) },
  { "^place_stem%.1%.", "stem_xy.0." },
  { "^before%.", "trans1.", transformer },
  { "^after%.", "trans2.", transformer },
  { "^widen%.1%.", "toconv.0." },
  { "^stages%.(%d+)%.", numbered("layers", 1), boosted_block },
  { "^time%.(%d)%.", numbered("t_branch", 2) },
  { "^affines%.(%d+)%.mlp%.1%.", function(i) return ("t_layers.%d.0."):format(zero_based(i)) end },
  { "^head%.", "head_layer." },
}

local rules <const> = {
  nerv = nerv, nerv_boost = nerv, enerv = enerv, enerv_boost = enerv, hnerv = hnerv,
  hnerv_boost = hnerv,
}

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
function names.published(kind, name)
  local list = rules[kind] or errors.raise("no published names are known for '%s'", tostring(kind))
  return translate(name, list)
end

-- The shape in which they store their parameter `theirs`, ours being of `shape`: layers of a
-- network's stem are 1×1 convolutions there, those of transformers and ConvNeXt are matrices, and
-- ConvNeXt's scale is a list.
function names.published_shape(theirs, shape)
  if theirs:match "^encoder%.stages%..*%.gamma$" then return { shape[2] } end
  if theirs:match "%.pwconv%d%.weight$" then return { shape[1], shape[2] } end
  if #shape == 2 and not theirs:match "^trans%d" then return { shape[1], shape[2], 1, 1 } end
  return shape
end

return names
