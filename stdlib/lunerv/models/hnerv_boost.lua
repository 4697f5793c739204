-- HNeRV-Boost: HNeRV with sines, and every block conditioned on the frame's time.
local HNeRV <const> = require "lunerv.models.hnerv"
local nn <const> = require "lunerv.nn"

--- HNeRV-Boost (arXiv 2402.18152): HNeRV with sines, and every block conditioned on the frame's
--- time.
---
---     local model = lv.models.hnerv_boost { clip = clip, params = 1.5e6 }
---     local image = model(clip:frame(1), 1 / #clip)
---
---@param given table  clip, or height, width and frames; one of params, size or fc_dim; options
local HNeRVBoost <const> = nn.class("HNeRVBoost", HNeRV)

HNeRVBoost.kind = "hnerv_boost"
HNeRVBoost.largest_kernel = 3

function HNeRVBoost:init(given)
  HNeRV.init(self, given)
  local c = self.config
  if c.conditioning ~= "none" then
    self.position = nn.PositionEncoding { base = c.pe_base, levels = c.pe_levels }
    self:add_time()
  end
end

--- The frame of an embedding, (1, 3, height, width).
---
---     local image = model:decode(model:encode(clip:frame(1)), 1 / #clip)
---
---@param embedding lunerv.Tensor
---@param t number  the frame's time
---@return lunerv.Tensor
function HNeRVBoost:decode(embedding, t)
  local z = self.time and self.time(self.position(t))
  return self:render(self.stem(embedding, z), z, t)
end

return HNeRVBoost
