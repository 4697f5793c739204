-- Convolutions of images and maps.
local axes <const> = require "lunerv.nn.axes"
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.Conv2d", {
  { "kernel", nil, "side of the square kernel, or { height, width }; also the third argument",
    type = "number|table" },
  { "padding", 0, "zeros on each side of the input: a number, { y, x } or \"same\"",
    type = "number|table|string" },
  { "stride", 1, "step between the outputs, or { y, x }", type = "number|table" },
  { "dilation", 1, "step between the kernel's taps, or { y, x }", type = "number|table" },
  { "groups", 1, "independent groups of channels" },
  { "bias", true, "whether each output channel has a bias" },
  { "init", "uniform", "initial values: \"uniform\", ±1/√fan-in; \"convnext\", normal 0.02, "
    .. "bias 0" },
})

--- A convolution: (n, c_in, h, w) → (n, c_out, h', w').
--- Unlike PyTorch, stride, padding, dilation and groups are options by name.
---
---     local conv = nn.Conv2d(16, 32, 3, { padding = 1 })
---     local half = nn.Conv2d(16, 32, { kernel = 3, stride = 2, padding = 1 })
---     local row = nn.Conv2d(16, 16, { 1, 5 }, { padding = "same", dilation = { 1, 2 } })
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param kernel? integer|integer[]|lunerv.nn.Conv2d.Options  its side or sides, or the options
---@param options? lunerv.nn.Conv2d.Options
local Conv2d <const> = class "Conv2d"

function Conv2d:init(c_in, c_out, kernel, given)
  local o = axes.with_kernel("nn.Conv2d", takes, kernel, given)
  c_in = parameter.integer(c_in, "nn.Conv2d: input channels")
  c_out = parameter.integer(c_out, "nn.Conv2d: output channels")
  local k = axes.list(o.kernel, 2, "nn.Conv2d: kernel")
  o.stride = axes.checked(o.stride, 2, "nn.Conv2d: stride")
  o.padding = axes.padding(o.padding, 2, "nn.Conv2d: padding", true)
  o.dilation = axes.checked(o.dilation, 2, "nn.Conv2d: dilation")
  o.groups = axes.groups(o.groups, c_in, c_out, "nn.Conv2d")
  if o.init ~= "uniform" and o.init ~= "convnext" then
    errors.raise("nn.Conv2d: init: expected 'uniform' or 'convnext', got '%s'", tostring(o.init))
  end
  if type(o.bias) ~= "boolean" then
    errors.raise("nn.Conv2d: bias: expected true or false, got %s", type(o.bias))
  end
  local per_group = c_in // o.groups
  if o.init == "convnext" then
    self.weight = parameter.trunc_normal(0.02, c_out, per_group, k[1], k[2])
    if o.bias then self.bias = parameter.full(0, c_out) end
  else
    local fan_in = per_group * k[1] * k[2]
    self.weight = parameter.uniform(fan_in, c_out, per_group, k[1], k[2])
    if o.bias then self.bias = parameter.uniform(fan_in, c_out) end
  end
  self.geometry = { stride = o.stride, padding = o.padding, groups = o.groups,
    dilation = axes.unless_one(o.dilation) }
end

function Conv2d:forward(x) return native.conv2d(x, self.weight, self.bias, self.geometry) end

return Conv2d
