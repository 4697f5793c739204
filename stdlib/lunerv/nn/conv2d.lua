-- nn.Conv2d(c_in, c_out, { kernel =, padding = 0, stride = 1, groups = 1, bias = true }):
-- (n, c_in, h, w) → (n, c_out, h', w'). `init` is "uniform", or "convnext": trunc. normal 0.02
-- and zero bias.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local Conv2d <const> = class "Conv2d"

function Conv2d:init(c_in, c_out, given)
  local o = options(given,
    { padding = 0, stride = 1, groups = 1, bias = true, init = "uniform" }, { "kernel" })
  c_in = parameter.integer(c_in, "input channels")
  c_out = parameter.integer(c_out, "output channels")
  local k = parameter.integer(o.kernel, "kernel")
  o.stride, o.padding = parameter.integer(o.stride, "stride"), parameter.integer(o.padding,
    "padding", 0)
  o.groups = parameter.integer(o.groups, "groups")
  if o.init ~= "uniform" and o.init ~= "convnext" then
    errors.raise("init: expected uniform or convnext, got '%s'", tostring(o.init))
  end
  if type(o.bias) ~= "boolean" then
    errors.raise("bias: expected true or false, got %s", type(o.bias))
  end
  if c_in % o.groups ~= 0 or c_out % o.groups ~= 0 then
    errors.raise("groups: expected a divisor of %d and %d channels, got %s", c_in, c_out, o.groups)
  end
  local per_group = c_in // o.groups
  if o.init == "convnext" then
    self.weight = parameter.trunc_normal(0.02, c_out, per_group, k, k)
    if o.bias then self.bias = parameter.full(0, c_out) end
  else
    local fan_in = per_group * k * k
    self.weight = parameter.uniform(fan_in, c_out, per_group, k, k)
    if o.bias then self.bias = parameter.uniform(fan_in, c_out) end
  end
  self.geometry = { stride = o.stride, padding = o.padding, groups = o.groups }
end

function Conv2d:forward(x) return x:conv2d(self.weight, self.bias, self.geometry) end

return Conv2d
