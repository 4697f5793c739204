-- nn.NeRVBlock(c_in, c_out, { scale = 2, kernel = 3, act = "gelu" }):
-- conv k×k → PixelShuffle(scale) → activation. (n, c_in, h, w) → (n, c_out, h·scale, w·scale).
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local options <const> = require "lunerv.options"

local NeRVBlock <const> = class "NeRVBlock"

function NeRVBlock:init(c_in, c_out, given)
  local o = options(given, { scale = 2, kernel = 3, act = "gelu" })
  self.scale = o.scale
  self.conv = Conv2d(c_in, c_out * o.scale ^ 2, { kernel = o.kernel, padding = o.kernel // 2 })
  self.act = activation(o.act)
end

function NeRVBlock:forward(x)
  x = self.conv(x)
  if self.scale > 1 then x = x:pixel_shuffle(self.scale) end
  return self.act(x)
end

return NeRVBlock
