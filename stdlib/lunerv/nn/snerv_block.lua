-- The boosted kinds' block.
local Boosted <const> = require "lunerv.nn.boosted"
local class <const> = require "lunerv.nn.class"
local NeRVBlock <const> = require "lunerv.nn.nerv_block"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.SNeRVBlock", {
  { "scale", 2, "upsampling factor in each direction" },
  { "kernel", 3, "side of the upsampling convolution's kernel" },
  { "act", "sin", "the activation after it: a name or a function" },
  { "cond", 32, "width of the temporal embedding z" },
  { "normalise", false, "whether channels are first normalised to mean 0 and variance 1: AdaIN" },
})

--- The boosted kinds' block: nn.NeRVBlock with a sine, then nn.TATResidual. Called as block(x, z).
---
---     local block = nn.SNeRVBlock(32, 16, { scale = 2, cond = 32 })
---     local y = block(x, z)                  -- x: (n, 32, h, w), z: (n, 32)
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param options? lunerv.nn.SNeRVBlock.Options
local SNeRVBlock <const> = class("SNeRVBlock", Boosted)

function SNeRVBlock:init(c_in, c_out, given)
  local o = takes(given)
  c_in = parameter.integer(c_in, "nn.SNeRVBlock: input channels")
  c_out = parameter.integer(c_out, "nn.SNeRVBlock: output channels")
  local up = NeRVBlock(c_in, c_out, { scale = o.scale, kernel = o.kernel, act = o.act })
  Boosted.init(self, up, c_out, { cond = o.cond, normalise = o.normalise })
end

return SNeRVBlock
