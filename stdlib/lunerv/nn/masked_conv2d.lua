-- Causal convolutions, which see only previously coded pixels: PixelCNN's (arXiv 1601.06759).
local axes <const> = require "lunerv.nn.axes"
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local takes <const> = options.takes("nn.MaskedConv2d", {
  { "kernel", nil, "odd side of the kernel, or { height, width }; also the third argument",
    type = "number|table" },
  { "mask", "B", "\"A\" leaves the pixel itself out, \"B\" sees it" },
  { "bias", true, "whether each output channel has a bias" },
})

--- A convolution whose kernel sees the rows above a pixel, and the pixels to its left:
--- (n, c_in, h, w) → (n, c_out, h, w) (PixelCNN, arXiv 1601.06759).
--- The first layer of a context network has the mask "A", which leaves out the pixel itself; later
--- layers have "B". Weights are masked before each use; all channels of a pixel share one mask. A
--- kernel { 1, k } is causal along rows alone.
---
---     local context = nn.Sequential(
---       nn.MaskedConv2d(1, 16, 5, { mask = "A" }), nn.ReLU(),
---       nn.MaskedConv2d(16, 2, 1, { mask = "B" }))
---
---@param c_in integer  channels of the input
---@param c_out integer  channels of the output
---@param kernel? integer|integer[]|lunerv.nn.MaskedConv2d.Options  its sides, or the options
---@param options? lunerv.nn.MaskedConv2d.Options
local MaskedConv2d <const> = class "MaskedConv2d"

-- Ones at the positions that a kernel with these sides may use.
local function mask_of(height, width, sees_itself)
  local rows = {}
  for y = 1, height do
    rows[y] = {}
    for x = 1, width do
      local before = y < (height + 1) // 2 or y == (height + 1) // 2 and x < (width + 1) // 2
      local itself = y == (height + 1) // 2 and x == (width + 1) // 2
      rows[y][x] = (before or itself and sees_itself) and 1 or 0
    end
  end
  return native.tensor(rows):view(1, 1, height, width)
end

function MaskedConv2d:init(c_in, c_out, kernel, given)
  local name <const> = "nn.MaskedConv2d"
  local o = axes.with_kernel(name, takes, kernel, given)
  c_in = parameter.integer(c_in, name .. ": input channels")
  c_out = parameter.integer(c_out, name .. ": output channels")
  local k = axes.list(o.kernel, 2, name .. ": kernel")
  if k[1] % 2 == 0 or k[2] % 2 == 0 then
    errors.raise("%s: kernel: expected odd sides, got %d×%d", name, k[1], k[2])
  end
  if o.mask ~= "A" and o.mask ~= "B" then
    errors.raise("%s: mask: expected 'A' or 'B', got '%s'", name, tostring(o.mask))
  end
  local fan_in = c_in * k[1] * k[2]
  self.weight = parameter.uniform(fan_in, c_out, c_in, k[1], k[2])
  if o.bias then self.bias = parameter.uniform(fan_in, c_out) end
  -- In a table, so that it is not part of the state.
  self.geometry = { padding = { k[1] // 2, k[2] // 2 } }
  self.mask = { mask_of(k[1], k[2], o.mask == "B") }
end

function MaskedConv2d:forward(x)
  local weight = self.weight * self.mask[1]:to(self.weight.dtype)
  return x:conv2d(weight, self.bias, self.geometry)
end

return MaskedConv2d
