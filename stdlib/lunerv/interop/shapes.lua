-- What the shapes of a published checkpoint's tensors say of the network they belong to.
local errors <const> = require "lunerv.errors"

local shapes <const> = {}

-- The kind of model that a table of tensors by published name belongs to.
function shapes.kind(tensors)
  local boosted = false
  for name in pairs(tensors) do boosted = boosted or name:find(".sft_block.", 1, true) ~= nil end
  local family = tensors["decoder.0.conv.downconv.weight"] and "hnerv"
    or tensors["stem_xy.0.weight"] and "enerv" or tensors["stem.0.weight"] and "nerv"
    or errors.data("these are no parameters of a published kind: neither "
      .. "decoder.0.conv.downconv.weight nor stem_xy.0.weight nor stem.0.weight is there")
  return boosted and family .. "_boost" or family
end

-- The size of dimension `i` of the tensor called `name`.
local function size(tensors, name, i)
  local tensor = tensors[name] or errors.data("'%s' is missing", name)
  return tensor.shape[i] or errors.data("'%s': expected at least %d dimensions, got %d", name, i,
    #tensor.shape)
end

-- The PixelShuffle that makes `channels` of `made` channels.
local function shuffle(name, made, channels)
  local scale = channels > 0 and math.tointeger(math.sqrt(made // channels)) or 0
  if scale == 0 or scale ^ 2 * channels ~= made then
    errors.data("'%s': %d channels are no square multiple of %d", name, made, channels)
  end
  return scale
end

-- One block: { from, to, scale, kernel }. `following` is the width that the next one expects.
local function block_of(tensors, prefix, following)
  local name = prefix .. "conv.upconv.0.weight"
  if tensors[name] then
    return {
      from = size(tensors, name, 2), to = following, kernel = size(tensors, name, 4),
      scale = shuffle(name, size(tensors, name, 1), following),
    }
  end
  -- E-NeRV's first: the convolution that upsamples comes first or second.
  name = prefix .. "conv1.upconv.0.weight"
  if tensors[name] then
    local middle = size(tensors, prefix .. "conv2.weight", 2)
    return {
      from = size(tensors, name, 2), to = following, kernel = size(tensors, name, 4),
      scale = shuffle(name, size(tensors, name, 1), middle),
    }
  end
  name = prefix .. "conv2.upconv.0.weight"
  return {
    from = size(tensors, prefix .. "conv1.weight", 2), to = following,
    kernel = size(tensors, name, 4), scale = shuffle(name, size(tensors, name, 1), following),
  }
end

local function input_width(tensors, prefix)
  for _, name in ipairs { "conv.upconv.0.weight", "conv1.upconv.0.weight", "conv1.weight" } do
    if tensors[prefix .. name] then return size(tensors, prefix .. name, 2) end
  end
end

-- All blocks behind the stem, in order; those of `pattern` from number `first` on.
local function blocks_of(tensors, pattern, first)
  local blocks, i = {}, first
  while input_width(tensors, pattern:format(i)) do
    local following = input_width(tensors, pattern:format(i + 1))
      or size(tensors, "head_layer.weight", 2)
    blocks[#blocks + 1] = block_of(tensors, pattern:format(i), following)
    i = i + 1
  end
  if #blocks == 0 then errors.data("no '%s' is there", pattern:format(first)) end
  return blocks
end

-- Puts strides, widths, dec_blks, ks and fc_dim into `o`: a block that changes nothing repeats the
-- one before it.
local function read_stages(o, blocks)
  o.fc_dim, o.strides, o.widths, o.dec_blks = blocks[1].from, {}, {}, {}
  local kernels = {}
  for i, block in ipairs(blocks) do
    local last = #o.strides
    if i > 1 and block.scale == 1 and block.from == block.to and block.kernel == kernels[last] then
      o.dec_blks[last] = o.dec_blks[last] + 1
    else
      o.strides[last + 1], o.widths[last + 1] = block.scale, block.to
      o.dec_blks[last + 1], kernels[last + 1] = 1, block.kernel
    end
  end
  o.ks = { 0, kernels[1], math.max(table.unpack(kernels)) }
  for i, kernel in ipairs(kernels) do
    if kernel ~= math.min(o.ks[2] + 2 * (i - 1), o.ks[3]) then
      errors.data("kernels %s do not grow by 2 up to the largest: no published kind has them",
        table.concat(kernels, ","))
    end
  end
end

local function read_encoder(o, tensors)
  local stride_of, blocks = "encoder.downsample_layers.%d.%d.weight", "encoder.stages.0.%d.gamma"
  if not tensors[stride_of:format(0, 0)] then
    o.encoder, o.enc_strides = false, table.move(o.strides, 1, #o.strides, 1, {})
    if o.unfold > 1 then table.insert(o.enc_strides, o.unfold) end
    return
  end
  o.enc_dim[1] = size(tensors, stride_of:format(0, 0), 1)
  o.enc_strides, o.enc_blks = { size(tensors, stride_of:format(0, 0), 4) }, 0
  while tensors[stride_of:format(#o.enc_strides, 1)] do
    table.insert(o.enc_strides, size(tensors, stride_of:format(#o.enc_strides, 1), 4))
  end
  while tensors[blocks:format(o.enc_blks)] do o.enc_blks = o.enc_blks + 1 end
end

local readers <const> = {}

function readers.hnerv(o, tensors)
  read_stages(o, blocks_of(tensors, "decoder.%d.", 1))
  local stem = "decoder.0.conv.downconv.weight"
  o.enc_dim = { 1, size(tensors, stem, 2) }
  o.unfold = shuffle(stem, size(tensors, stem, 1), o.fc_dim)
  read_encoder(o, tensors)
end

function readers.nerv(o, tensors)
  read_stages(o, blocks_of(tensors, "layers.%d.", 0))
  o.stem_dim = size(tensors, "stem.0.weight", 1)
end

function readers.enerv(o, tensors)
  read_stages(o, blocks_of(tensors, "layers.%d.", 0))
  o.block_dim = size(tensors, "stem_xy.0.weight", 1)
end

-- The options of our model of `kind` that these tensors fit; what shapes cannot tell (frame sizes,
-- the activation) is not among them.
function shapes.options(kind, tensors)
  local o = {}
  readers[kind:match "^%a+"](o, tensors)
  local first = kind == "nerv" and "stem.0.weight" or "stem_t.0.weight"
  if kind ~= "hnerv" then o.pe_levels = size(tensors, first, 2) // 2 end
  if kind:match "_boost$" then
    local prefix = kind == "hnerv_boost" and "decoder.0." or "layers.0."
    o.ch_t = size(tensors, prefix .. "sft_block.sft0.SFT_scale_conv0.weight", 1)
  end
  return o
end

-- How many cells the first map of a NeRV kind has.
function shapes.cells(tensors, fc_dim) return size(tensors, "stem.2.weight", 1) // fc_dim end

return shapes
