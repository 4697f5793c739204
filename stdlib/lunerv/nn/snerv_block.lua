local class <const> = require "lunerv.nn.class"
local NeRVBlock <const> = require "lunerv.nn.nerv_block"
local options <const> = require "lunerv.options"
local TATResidual <const> = require "lunerv.nn.tat_residual"

-- nn.SNeRVBlock(c_in, c_out, { scale = 2, kernel = 3, act = "sin", cond = 32 }): a NeRV block
-- with a sine, then a residual block conditioned on the temporal embedding z.
local SNeRVBlock <const> = class "SNeRVBlock"

function SNeRVBlock:init(c_in, c_out, given)
  local o = options(given, { scale = 2, kernel = 3, act = "sin", cond = 32, normalise = false })
  self.up = NeRVBlock(c_in, c_out, { scale = o.scale, kernel = o.kernel, act = o.act })
  self.residual = TATResidual(c_out, o.cond, { normalise = o.normalise })
end

function SNeRVBlock:forward(x, z) return self.residual(self.up(x), z) end

return SNeRVBlock
