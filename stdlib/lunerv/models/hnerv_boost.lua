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
    self.time = nn.MLP({ 2 * c.pe_levels, 2 * c.ch_t, c.ch_t }, { act = c.act })
  end
end

function HNeRVBoost:block(c_in, c_out, given)
  local c = self.config
  if c.conditioning == "none" then return HNeRV.block(self, c_in, c_out, given) end
  given.act, given.cond, given.normalise = c.act, c.ch_t, c.conditioning == "adain"
  return nn.SNeRVBlock(c_in, c_out, given)
end

-- The embedding and the frame's time → (1, 3, height, width).
function HNeRVBoost:decode(embedding, t)
  local z = self.time and self.time(self.position(t))
  local x = self.stem(embedding, z)
  for _, stage in ipairs(self.stages) do x = stage(x, z) end
  return self:image(self.head(x))
end

return HNeRVBoost
