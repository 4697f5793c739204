-- Resizing as a module.
local class <const> = require "lunerv.nn.class"
local options <const> = require "lunerv.options"

local takes <const> = options.takes("nn.Upsample", {
  { "scale", nil, "scale factor: a number, or one per axis", type = "number|table" },
  { "size", nil, "the new sizes instead of a scale: a number, or { h, w }",
    type = "integer|table" },
  { "mode", "nearest", "\"nearest\", \"bilinear\", \"bicubic\", \"trilinear\" or \"linear\"" },
  { "align_corners", false, "whether the outermost elements stay where they are" },
  { "antialias", false, "whether smaller images are smoothed (bilinear, bicubic)" },
})

--- x:interpolate as a module, for lists of layers.
--- Unlike PyTorch, `scale` is its `scale_factor`, and the sizes are options by name.
---
---     local twice = nn.Upsample { scale = 2, mode = "bilinear" }
---     local y = twice(x)
---
---@param options lunerv.nn.Upsample.Options
local Upsample <const> = class "Upsample"
function Upsample:init(given) self.geometry = takes(given) end
function Upsample:forward(x) return x:interpolate(self.geometry) end

return Upsample
