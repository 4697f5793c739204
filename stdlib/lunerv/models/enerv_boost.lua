-- E-NeRV-Boost: E-NeRV's places and times with sines; in place of its affine transforms, every
-- block is conditioned on the frame's time.
local ENeRV <const> = require "lunerv.models.enerv"
local nn <const> = require "lunerv.nn"

local ENeRVBoost <const> = nn.class("ENeRVBoost", ENeRV)

ENeRVBoost.kind = "enerv_boost"
ENeRVBoost.largest_kernel = 3

function ENeRVBoost:add_conditioning() self:add_time() end

function ENeRVBoost:forward(t)
  local e = self.position(t)
  local z = self.time and self.time(e)
  return self:render(self:first_map(e), z)
end

return ENeRVBoost
