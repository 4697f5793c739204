-- Frame sizes, strides and widths: the arithmetic that models share.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local geometry <const> = {}

-- The start of an error message about the options `o`.
local function prefix(o) return o.kind and ("models.%s: "):format(o.kind) or "" end

function geometry.product(list)
  local product = 1
  for _, factor in ipairs(list) do product = product * factor end
  return math.tointeger(product) or product
end

-- Rounds half to even, as the published programs do.
function geometry.round(x)
  local floor = math.floor(x)
  local rest = x - floor
  if rest > 0.5 or rest == 0.5 and floor % 2 == 1 then floor = floor + 1 end
  return floor
end

-- `n` rounded up to a multiple of `unit`.
function geometry.up(n, unit) return (n + unit - 1) // unit * unit end

-- Height, width and number of frames, from the clip or from the options.
function geometry.frame(o)
  local clip = o.clip or {}
  if type(clip) ~= "table" and (type(clip) ~= "userdata" or native.is_tensor(clip)) then
    errors.raise("%sclip: expected a clip, got %s", prefix(o), errors.type_of(clip))
  end
  local height, width = o.height or clip.height, o.width or clip.width
  local frames = o.frames or clip.frames
  if not (height and width and frames) then
    errors.raise("%sexpected a clip, or height, width and frames", prefix(o))
  end
  for _, pair in ipairs { { "height", height }, { "width", width }, { "frames", frames } } do
    local name, value = pair[1], pair[2]
    if not math.tointeger(value) or value < 1 then
      errors.raise("%s%s: expected an integer of at least 1, got %s", prefix(o), name,
        errors.show(value))
    end
  end
  return height, width, frames
end

-- Strides for a frame size when none are given: a first factor of 2 to 5, then threes and twos,
-- falling, so that the first grid has close to 9 × 16 cells (144) and little is padded; last, the
-- head's own factor.
function geometry.strides(height, width, head_scale)
  if head_scale and head_scale > 1 then
    local strides = geometry.strides(geometry.up(height, head_scale) // head_scale,
      geometry.up(width, head_scale) // head_scale)
    strides[#strides + 1] = head_scale
    return strides
  end
  local best, best_cost
  local function consider(strides)
    local unit = geometry.product(strides)
    local cells = (geometry.up(height, unit) // unit) * (geometry.up(width, unit) // unit)
    local padded = cells * unit * unit / (height * width) - 1
    local cost = math.abs(math.log(cells / 144)) + 8 * padded + 0.01 * #strides
    if not best or cost < best_cost then
      best, best_cost = table.move(strides, 1, #strides, 1, {}), cost
    end
  end
  local function extend(strides, largest)
    consider(strides)
    if #strides == 6 then return end
    for factor = largest, 2, -1 do
      strides[#strides + 1] = factor
      extend(strides, factor)
      strides[#strides] = nil
    end
  end
  for first = 5, 2, -1 do extend({ first }, math.min(first, 3)) end
  return best
end

-- The strides of the trunk: the decoder's without the factor `scale` at their end, which belongs to
-- the head. nil if they do not end in it, or if nothing would be left.
local function without(strides, scale)
  local list = table.move(strides, 1, #strides, 1, {})
  while scale > 1 and #list > 0 do
    local last = list[#list]
    if last > scale and last % scale == 0 then
      list[#list], scale = last // scale, 1
    elseif scale % last == 0 then
      list[#list], scale = nil, scale // last
    else
      return nil
    end
  end
  return scale == 1 and #list > 0 and list or nil
end

-- The trunk's strides for the options `o`: strides and head_scale.
function geometry.trunk(o)
  local scale = o.head_scale or 1
  return without(o.strides, scale)
    or errors.raise("%shead_scale: expected strides that end in a factor of %d, got %s", prefix(o),
      scale, table.concat(o.strides, ","))
end

-- The blocks per stage of a trunk that stops short of the frame's resolution, from `blocks` of a
-- full trunk: its last stage keeps those of the finest map. `o` holds strides and head_scale.
function geometry.blocks_of_trunk(o, blocks)
  local first = math.max(1, #blocks - #geometry.trunk(o) + 1)
  return table.move(blocks, first, #blocks, 1, {})
end

-- The width of a stage as a function of the previous one, by family: `o` holds reduce, lower_width
-- and expansion; `i` counts stages.
geometry.next_width = {}

--- The width of a stage, from the width of the previous one.
---
---@param o table  the options: reduce, lower_width
---@param _ integer  the stage's number, which other families need
---@param width integer  of the previous stage
---@return integer
function geometry.next_width.hnerv(o, _, width)
  return math.max(geometry.round(width / o.reduce), o.lower_width)
end

-- The first stage multiplies by `expansion`; later ones narrow where they upsample.
function geometry.next_width.of_time(o, i, width, stride)
  if i == 1 then return width * o.expansion end
  if stride == 1 then return width end
  return math.max(width // o.reduce, o.lower_width)
end

-- The decoder stages after a first layer of width `fc_dim`, block by block:
-- { { from =, to =, scale =, kernel =, stage = }, … }; `stage` is 0 in all but a stage's first
-- block. `o` holds strides, head_scale, dec_blks, ks, largest_kernel if the kind caps it, and
-- `widths` if the stages do not follow `next_width(o, i, width, stride)`.
function geometry.stages(o, fc_dim, next_width)
  local stages, width, strides = {}, fc_dim, geometry.trunk(o)
  if o.widths and #o.widths ~= #strides then
    errors.raise("%swidths: expected %d numbers, one for each stage, got %d", prefix(o), #strides,
      #o.widths)
  end
  for i, stride in ipairs(strides) do
    local kernel = math.min(o.ks[2] + 2 * (i - 1), o.ks[3], o.largest_kernel or math.huge)
    if kernel % 2 == 0 then
      errors.raise("%sks: expected odd kernels in the decoder, got %d in stage %d", prefix(o),
        kernel, i)
    end
    local to = o.widths and o.widths[i] or next_width(o, i, width, stride)
    for j = 1, o.dec_blks[i] or o.dec_blks[#o.dec_blks] do
      stages[#stages + 1] = {
        from = width, to = math.tointeger(to), scale = j == 1 and stride or 1, kernel = kernel,
        stage = j == 1 and i or 0,
      }
      width = math.tointeger(to)
    end
  end
  return stages
end

-- Where a static map is added: to the map of the last stage that upsamples to at most half of the
-- frame's resolution, or else of the first. `o` holds strides, head_scale and, if the first layer
-- unfolds the grid, `unfold`. Returns { stage =, height =, width =, cell = }: the number of that
-- stage in the trunk, the rows and columns of its map, and the frame's pixels per cell.
function geometry.static_map(o, grid)
  local trunk, all = geometry.trunk(o), geometry.product(o.strides)
  local found, factor, up = 1, trunk[1], 1
  for i, stride in ipairs(trunk) do
    up = up * stride
    if stride > 1 and 2 * up <= all then found, factor = i, up end
  end
  local scale = factor * (o.unfold or 1)
  return { stage = found, height = scale * grid[1], width = scale * grid[2], cell = all // factor }
end

-- A path of pairs of a row and a column in pixels, all in one list, as pairs in cells of `cell`
-- pixels, and the largest row and column, rounded up.
function geometry.cells(path, cell)
  local positions, reach = {}, { 0, 0 }
  for k = 1, #path // 2 do
    positions[k] = { path[2 * k - 1] / cell, path[2 * k] / cell }
    for axis = 1, 2 do reach[axis] = math.max(reach[axis], math.ceil(positions[k][axis])) end
  end
  return positions, reach
end

return geometry
