-- NeRV-Boost: NeRV with sines, a slimmer stem, and every block conditioned on the frame's time.
local NeRV <const> = require "lunerv.models.nerv"
local nn <const> = require "lunerv.nn"

--- NeRV-Boost (arXiv 2402.18152): NeRV with sines, a slimmer stem, and every block conditioned on
--- the frame's time.
---
---     local model = lv.models.nerv_boost { clip = clip, params = 1e6 }
---     local image = model(1 / #clip)
---
---@param given table  clip, or height, width and frames; one of params, size or fc_dim; options
local NeRVBoost <const> = nn.class("NeRVBoost", NeRV)

NeRVBoost.kind = "nerv_boost"
NeRVBoost.largest_kernel = 3

function NeRVBoost:init(given)
  NeRV.init(self, given)
  self:add_time()
end

function NeRVBoost:forward(t)
  local e = self.position(t)
  local z = self.time and self.time(e)
  return self:render(self:first_map(e), z, t)
end

return NeRVBoost
