-- NeRV-Boost: NeRV with sines, a slimmer stem, and every block conditioned on the frame's time.
local NeRV <const> = require "lunerv.models.nerv"
local nn <const> = require "lunerv.nn"

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
  return self:render(self:first_map(e), z)
end

return NeRVBoost
