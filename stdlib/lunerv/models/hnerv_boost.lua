-- HNeRV-Boost: HNeRV with sines, and every block conditioned on the frame's time.
local HNeRV <const> = require "lunerv.models.hnerv"
local nn <const> = require "lunerv.nn"

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

-- The embedding and the frame's time → (1, 3, height, width).
function HNeRVBoost:decode(embedding, t)
  local z = self.time and self.time(self.position(t))
  return self:render(self.stem(embedding, z), z)
end

return HNeRVBoost
