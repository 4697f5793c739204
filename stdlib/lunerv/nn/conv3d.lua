-- Convolutions of frames.
local axes <const> = require "lunerv.nn.axes"
local class <const> = require "lunerv.nn.class"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.Conv3d", {
  { "kernel", nil, "side of the cubic kernel, or { depth, height, width }; also the third "
    .. "argument", type = "number|table" },
  { "padding", 0, "zeros on each side of the input: a number, { d, y, x } or \"same\"",
    type = "number|table|string" },
  { "stride", 1, "step between the outputs, or { d, y, x }", type = "number|table" },
  { "dilation", 1, "step between the kernel's taps, or { d, y, x }", type = "number|table" },
  { "groups", 1, "independent groups of channels" },
  { "bias", true, "whether each output channel has a bias" },
})

--- A convolution over frames: (n, c_in, d, h, w) → (n, c_out, d', h', w').
--- Unlike PyTorch, stride, padding, dilation and groups are options by name. Initial values are
--- PyTorch's: uniform within ±1/√fan-in.
---
---     local conv = nn.Conv3d(8, 16, 3, { padding = 1 })
---     local still = nn.Conv3d(8, 16, { 1, 3, 3 }, { padding = { 0, 1, 1 } })
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param kernel? integer|integer[]|lunerv.nn.Conv3d.Options  its side or sides, or the options
---@param options? lunerv.nn.Conv3d.Options
local Conv3d <const> = class "Conv3d"

function Conv3d:init(c_in, c_out, kernel, given)
  local name <const> = "nn.Conv3d"
  local o = axes.with_kernel(name, takes, kernel, given)
  c_in = parameter.integer(c_in, name .. ": input channels")
  c_out = parameter.integer(c_out, name .. ": output channels")
  local k = axes.list(o.kernel, 3, name .. ": kernel")
  local groups = axes.groups(o.groups, c_in, c_out, name)
  self.geometry = {
    stride = axes.checked(o.stride, 3, name .. ": stride"),
    padding = axes.padding(o.padding, 3, name .. ": padding", true),
    dilation = axes.checked(o.dilation, 3, name .. ": dilation"),
    groups = groups,
  }
  local per_group = c_in // groups
  local fan_in = per_group * k[1] * k[2] * k[3]
  self.weight = parameter.uniform(fan_in, c_out, per_group, k[1], k[2], k[3])
  if o.bias then self.bias = parameter.uniform(fan_in, c_out) end
end

function Conv3d:forward(x) return x:conv3d(self.weight, self.bias, self.geometry) end

return Conv3d
