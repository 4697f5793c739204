-- Activations by name: nn.activation "sin" is a function of a tensor.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"

local functions <const> = {
  gelu = native.gelu,
  sin = native.sin,
  silu = native.silu,
  relu = native.relu,
  sigmoid = native.sigmoid,
  tanh = native.tanh,
  none = function(x) return x end,
}

return function(name)
  if type(name) == "function" then return name end
  return functions[name] or errors.raise(
    "unknown activation '%s' (known: gelu, none, relu, sigmoid, silu, sin, tanh)", tostring(name))
end
