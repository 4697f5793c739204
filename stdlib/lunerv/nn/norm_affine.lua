-- nn.NormAffine(channels, cond, { act = "gelu" }): E-NeRV's conditioning. Each channel of f is
-- brought to mean 0 and variance 1, then f·γ + β; γ and β are the halves of one activated linear
-- layer of the temporal embedding z. (nn.TAT starts from f itself, and adds its γ to 1.)
local class <const> = require "lunerv.nn.class"
local MLP <const> = require "lunerv.nn.mlp"
local options <const> = require "lunerv.options"

local NormAffine <const> = class "NormAffine"

function NormAffine:init(channels, cond, given)
  local o = options(given, { act = "gelu" })
  self.channels = channels
  self.mlp = MLP({ cond, 2 * channels }, { act = o.act })
end

function NormAffine:forward(f, z)
  local c = self.channels
  local both = self.mlp(z):view(-1, 2 * c, 1, 1)
  return f:instance_norm() * both:slice(2, 1, c) + both:slice(2, c + 1, 2 * c)
end

return NormAffine
