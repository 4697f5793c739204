-- The temporal-aware affine transform.
local class <const> = require "lunerv.nn.class"
local MLP <const> = require "lunerv.nn.mlp"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.TAT", {
  { "normalise", false, "whether channels are first normalised to mean 0 and variance 1: AdaIN" },
})

--- The temporal-aware affine transform f·(1 + γ(z)) + β(z). γ and β have one value per channel and
--- come from two layers each. Called as tat(f, z).
---
---     local tat = nn.TAT(16, 32)
---     local y = tat(f, z)                    -- f: (n, 16, h, w), z: (n, 32)
---
---@param channels integer  channels of the map f
---@param cond integer  width of the temporal embedding z
---@param options? lunerv.nn.TAT.Options
local TAT <const> = class "TAT"

function TAT:init(channels, cond, given)
  local o = takes(given)
  channels = parameter.integer(channels, "nn.TAT: channels")
  cond = parameter.integer(cond, "nn.TAT: width of the embedding")
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
