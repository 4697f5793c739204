-- NeRV's block.
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.NeRVBlock", {
  { "scale", 2, "upsampling factor in each direction" },
  { "kernel", 3, "side of the convolution's kernel" },
  { "act", "gelu", "the activation after it: a name or a function" },
})

--- A convolution, PixelShuffle and an activation: (n, c_in, h, w) → (n, c_out, h·scale, w·scale).
--- (NeRV, arXiv 2110.13903.)
---
---     local up = nn.NeRVBlock(32, 16, { scale = 2, kernel = 3, act = "sin" })
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param options? lunerv.nn.NeRVBlock.Options
local NeRVBlock <const> = class "NeRVBlock"

function NeRVBlock:init(c_in, c_out, given)
  local o = takes(given)
  c_in = parameter.integer(c_in, "nn.NeRVBlock: input channels")
  c_out = parameter.integer(c_out, "nn.NeRVBlock: output channels")
  parameter.integer(o.scale, "nn.NeRVBlock: scale")
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
