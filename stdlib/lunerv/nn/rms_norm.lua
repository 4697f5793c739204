-- Normalisation by the root mean square.
local class <const> = require "lunerv.nn.class"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.RMSNorm", {
  { "dim", 2, "the dimension that is normalised: 2, the channels of a map; -1, the last" },
  { "eps", 1e-6, "added to the mean of squares" },
})

--- Divides vectors along one dimension by their root mean square, then multiplies by a weight for
--- each position (arXiv 1910.07467).
--- Unlike PyTorch, the dimension is the second one unless `dim` says otherwise, as in nn.LayerNorm,
--- and eps is 1e-6.
---
---     local norm = nn.RMSNorm(64)                  -- of (n, 64, h, w)
---     local theirs = nn.RMSNorm(64, { dim = -1 })  -- of (…, 64)
---
---@param width integer  size of that dimension
---@param options? lunerv.nn.RMSNorm.Options
local RMSNorm <const> = class "RMSNorm"

function RMSNorm:init(width, given)
  self.geometry = takes(given)
  self.weight = parameter.full(1, parameter.integer(width, "nn.RMSNorm: width"))
end

function RMSNorm:forward(x) return x:rms_norm(self.weight, self.geometry) end

return RMSNorm
