-- E-NeRV-Boost: E-NeRV's position and time encoding with sines. Instead of affine transforms, every
-- block is conditioned on the frame's time.
local ENeRV <const> = require "lunerv.models.enerv"
local nn <const> = require "lunerv.nn"

--- E-NeRV-Boost (arXiv 2402.18152): E-NeRV with sines; instead of affine transforms, every block is
--- conditioned on the frame's time.
---
---     local model = lv.models.enerv_boost { clip = clip, params = 1e6 }
---     local image = model(1 / #clip)
---
---@param given table  clip, or height, width and frames; one of params, size or fc_dim; options
local ENeRVBoost <const> = nn.class("ENeRVBoost", ENeRV)

ENeRVBoost.kind = "enerv_boost"
ENeRVBoost.largest_kernel = 3

--- Adds the time conditioning of the blocks: the temporal embedding.
function ENeRVBoost:add_conditioning() self:add_time() end

function ENeRVBoost:forward(t)
  local e = self.position(t)
  local z = self.time and self.time(e)
  return self:render(self:first_map(e), z, t)
end

return ENeRVBoost
