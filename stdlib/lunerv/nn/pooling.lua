-- Pooling as modules, for lists of layers.
local class <const> = require "lunerv.nn.class"
local options <const> = require "lunerv.options"

local takes_mean <const> = options.takes("nn.AvgPool2d", {
  { "stride", nil, "step between windows (the kernel)", type = "integer|table" },
  { "padding", 0, "zeros on each side, at most half the kernel", type = "integer|table" },
  { "ceil_mode", false, "whether windows may extend past the last element" },
  { "count_include_pad", true, "whether those zeros count in the mean" },
  { "divisor_override", nil, "divisor of the sums instead of the element count", type = "number" },
})

local takes_max <const> = options.takes("nn.MaxPool2d", {
  { "stride", nil, "step between windows (the kernel)", type = "integer|table" },
  { "padding", 0, "padding on each side, which is never the maximum", type = "integer|table" },
  { "dilation", 1, "step between the elements of a window", type = "integer|table" },
  { "ceil_mode", false, "whether windows may extend past the last element" },
})

--- The means of windows, x:avg_pool2d as a module.
---
---     local half = nn.AvgPool2d(2)
---     local same = nn.AvgPool2d(3, { stride = 1, padding = 1 })
---
---@param kernel_size integer|integer[]  sides of a window: a number or { for rows, for columns }
---@param options? lunerv.nn.AvgPool2d.Options
local AvgPool2d <const> = class "AvgPool2d"
function AvgPool2d:init(kernel_size, given)
  self.kernel_size, self.geometry = kernel_size, takes_mean(given)
end
function AvgPool2d:forward(x) return x:avg_pool2d(self.kernel_size, self.geometry) end

--- The maxima of windows, x:max_pool2d as a module.
---
---     local half = nn.MaxPool2d(2)
---     local stem = nn.MaxPool2d(3, { stride = 2, padding = 1 })
---
---@param kernel_size integer|integer[]  sides of a window: a number or { for rows, for columns }
---@param options? lunerv.nn.MaxPool2d.Options
local MaxPool2d <const> = class "MaxPool2d"
function MaxPool2d:init(kernel_size, given)
  self.kernel_size, self.geometry = kernel_size, takes_max(given)
end
function MaxPool2d:forward(x) return x:max_pool2d(self.kernel_size, self.geometry) end

--- The means of windows that evenly cover a map, x:adaptive_avg_pool2d as a module.
---
---     local means = nn.AdaptiveAvgPool2d(1)
---
---@param output_size integer|integer[]  sizes of the result: a number for both, or { h, w }
local AdaptiveAvgPool2d <const> = class "AdaptiveAvgPool2d"
function AdaptiveAvgPool2d:init(output_size) self.output_size = output_size end
function AdaptiveAvgPool2d:forward(x) return x:adaptive_avg_pool2d(self.output_size) end

return { AvgPool2d = AvgPool2d, MaxPool2d = MaxPool2d, AdaptiveAvgPool2d = AdaptiveAvgPool2d }
