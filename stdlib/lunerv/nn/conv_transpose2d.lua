-- Transposed convolutions of images and maps.
local axes <const> = require "lunerv.nn.axes"
local class <const> = require "lunerv.nn.class"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.ConvTranspose2d", {
  { "kernel", nil, "side of the square kernel, or { height, width }; also the third argument",
    type = "number|table" },
  { "padding", 0, "rows and columns cut from every side, or { y, x }", type = "number|table" },
  { "output_padding", 0, "rows and columns added after the last, or { y, x }",
    type = "number|table" },
  { "stride", 1, "step between the outputs of neighbouring inputs, or { y, x }",
    type = "number|table" },
  { "dilation", 1, "step between the kernel's taps, or { y, x }", type = "number|table" },
  { "groups", 1, "independent groups of channels" },
  { "bias", true, "whether each output channel has a bias" },
})

--- A transposed convolution: (n, c_in, h, w) → (n, c_out, h', w'), larger by the stride.
--- Unlike PyTorch, stride, padding, output_padding, dilation and groups are options by name.
--- Initial values are PyTorch's: uniform within ±1/√(c_out/groups · kh · kw).
---
---     local twice = nn.ConvTranspose2d(64, 32, 4, { stride = 2, padding = 1 })
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param kernel? integer|integer[]|lunerv.nn.ConvTranspose2d.Options  its sides, or the options
---@param options? lunerv.nn.ConvTranspose2d.Options
local ConvTranspose2d <const> = class "ConvTranspose2d"

function ConvTranspose2d:init(c_in, c_out, kernel, given)
  local name <const> = "nn.ConvTranspose2d"
  local o = axes.with_kernel(name, takes, kernel, given)
  c_in = parameter.integer(c_in, name .. ": input channels")
  c_out = parameter.integer(c_out, name .. ": output channels")
  local k = axes.list(o.kernel, 2, name .. ": kernel")
  local groups = axes.groups(o.groups, c_in, c_out, name)
  self.geometry = {
    stride = axes.checked(o.stride, 2, name .. ": stride"),
    padding = axes.padding(o.padding, 2, name .. ": padding"),
    output_padding = axes.checked(o.output_padding, 2, name .. ": output_padding", 0),
    dilation = axes.checked(o.dilation, 2, name .. ": dilation"),
    groups = groups,
  }
  local fan_in = c_out // groups * k[1] * k[2]
  self.weight = parameter.uniform(fan_in, c_in, c_out // groups, k[1], k[2])
  if o.bias then self.bias = parameter.uniform(fan_in, c_out) end
end

function ConvTranspose2d:forward(x)
  return x:conv_transpose2d(self.weight, self.bias, self.geometry)
end

return ConvTranspose2d
