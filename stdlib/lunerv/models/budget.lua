-- How wide a decoder may be for a number of parameters.
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"

local budget <const> = {}

-- No first layer is wider: what a budget may ask for must stay within reach.
local widest <const> = 65536

-- The published rule: the largest root, truncated, of a·x² + b·x − (10⁶·size − embeddings) = 0.
-- It leaves conditioning, repeats and the kernel cap out. `linear` is b; `o` holds strides, ks and
-- reduce.
function budget.published_width(o, size, embeddings, linear)
  local r, a = 1 / o.reduce, 0
  for i, stride in ipairs(o.strides) do
    a = a + r * r ^ (2 * (i - 1)) * stride ^ 2 * math.min(o.ks[2] + 2 * (i - 1), o.ks[3]) ^ 2
  end
  local room = 1e6 * size - embeddings
  local width = room > 0 and (math.sqrt(linear ^ 2 + 4 * a * room) - linear) / (2 * a) // 1 or 0
  if width < 1 then
    errors.raise("size: %g million parameters leave no room beside %d embedding parameters",
      size, embeddings)
  end
  if width > widest then
    errors.raise("size: %g million parameters make a layer wider than %d", size, widest)
  end
  return math.tointeger(width)
end

-- The largest width for which `count(width)` is at most `limit`.
function budget.exact_width(limit, count)
  local width = 0
  while width < widest and count(width + 1) <= limit do width = width + 1 end
  if width == 0 then
    errors.raise("params: at least %d expected for this clip, got %d", count(1), limit // 1)
  end
  return width
end

-- Parameters of a convolution, of a residual block, of the temporal embedding.
local function conv(from, to, kernel) return from * to * kernel ^ 2 + to end

local function residual(channels, cond)
  local affine = 2 * (conv(cond, cond, 1) + conv(cond, channels, 1))
  return 2 * (affine + conv(channels, channels, 3))
end

-- Parameters of an HNeRV decoder of width `fc_dim`, boosted when `o.ch_t` is set; `o.unfold` is
-- the first layer's PixelShuffle. Must agree with the modules that models/hnerv*.lua build.
function budget.hnerv_decoder(o, fc_dim)
  local cond = o.conditioning ~= "none" and o.ch_t
  local count = conv(o.enc_dim[2], fc_dim * o.unfold ^ 2, 1)
  if cond then
    count = count + conv(2 * o.pe_levels, 2 * cond, 1) + conv(2 * cond, cond, 1)
      + residual(fc_dim, cond)
  end
  local width = fc_dim
  for _, stage in ipairs(geometry.stages(o, fc_dim)) do
    count = count + conv(stage.from, stage.to * stage.scale ^ 2, stage.kernel)
    if cond then count = count + residual(stage.to, cond) end
    width = stage.to
  end
  return math.tointeger(count + conv(width, 3, 3))
end

return budget
