-- nn.SNeRVBlock(c_in, c_out, { scale = 2, kernel = 3, act = "sin", cond = 32 }): a NeRV block
-- with a sine, then a residual block conditioned on the temporal embedding z.
local Boosted <const> = require "lunerv.nn.boosted"
local class <const> = require "lunerv.nn.class"
local NeRVBlock <const> = require "lunerv.nn.nerv_block"
local options <const> = require "lunerv.options"

local SNeRVBlock <const> = class("SNeRVBlock", Boosted)

function SNeRVBlock:init(c_in, c_out, given)
  local o = options(given, { scale = 2, kernel = 3, act = "sin", cond = 32, normalise = false })
  local up = NeRVBlock(c_in, c_out, { scale = o.scale, kernel = o.kernel, act = o.act })
  Boosted.init(self, up, c_out, { cond = o.cond, normalise = o.normalise })
end

return SNeRVBlock
