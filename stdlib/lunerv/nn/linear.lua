-- nn.Linear(n_in, n_out, { bias = true }): x·Wᵀ + b over the last dimension.
local class <const> = require "lunerv.nn.class"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local Linear <const> = class "Linear"

function Linear:init(n_in, n_out, given)
  local o = options(given, { bias = true })
  n_in = parameter.integer(n_in, "input features")
  n_out = parameter.integer(n_out, "output features")
  self.weight = parameter.uniform(n_in, n_out, n_in)
  if o.bias then self.bias = parameter.uniform(n_in, n_out) end
end

function Linear:forward(x) return x:linear(self.weight, self.bias) end

return Linear
