-- E-NeRV: positions and time are encoded separately. The positions attend to one another, are
-- scaled by the time, attend again, and become the map that the stages enlarge. Time also shifts
-- and scales the normalised map before every block.
local native <const> = require "lunerv.native"
local nn <const> = require "lunerv.nn"
local OfTime <const> = require "lunerv.models.of_time"

--- E-NeRV (arXiv 2207.08132): positions and time are encoded separately, the positions attend to
--- one another, and become the map that the stages enlarge. Time also scales and shifts the map
--- before every block.
---
---     local model = lv.models.enerv { clip = clip, params = 1e6 }
---     local image = model(1 / #clip)
---
---@param given table  clip, or height, width and frames; one of params, size or fc_dim; options
local ENeRV <const> = nn.class("ENeRV", OfTime)

ENeRV.kind = "enerv"
ENeRV.expansion = 3
ENeRV.least_width = 4 -- a quarter of it upsamples first

local cond <const> = 128 -- channels of the time features that scale and shift

-- Options are those of options/catalogue.lua. One of `fc_dim`, `params` or `size` sets the width.
function ENeRV:init(given)
  local o = self:configure(given)
  local d, encoding = o.block_dim, 2 * o.pe_levels
  self:add_position()
  self.time_stem = nn.MLP({ encoding, 2 * d, d }, { act = o.act })
  self.place_stem = nn.MLP({ 2 * encoding, d }, { act = o.act })
  self.before = nn.Transformer(d, { heads = 1 })
  self.after = nn.Transformer(d, { heads = 8 })
  if d ~= o.fc_dim then self.widen = nn.MLP({ d, o.fc_dim }, { act = o.act }) end
  self:add_stages(1)
  self:add_conditioning()
end

--- A width at which the parameter count may be lower than at the previous one, because no layer
--- widens if the widths agree.
---
---@return integer
function ENeRV:drop_at() return self.config.block_dim end

--- Adds the time conditioning of the blocks: an affine transform before each.
function ENeRV:add_conditioning()
  local o = self.config
  self.time = nn.MLP({ 2 * o.pe_levels, cond, cond }, { act = o.act })
  self.affines = nn.List {}
  for _, stage in ipairs(self:plan(o, o.fc_dim)) do
    self.affines:append(nn.NormAffine(stage.from, cond, { act = o.act }))
  end
end

--- The first block of the decoder, which differs from the others.
---
---@param stage table  { from, to, scale, kernel }
---@return lunerv.Module
function ENeRV:first_block(stage)
  local up = nn.TwoConvBlock(stage.from, stage.to,
    { kernel = stage.kernel, scale = stage.scale, act = self.config.act })
  return self:boosted(up, stage)
end

-- The encoded positions of the grid, row by row: (rows · columns, 4 · pe_levels), the row's
-- encoding before the column's. Rows and columns count from 0 to below 1.
local function places(self)
  local rows, columns = self.grid[1], self.grid[2]
  local values = {}
  for i = 0, rows - 1 do values[#values + 1] = i / rows end
  for j = 0, columns - 1 do values[#values + 1] = j / columns end
  local e = self.position(values)
  local width = e:size(2)
  local by_row = e:slice(1, 1, rows):view(rows, 1, width):expand(rows, columns, width)
  local by_column = e:slice(1, rows + 1, rows + columns):view(1, columns, width)
    :expand(rows, columns, width)
  return native.cat({ by_row, by_column }, 3):view(rows * columns, 2 * width)
end

--- The map that the stages enlarge.
---
---     local map = model:first_map(model.position(0.5))
---
---@param e lunerv.Tensor  the encoded time, (n, 2 · pe_levels)
---@return lunerv.Tensor  (n, fc_dim, rows, columns)
function ENeRV:first_map(e)
  local rows, columns = self.grid[1], self.grid[2]
  local x = self.before(self.place_stem(places(self)):view(1, rows * columns, -1))
  x = self.after(x * self.time_stem(e):view(e:size(1), 1, -1))
  if self.widen then x = self.widen(x) end
  return x:transpose(2, 3):view(e:size(1), -1, rows, columns)
end

-- A time, or a list of n → (n, 3, height, width).
function ENeRV:forward(t)
  local e = self.position(t)
  local x, z, time = self:first_map(e), self.time(e), self:map_time(t)
  for i, stage in ipairs(self.stages) do x = stage(self.affines[i](x, z), nil, time) end
  return self:image(self.head(x))
end

return ENeRV
