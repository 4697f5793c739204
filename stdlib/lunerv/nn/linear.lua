-- Linear layers.
local class <const> = require "lunerv.nn.class"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.Linear", {
  { "bias", true, "whether each output has a bias" },
})

--- x·Wᵀ + b over the last dimension: (…, n_in) → (…, n_out).
---
---     local layer = nn.Linear(64, 32)
---     local bare = nn.Linear(64, 32, { bias = false })
---
---@param n_in integer  features of the input
---@param n_out integer  features of the output
---@param options? lunerv.nn.Linear.Options
local Linear <const> = class "Linear"

function Linear:init(n_in, n_out, given)
  local o = takes(given)
  n_in = parameter.integer(n_in, "nn.Linear: input features")
  n_out = parameter.integer(n_out, "nn.Linear: output features")
  self.weight = parameter.uniform(n_in, n_out, n_in)
  if o.bias then self.bias = parameter.uniform(n_in, n_out) end
end

function Linear:forward(x) return native.linear(x, self.weight, self.bias) end

return Linear
