-- Optimisers over a list of parameters: `optimiser.lr`, `:zero_grad()`, `:step()`, `:state()`.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local optim <const> = {}

-- Adam: lr · m̂ / (√v̂ + eps).
function optim.Adam(parameters, given)
  return native.adam(parameters, options(given, {
    lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8,
  }))
end

-- Adan: Adam with the change of the gradient as a third moment, no weight decay.
function optim.Adan(parameters, given)
  return native.adan(parameters, options(given, {
    lr = 1e-3, beta1 = 0.98, beta2 = 0.92, beta3 = 0.99, eps = 1e-8,
  }))
end

local constructors <const> = { adam = optim.Adam, adan = optim.Adan }

-- The constructor called `name` on the command line.
function optim.by_name(name)
  return constructors[name]
    or errors.raise("unknown optimiser '%s' (known: adam, adan)", tostring(name))
end

return optim
