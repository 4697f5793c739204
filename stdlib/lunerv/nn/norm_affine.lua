-- E-NeRV's conditioning.
local class <const> = require "lunerv.nn.class"
local MLP <const> = require "lunerv.nn.mlp"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.NormAffine", {
  { "act", "gelu", "the activation of the layer that makes γ and β: a name or a function" },
})

--- E-NeRV's conditioning: normalises each channel of a map f to mean 0 and variance 1, then
--- computes f·γ + β. γ and β are the halves of one activated linear layer of the temporal embedding
--- z. (nn.TAT starts from f itself, and adds its γ to 1.) Called as affine(f, z).
---
---     local affine = nn.NormAffine(32, 128)
---     local y = affine(f, z)                 -- f: (n, 32, h, w), z: (n, 128)
---
---@param channels integer  channels of the map
---@param cond integer  width of the temporal embedding
---@param options? lunerv.nn.NormAffine.Options
local NormAffine <const> = class "NormAffine"

function NormAffine:init(channels, cond, given)
  local o = takes(given)
  channels = parameter.integer(channels, "nn.NormAffine: channels")
  cond = parameter.integer(cond, "nn.NormAffine: width of the embedding")
  self.channels = channels
  self.mlp = MLP({ cond, 2 * channels }, { act = o.act })
end

function NormAffine:forward(f, z)
  local c = self.channels
  local both = self.mlp(z):view(-1, 2 * c, 1, 1)
  return f:instance_norm() * both:slice(2, 1, c) + both:slice(2, c + 1, 2 * c)
end

return NormAffine
