-- nn.LayerNorm(width, { dim = 2, eps = 1e-6 }): mean 0 and variance 1 over one dimension (the
-- channels unless given), then a weight and a bias for each of its places.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local LayerNorm <const> = class "LayerNorm"

function LayerNorm:init(width, given)
  self.geometry = options(given, { dim = 2, eps = 1e-6 })
  width = parameter.integer(width, "width")
  if not (self.geometry.eps >= 0 and self.geometry.eps < math.huge) then
    errors.raise("eps: expected a number of at least 0, got %s", self.geometry.eps)
  end
  self.weight = parameter.full(1, width)
  self.bias = parameter.full(0, width)
end

function LayerNorm:forward(x) return x:layer_norm(self.weight, self.bias, self.geometry) end

return LayerNorm
