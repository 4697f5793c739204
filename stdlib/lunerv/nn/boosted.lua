-- A block followed by a block that is conditioned on time.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"
local TATResidual <const> = require "lunerv.nn.tat_residual"

local takes <const> = options.takes("nn.Boosted", {
  { "cond", 32, "width of the temporal embedding z" },
  { "normalise", false, "whether channels are first normalised to mean 0 and variance 1: AdaIN" },
})

--- Any block that makes a map, followed by a residual block conditioned on the temporal embedding
--- z. Called as boosted(x, z); the block gets x, the residual block gets its output and z.
---
---     local block = nn.Boosted(nn.NeRVBlock(32, 16), 16, { cond = 32 })
---     local y = block(x, z)                  -- x: (n, 32, h, w), z: (n, 32)
---
---@param block lunerv.Module  makes a map, (n, channels, h, w)
---@param channels integer  channels of that map
---@param options? lunerv.nn.Boosted.Options
local Boosted <const> = class "Boosted"

function Boosted:init(block, channels, given)
  local o = takes(given)
  if type(block) ~= "table" and type(block) ~= "function" then
    errors.raise("nn.Boosted: expected a module that makes a map, got %s", errors.type_of(block))
  end
  channels = parameter.integer(channels, "nn.Boosted: channels")
  self.up = block
  self.residual = TATResidual(channels, o.cond, { normalise = o.normalise })
end

function Boosted:forward(x, z, ...) return self.residual(self.up(x, ...), z) end

return Boosted
