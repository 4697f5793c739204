-- NeRV: the frame's time becomes a small map; blocks of convolution and PixelShuffle enlarge it.
local nn <const> = require "lunerv.nn"
local OfTime <const> = require "lunerv.models.of_time"

--- NeRV (arXiv 2110.13903): the frame's time becomes a small map; blocks of convolution and
--- PixelShuffle enlarge it.
---
---     local model = lv.models.nerv { clip = clip, params = 1e6 }
---     local image = model(1 / #clip)
---
---@param given table  clip, or height, width and frames; one of params, size or fc_dim; options
local NeRV <const> = nn.class("NeRV", OfTime)

NeRV.kind = "nerv"

-- Options are those of options/catalogue.lua. One of `fc_dim`, `params` or `size` sets the width.
function NeRV:init(given)
  local o = self:configure(given)
  self:add_position()
  self.stem = nn.MLP({ 2 * o.pe_levels, o.stem_dim, o.fc_dim * o.fc_hw[1] * o.fc_hw[2] },
    { act = o.act })
  self:add_stages(1)
end

--- The map that the stages enlarge.
---
---     local map = model:first_map(model.position(0.5))
---
---@param e lunerv.Tensor  the encoded time, (n, 2 · pe_levels)
---@return lunerv.Tensor  (n, fc_dim, rows, columns)
function NeRV:first_map(e)
  local c = self.config
  return self.stem(e):view(-1, c.fc_dim, c.fc_hw[1], c.fc_hw[2])
end

-- A time, or a list of n → (n, 3, height, width).
function NeRV:forward(t) return self:render(self:first_map(self.position(t)), nil, t) end

return NeRV
