-- Derives a network's options from the shapes of a published checkpoint's tensors.
local errors <const> = require "lunerv.errors"

local shapes <const> = {}

-- The size of dimension `i` of the tensor called `name`.
local function size(tensors, name, i)
  local tensor = tensors[name] or errors.data("interop: '%s' is missing", name)
  return tensor.shape[i] or errors.data("interop: '%s': expected at least %d dimensions, got %d",
    name, i, #tensor.shape)
end

-- The factor of the PixelShuffle that turns `made` channels into `channels`.
local function shuffle(name, made, channels)
  local scale = channels > 0 and math.tointeger(math.sqrt(made // channels)) or 0
  if scale == 0 or scale ^ 2 * channels ~= made then
    errors.data("interop: '%s': %d channels are not a square multiple of %d", name, made, channels)
  end
  return scale
end

shapes.size, shapes.shuffle = size, shuffle

-- One block: { from, to, scale, kernel }. `following` is the input width of the next block.
local function block_of(tensors, prefix, following)
  local name = prefix .. "conv.upconv.0.weight"
  if tensors[name] then
    return {
      from = size(tensors, name, 2), to = following, kernel = size(tensors, name, 4),
      scale = shuffle(name, size(tensors, name, 1), following),
    }
  end
  -- E-NeRV's first block: the upsampling convolution comes first or second.
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

-- All blocks after the stem, in order: those of `pattern` from number `first` on.
local function blocks_of(tensors, pattern, first)
  local blocks, i = {}, first
  while input_width(tensors, pattern:format(i)) do
    local following = input_width(tensors, pattern:format(i + 1))
      or size(tensors, "head_layer.weight", 2)
    blocks[#blocks + 1] = block_of(tensors, pattern:format(i), following)
    i = i + 1
  end
  if #blocks == 0 then errors.data("interop: no '%s' is there", pattern:format(first)) end
  return blocks
end

-- Puts strides, widths, dec_blks, ks and fc_dim into `o`, from the blocks after the stem: those of
-- `pattern` from number `first` on. A block that changes nothing repeats the previous one.
function shapes.read_stages(o, tensors, pattern, first)
  local blocks = blocks_of(tensors, pattern, first)
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
      errors.data("interop: kernels %s do not grow by 2 up to the largest: no published kind has "
        .. "them", table.concat(kernels, ","))
    end
  end
end

return shapes
