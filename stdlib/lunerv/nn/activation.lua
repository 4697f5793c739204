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

local known <const> = {}
for name in next, functions do known[#known + 1] = name end

--- The activation of a name, a function of a tensor: "gelu", "none", "relu", "sigmoid", "silu",
--- "sin" or "tanh". A function is returned unchanged.
---
---     local act = nn.activation "sin"
---     local y = act(x)
---
---@param name string|function
---@return fun(x: lunerv.Tensor): lunerv.Tensor
local function activation(name)
  if type(name) == "function" then return name end
  return functions[name] or errors.raise("nn.activation: unknown activation %s%s",
    errors.show(name), errors.meant(name, known))
end

return activation
