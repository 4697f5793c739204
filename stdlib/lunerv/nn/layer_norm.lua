-- Normalisation over one dimension.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.LayerNorm", {
  { "dim", 2, "the dimension that is normalised: 2, the channels of a map; -1, the last" },
  { "eps", 1e-6, "added to the variance" },
})

--- Normalises one dimension to mean 0 and variance 1, then applies a weight and a bias for each of
--- its positions.
--- Unlike PyTorch, the dimension is the second one, the channels of a map, unless `dim` says
--- otherwise (PyTorch: the last ones), and eps is 1e-6 (PyTorch: 1e-5).
---
---     local norm = nn.LayerNorm(64)                            -- of (n, 64, h, w)
---     local theirs = nn.LayerNorm(64, { dim = -1, eps = 1e-5 })  -- of (…, 64)
---
---@param width integer  size of that dimension
---@param options? lunerv.nn.LayerNorm.Options
local LayerNorm <const> = class "LayerNorm"

function LayerNorm:init(width, given)
  self.geometry = takes(given)
  width = parameter.integer(width, "nn.LayerNorm: width")
  if not (self.geometry.eps >= 0 and self.geometry.eps < math.huge) then
    errors.raise("nn.LayerNorm: eps: expected a number of at least 0, got %s", self.geometry.eps)
  end
  self.weight = parameter.full(1, width)
  self.bias = parameter.full(0, width)
end

function LayerNorm:forward(x) return native.layer_norm(x, self.weight, self.bias, self.geometry) end

return LayerNorm
