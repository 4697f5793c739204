-- How many parameters a decoder has, and how wide it may be for a number of them.
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"

local budget <const> = {}

-- No first layer is wider: what a budget may ask for must stay within reach.
local widest <const> = 65536

-- The published rule: the largest root, truncated, of a·x² + b·x − (10⁶·size − embeddings) = 0.
-- It leaves conditioning, repeats, expansion and the kernel cap out. `linear` is b; `o` holds
-- strides, ks and reduce; no width is below `least`.
function budget.published_width(o, size, embeddings, linear, least)
  local r, a = 1 / o.reduce, 0
  for i, stride in ipairs(geometry.trunk(o)) do
    a = a + r * r ^ (2 * (i - 1)) * stride ^ 2 * math.min(o.ks[2] + 2 * (i - 1), o.ks[3]) ^ 2
  end
  local room = 1e6 * size - embeddings
  local width = room > 0 and (math.sqrt(linear ^ 2 + 4 * a * room) - linear) / (2 * a) // 1 or 0
  if width < least then
    local needed = (a * least ^ 2 + linear * least + embeddings) / 1e6
    errors.data("size: expected at least %.4g (million parameters) for these strides and frames%s, "
      .. "got %g", math.ceil(needed * 1e4) / 1e4, embeddings > 0
      and (", %d embedding parameters included"):format(embeddings) or "", size)
  end
  if width > widest then
    errors.data("size: %g million parameters make a layer wider than %d", size, widest)
  end
  return math.tointeger(width)
end

-- The largest width, from `least` on, for which `count(width)` is at most `limit`. A width may
-- need fewer parameters than the one before it (E-NeRV drops a layer where two widths agree), so
-- the search looks beyond the first that needs too many.
function budget.exact_width(limit, count, least)
  local width, best = least, nil
  while width <= widest do
    local needed = count(width)
    if needed <= limit then best = width end
    if needed > 1.25 * limit then break end
    width = width + 1
  end
  if best then return best end
  local least_params = count(least)
  error(errors.new("data", ("params: expected at least %d for this clip, got %d"):format(
    least_params, limit // 1), { least_params = least_params }))
end

-- Counting ----------------------------------------------------------------------------------
-- These must agree with the modules that the models build; test_models.lua compares them.

local function conv(from, to, kernel) return from * to * kernel ^ 2 + to end

local function mlp(widths)
  local count = 0
  for i = 2, #widths do count = count + conv(widths[i - 1], widths[i], 1) end
  return count
end

local function residual(channels, cond)
  return 2 * (2 * mlp { cond, cond, channels } + conv(channels, channels, 3))
end

local function transformer(width, heads)
  local inner = heads * 64
  local out = (heads > 1 or inner ~= width) and conv(inner, width, 1) or 0
  return 3 * width * inner + out + mlp { width, width // 2, width }
end

local function up(stage) return conv(stage.from, stage.to * stage.scale ^ 2, stage.kernel) end

-- E-NeRV's first block.
local function two_convs(stage)
  if stage.from > stage.to then
    return conv(stage.from, stage.to, 3)
      + conv(stage.to, stage.to * stage.scale ^ 2, stage.kernel)
  end
  local quarter = stage.from // 4
  return conv(stage.from, quarter * stage.scale ^ 2, stage.kernel) + conv(quarter, stage.to, 3)
end

-- Channels of the temporal embedding that blocks of a model with options `o` are conditioned
-- on; nil where they are not.
function budget.condition(o)
  return o.conditioning and o.conditioning ~= "none" and o.ch_t or nil
end

local function time_embedding(o)
  local cond = budget.condition(o)
  return cond and mlp { 2 * o.pe_levels, 2 * cond, cond } or 0
end

local function stages_and_head(o, stages, kernel)
  local cond, count = budget.condition(o), 0
  for i, stage in ipairs(stages) do
    count = count + (i == 1 and o.block_dim and two_convs or up)(stage)
    if cond then count = count + residual(stage.to, cond) end
  end
  local scale = o.head_scale
  return count + conv(stages[#stages].to, 3 * scale ^ 2, budget.head_kernel(scale, kernel))
end

-- The kernel of the head: where it makes several pixels of a cell, one that sees the cells around.
function budget.head_kernel(scale, kernel) return scale > 1 and math.max(3, kernel) or kernel end

-- Parameters of the decoders of width `fc_dim` with the options `o` and those stages
-- (geometry.stages).
function budget.hnerv(o, fc_dim, stages)
  local cond = budget.condition(o)
  return math.tointeger(conv(o.enc_dim[2], fc_dim * o.unfold ^ 2, 1)
    + (cond and residual(fc_dim, cond) or 0) + time_embedding(o) + stages_and_head(o, stages, 3))
end

function budget.nerv(o, fc_dim, stages)
  return math.tointeger(mlp { 2 * o.pe_levels, o.stem_dim, fc_dim * o.fc_hw[1] * o.fc_hw[2] }
    + time_embedding(o) + stages_and_head(o, stages, 1))
end

function budget.enerv(o, fc_dim, stages)
  local d, encoding = o.block_dim, 2 * o.pe_levels
  local count = mlp { encoding, 2 * d, d } + mlp { 2 * encoding, d }
    + transformer(d, 1) + transformer(d, 8)
  if d ~= fc_dim then count = count + mlp { d, fc_dim } end
  if not o.conditioning then
    count = count + mlp { encoding, 128, 128 }
    for _, stage in ipairs(stages) do count = count + mlp { 128, 2 * stage.from } end
  end
  return math.tointeger(count + time_embedding(o) + stages_and_head(o, stages, 1))
end

return budget
