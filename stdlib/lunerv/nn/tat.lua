-- nn.TAT(channels, cond, { normalise = false }): the temporal-aware affine transform,
-- f·(1 + γ(z)) + β(z), with one γ and one β per channel. With `normalise` each channel of f is
-- first brought to mean 0 and variance 1: that is AdaIN.
local class <const> = require "lunerv.nn.class"
local MLP <const> = require "lunerv.nn.mlp"
local options <const> = require "lunerv.options"

local TAT <const> = class "TAT"

function TAT:init(channels, cond, given)
  local o = options(given, { normalise = false })
  self.channels, self.normalise = channels, o.normalise
  self.gamma = MLP({ cond, cond, channels }, { act = "relu", last = "none" })
  self.beta = MLP({ cond, cond, channels }, { act = "relu", last = "none" })
end

function TAT:forward(f, z)
  if self.normalise then f = f:instance_norm() end
  local gamma = self.gamma(z):view(-1, self.channels, 1, 1)
  local beta = self.beta(z):view(-1, self.channels, 1, 1)
  return f * (gamma + 1) + beta
end

return TAT
