-- Convolutions of images and maps.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.Conv2d", {
  { "kernel", nil, "side of the square kernel; the third argument may be it", type = "number" },
  { "padding", 0, "zeros around the input, on each side" },
  { "stride", 1, "step between the outputs" },
  { "groups", 1, "groups of channels that do not see one another" },
  { "bias", true, "whether a number is added to each output channel" },
  { "init", "uniform", "first values: \"uniform\", ±1/√fan-in; \"convnext\", normal 0.02, bias 0" },
})

--- A convolution with a square kernel: (n, c_in, h, w) → (n, c_out, h', w').
--- Unlike PyTorch, stride and padding are options by name, and kernels are square.
---
---     local conv = nn.Conv2d(16, 32, 3, { padding = 1 })
---     local half = nn.Conv2d(16, 32, { kernel = 3, stride = 2, padding = 1 })
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param kernel? integer|lunerv.nn.Conv2d.Options  the kernel's side, or the options with it
---@param options? lunerv.nn.Conv2d.Options
local Conv2d <const> = class "Conv2d"

-- The options, where the kernel may have come before them.
local function with_kernel(kernel, given)
  if type(kernel) ~= "number" then
    if given ~= nil then
      errors.raise("nn.Conv2d: expected the kernel before the options, got %s", type(kernel))
    end
    return takes(kernel)
  end
  local o = takes(given)
  if o.kernel ~= nil then
    errors.raise("nn.Conv2d: expected one kernel, got %s and the option 'kernel'", kernel)
  end
  o.kernel = kernel
  return o
end

function Conv2d:init(c_in, c_out, kernel, given)
  local o = with_kernel(kernel, given)
  c_in = parameter.integer(c_in, "nn.Conv2d: input channels")
  c_out = parameter.integer(c_out, "nn.Conv2d: output channels")
  local k = parameter.integer(o.kernel, "nn.Conv2d: kernel")
  o.stride = parameter.integer(o.stride, "nn.Conv2d: stride")
  o.padding = parameter.integer(o.padding, "nn.Conv2d: padding", 0)
  o.groups = parameter.integer(o.groups, "nn.Conv2d: groups")
  if o.init ~= "uniform" and o.init ~= "convnext" then
    errors.raise("nn.Conv2d: init: expected 'uniform' or 'convnext', got '%s'", tostring(o.init))
  end
  if type(o.bias) ~= "boolean" then
    errors.raise("nn.Conv2d: bias: expected true or false, got %s", type(o.bias))
  end
  if c_in % o.groups ~= 0 or c_out % o.groups ~= 0 then
    errors.raise("nn.Conv2d: groups: expected a divisor of %d and %d channels, got %s", c_in,
      c_out, o.groups)
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

function Conv2d:forward(x) return native.conv2d(x, self.weight, self.bias, self.geometry) end

return Conv2d
