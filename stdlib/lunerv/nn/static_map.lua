-- A trained map that all frames share.
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.StaticMap", {
  { "dim", 3, "channels of the trained map" },
  { "height", nil, "rows of the block's map", type = "integer" },
  { "width", nil, "columns of the block's map", type = "integer" },
})

-- Small against the map it is added to, but large enough for its own gradients.
local spread <const> = 0.1

--- Any block that makes a map, and a trained map of few channels that is added to it, mixed by a
--- 1×1 convolution. A decoder of convolutions computes the same everywhere: what differs between
--- places comes from the embedding alone, whose grid is coarse. Here every place has values of its
--- own, for all frames, as the static codes of DS-NeRV (arXiv 2403.15679). The block's other
--- arguments are passed on.
---
---     local block = nn.StaticMap(nn.NeRVBlock(32, 16), 16, { dim = 3, height = 90, width = 160 })
---     local y = block(x)                     -- x: (n, 32, 45, 80), y: (n, 16, 90, 160)
---
---@param block lunerv.Module  makes a map, (n, channels, height, width)
---@param channels integer  channels of that map
---@param options lunerv.nn.StaticMap.Options
local StaticMap <const> = class "StaticMap"

function StaticMap:init(block, channels, given)
  local o = takes(given)
  if type(block) ~= "table" and type(block) ~= "function" then
    errors.raise("nn.StaticMap: expected a module that makes a map, got %s", errors.type_of(block))
  end
  channels = parameter.integer(channels, "nn.StaticMap: channels")
  local dim = parameter.integer(o.dim, "nn.StaticMap: dim")
  local height = parameter.integer(o.height, "nn.StaticMap: height")
  local width = parameter.integer(o.width, "nn.StaticMap: width")
  self.up = block
  self.static = parameter.trunc_normal(spread, 1, dim, height, width)
  self.mix = Conv2d(dim, channels, { kernel = 1 })
end

function StaticMap:forward(...) return self.up(...) + self.mix(self.static) end

return StaticMap
