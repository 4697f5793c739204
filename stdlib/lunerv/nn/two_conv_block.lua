-- E-NeRV's first block.
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local errors <const> = require "lunerv.errors"
local NeRVBlock <const> = require "lunerv.nn.nerv_block"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.TwoConvBlock", {
  { "scale", 2, "upsampling factor in each direction" },
  { "kernel", 3, "side of the upsampling convolution's kernel" },
  { "act", "gelu", "the activation after both: a name or a function" },
})

--- E-NeRV's first block: one convolution upsamples and a 3×3 convolution changes the number of
--- channels, in the order that keeps the middle narrow; the activation follows both.
--- (n, c_in, h, w) → (n, c_out, h·scale, w·scale).
---
---     local up = nn.TwoConvBlock(64, 32, { scale = 5 })
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param options? lunerv.nn.TwoConvBlock.Options
local TwoConvBlock <const> = class "TwoConvBlock"

function TwoConvBlock:init(c_in, c_out, given)
  local o = takes(given)
  c_in = parameter.integer(c_in, "nn.TwoConvBlock: input channels")
  c_out = parameter.integer(c_out, "nn.TwoConvBlock: output channels")
  local up = { scale = o.scale, kernel = o.kernel, act = "none" }
  if c_in > c_out then
    self.first = Conv2d(c_in, c_out, { kernel = 3, padding = 1 })
    self.second_up = NeRVBlock(c_out, c_out, up)
  else
    if c_in < 4 then
      errors.raise("nn.TwoConvBlock: expected at least 4 input channels, a quarter of which "
        .. "upsample, got %d", c_in)
    end
    self.first_up = NeRVBlock(c_in, c_in // 4, up)
    self.second = Conv2d(c_in // 4, c_out, { kernel = 3, padding = 1 })
  end
  self.act = activation(o.act)
end

function TwoConvBlock:forward(x)
  if self.first_up then return self.act(self.second(self.first_up(x))) end
  return self.act(self.second_up(self.first(x)))
end

return TwoConvBlock
