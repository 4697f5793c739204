-- The ConvNeXt encoder that makes a small embedding of a frame.
local class <const> = require "lunerv.nn.class"
local Conv2d <const> = require "lunerv.nn.conv2d"
local LayerNorm <const> = require "lunerv.nn.layer_norm"
local List <const> = require "lunerv.nn.list"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

--- ConvNeXt's block (arXiv 2201.03545): x + γ ⊙ project(GELU(expand(norm(depthwise 7×7(x))))).
--- (n, width, h, w) → the same.
---
---     local block = nn.ConvNeXtBlock(64)
---
---@param width integer  channels
local Block <const> = class "ConvNeXtBlock"

function Block:init(width)
  width = parameter.integer(width, "nn.ConvNeXtBlock: channels")
  self.depthwise = Conv2d(width, width,
    { kernel = 7, padding = 3, groups = width, init = "convnext" })
  self.norm = LayerNorm(width)
  self.expand = Conv2d(width, 4 * width, { kernel = 1, init = "convnext" })
  self.project = Conv2d(4 * width, width, { kernel = 1, init = "convnext" })
  self.scale = parameter.full(1e-6, 1, width, 1, 1)
end

function Block:forward(x)
  local y = self.norm(self.depthwise(x))
  return x + self.project(self.expand(y):gelu()) * self.scale
end

local stage_takes <const> = options.takes("nn.ConvNeXtStage", {
  { "stride", 2, "downsampling factor in each direction" },
  { "blocks", 1, "blocks after the downsampling convolution" },
  { "first", false, "whether it is the first stage, which normalises after its convolution" },
})

-- Downsampling by `stride`, then blocks. The first stage, on the image, normalises after its
-- convolution; the others normalise their input.
local Stage <const> = class "ConvNeXtStage"

function Stage:init(c_in, c_out, given)
  local o = stage_takes(given)
  self.first = o.first
  self.conv = Conv2d(c_in, c_out, { kernel = o.stride, stride = o.stride, init = "convnext" })
  self.norm = LayerNorm(o.first and c_out or c_in)
  self.blocks = List {}
  for _ = 1, o.blocks do self.blocks:append(Block(c_out)) end
end

function Stage:forward(x)
  x = self.first and self.norm(self.conv(x)) or self.conv(self.norm(x))
  for _, block in ipairs(self.blocks) do x = block(x) end
  return x
end

local takes <const> = options.takes("nn.ConvNeXt", {
  { "strides", { 5, 2, 2 }, "downsampling factor of each stage" },
  { "width", 64, "channels of all stages but the last" },
  { "out", 16, "channels of the embedding" },
  { "blocks", 1, "blocks in each stage" },
})

--- The encoder that makes a small embedding of a frame, of ConvNeXt's blocks (HNeRV,
--- arXiv 2304.02633): (n, 3, h, w) → (n, out, h/∏strides, w/∏strides).
---
---     local encoder = nn.ConvNeXt { strides = { 5, 2, 2 }, width = 64, out = 16 }
---
---@param options? lunerv.nn.ConvNeXt.Options
local ConvNeXt <const> = class "ConvNeXt"

function ConvNeXt:init(given)
  local o = takes(given)
  self.stages = List {}
  local c_in = 3
  for i, stride in ipairs(o.strides) do
    local c_out = i == #o.strides and o.out or o.width
    self.stages:append(Stage(c_in, c_out, { stride = stride, blocks = o.blocks, first = i == 1 }))
    c_in = c_out
  end
end

function ConvNeXt:forward(image)
  local x = image
  for _, stage in ipairs(self.stages) do x = stage(x) end
  return x
end

return { ConvNeXt = ConvNeXt, Block = Block }
