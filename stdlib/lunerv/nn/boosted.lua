-- nn.Boosted(block, channels, { cond = 32, normalise = false }): any block that makes a map of
-- `channels` channels, (n, channels, h, w), then a residual block conditioned on the temporal
-- embedding z. Called as boosted(x, z); the block itself hears nothing of z.
local class <const> = require "lunerv.nn.class"
local options <const> = require "lunerv.options"
local TATResidual <const> = require "lunerv.nn.tat_residual"

local Boosted <const> = class "Boosted"

function Boosted:init(block, channels, given)
  local o = options(given, { cond = 32, normalise = false })
  self.up = block
  self.residual = TATResidual(channels, o.cond, { normalise = o.normalise })
end

function Boosted:forward(x, z) return self.residual(self.up(x), z) end

return Boosted
