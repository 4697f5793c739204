-- nn.TATResidual(channels, cond, { normalise = false }): f + conv(TAT(GELU(conv(TAT(f; z))); z)).
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local TAT <const> = require "lunerv.nn.tat"

local TATResidual <const> = class "TATResidual"

function TATResidual:init(channels, cond, given)
  self.tat1 = TAT(channels, cond, given)
  self.conv1 = Conv2d(channels, channels, { kernel = 3, padding = 1 })
  self.tat2 = TAT(channels, cond, given)
  self.conv2 = Conv2d(channels, channels, { kernel = 3, padding = 1 })
end

function TATResidual:forward(f, z)
  local x = self.conv1(self.tat1(f, z)):gelu()
  return f + self.conv2(self.tat2(x, z))
end

return TATResidual
