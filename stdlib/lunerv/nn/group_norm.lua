-- Normalisation over groups of channels.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.GroupNorm", {
  { "eps", 1e-5, "added to the variance" },
  { "affine", true, "whether there is a weight and a bias for each channel" },
})

--- Normalises each group of channels and their pixels to mean 0 and variance 1, then applies a
--- weight and a bias for each channel (arXiv 1803.08494). It does not depend on the batch.
---
---     local norm = nn.GroupNorm(8, 64)
---
---@param groups integer  groups, which divide the channels
---@param channels integer  channels of the map
---@param options? lunerv.nn.GroupNorm.Options
local GroupNorm <const> = class "GroupNorm"

function GroupNorm:init(groups, channels, given)
  local o = takes(given)
  self.groups = parameter.integer(groups, "nn.GroupNorm: groups")
  channels = parameter.integer(channels, "nn.GroupNorm: channels")
  if channels % groups ~= 0 then
    errors.raise("nn.GroupNorm: expected groups that divide %d channels, got %d", channels, groups)
  end
  self.eps = o.eps
  if o.affine then
    self.weight = parameter.full(1, channels)
    self.bias = parameter.full(0, channels)
  end
end

function GroupNorm:forward(x)
  return x:group_norm(self.groups, self.weight, self.bias, { eps = self.eps })
end

return GroupNorm
