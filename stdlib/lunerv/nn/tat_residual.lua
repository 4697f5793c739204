-- The residual block that is conditioned on time.
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"
local TAT <const> = require "lunerv.nn.tat"

local takes <const> = options.takes("nn.TATResidual", {
  { "normalise", false, "whether channels are first normalised to mean 0 and variance 1: AdaIN" },
})

--- f + conv(TAT(GELU(conv(TAT(f, z))), z)), the residual block of the boosted kinds. Called as
--- block(f, z).
---
---     local block = nn.TATResidual(16, 32)
---     local y = block(f, z)                  -- f: (n, 16, h, w), z: (n, 32)
---
---@param channels integer  channels of the map f
---@param cond integer  width of the temporal embedding z
---@param options? lunerv.nn.TATResidual.Options
local TATResidual <const> = class "TATResidual"

function TATResidual:init(channels, cond, given)
  given = takes(given)
  channels = parameter.integer(channels, "nn.TATResidual: channels")
  cond = parameter.integer(cond, "nn.TATResidual: width of the embedding")
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
