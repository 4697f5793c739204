-- hinerv.lua: HiNeRV (Kwan et al., arXiv 2306.09818). Maps are enlarged by interpolation, not by
-- PixelShuffle. A small grid per stage encodes a pixel's position within its cell, and ConvNeXt
-- blocks do the rest. Any window of a frame can be computed alone, so training uses patches.
local lv <const> = require "lunerv"
local Grids <const> = require "grids"
local nn <const> = lv.nn

-- ConvNeXt's block, without its scale: depthwise, normalised, wider in the middle.
local Block = nn.class "Block"

function Block:init(c, o)
  self.look = nn.Conv2d(c, c, o.kernel, { padding = o.kernel // 2, groups = c })
  self.norm = nn.LayerNorm(c)
  self.widen = nn.Conv2d(c, o.wider * c, 1)
  self.narrow = nn.Conv2d(o.wider * c, c, 1)
  self.act = nn.activation(o.act)
end

function Block:forward(x)
  return x + self.narrow(self.act(self.widen(self.norm(self.look(x)))))
end

-- Regions { top, bottom, left, right } of a map, from 1, inclusive.
local function grown(region, margin, size)
  return { math.max(region[1] - margin, 1), math.min(region[2] + margin, size[1]),
    math.max(region[3] - margin, 1), math.min(region[4] + margin, size[2]) }
end

-- The cells of a map that are enlarged to `region` of one `up` times as large.
local function cells(region, up)
  return { (region[1] - 1) // up + 1, (region[2] - 1) // up + 1,
    (region[3] - 1) // up + 1, (region[4] - 1) // up + 1 }
end

-- Crops `region` from a map that begins at `top` and `left`.
local function cut(x, top, left, region)
  return x:slice(3, region[1] - top + 1, region[2] - top + 1)
    :slice(4, region[3] - left + 1, region[4] - left + 1)
end

-- A stage: a map `up` times as large, an encoding of the positions within cells, and blocks.
local Stage = nn.class "Stage"

function Stage:init(c_in, c_out, up, frames, o)
  self.up, self.margin, self.act = up, o.blocks * (o.kernel // 2), nn.activation(o.act)
  -- A 1×1 convolution and interpolation commute: this order is cheaper.
  self.reduce = nn.Conv2d(c_in, c_out, 1)
  self.places = Grids({ o.places }, frames, up, up)
  self.place = nn.Conv2d(o.places[2], c_out, 1, { bias = false })
  self.blocks = nn.List {}
  for _ = 1, o.blocks do self.blocks:append(Block(c_out, o)) end
end

-- The region of the previous map that `region` depends on; `size` is that of the previous map.
function Stage:needs(region, size)
  local up = self.up
  local seen = grown(region, self.margin, { size[1] * up, size[2] * up })
  return grown(cells(seen, up), 1, size), seen
end

-- `x` is the region `given` of the previous map.
function Stage:forward(x, time, given, region, size)
  local up = self.up
  local _, seen = self:needs(region, size)
  x = self.reduce(self.act(x))
  local rows, columns = x:size(3), x:size(4)
  local tile = self.place(self.places(time)):pixel_unshuffle(up)
  x = x:interpolate { scale = up, mode = "bilinear" }
    + tile:expand(1, tile:size(2), rows, columns):pixel_shuffle(up)
  x = cut(x, (given[1] - 1) * up + 1, (given[3] - 1) * up + 1, seen)
  for _, block in ipairs(self.blocks) do x = block(x) end
  return cut(x, seen[1], seen[3], region)
end

-- HiNeRV(height, width, frames): a time from 1/frames to 1 → the image, (1, 3, height, width).
local HiNeRV = nn.class "HiNeRV"

HiNeRV.grids, HiNeRV.takes_batches, HiNeRV.options = "entries$", false, { lr = 0.024 }

function HiNeRV:init(height, width, frames, options)
  local o = lv.options(options, { width = 80, grids = { { 6, 8 }, { 2, 3 } }, strides = { 5, 2 },
    head = 2, blocks = 1, kernel = 3, wider = 4, reduce = 2.6, least = 16, places = { 4, 4 },
    act = "gelu" })
  self.height, self.width, self.frames = height, width, frames
  local unit = o.head
  for _, up in ipairs(o.strides) do unit = unit * up end
  self.size = { (height + unit - 1) // unit, (width + unit - 1) // unit }
  self.base = Grids(o.grids, frames, self.size[1], self.size[2])
  self.stem = nn.Conv2d(self.base.channels, o.width, 3, { padding = 1 })
  self.stages = nn.List {}
  local c, c_out = o.width, o.width
  for _, up in ipairs(o.strides) do
    self.stages:append(Stage(c, c_out, up, frames, o))
    c, c_out = c_out, math.max(c_out / o.reduce // 1 | 0, o.least)
  end
  self.head, self.up = nn.Conv2d(c, 3 * o.head ^ 2 // 1 | 0, 3, { padding = 1 }), o.head
end

-- The part { y, x, height, width } of the frame at `t`. From the last stage to the first, regions
-- grow by the reach of convolutions and interpolation; maps are cropped to them on the way back.
function HiNeRV:part(t, window)
  local time = math.max(t * self.frames - 1, 0) / math.max(self.frames - 1, 1)
  local sizes, regions, n = { self.size }, {}, #self.stages
  for i, stage in ipairs(self.stages) do
    sizes[i + 1] = { sizes[i][1] * stage.up, sizes[i][2] * stage.up }
  end
  local asked = { window[1], window[1] + window[3] - 1, window[2], window[2] + window[4] - 1 }
  local last = cells(asked, self.up)
  regions[n + 1] = grown(last, 1, sizes[n + 1])
  for i = n, 1, -1 do regions[i] = self.stages[i]:needs(regions[i + 1], sizes[i]) end
  local seen = grown(regions[1], 1, self.size)
  local x = cut(self.stem(cut(self.base(time), 1, 1, seen)), seen[1], seen[3], regions[1])
  for i, stage in ipairs(self.stages) do
    x = stage(x, time, regions[i], regions[i + 1], sizes[i])
  end
  x = cut(self.head(x), regions[n + 1][1], regions[n + 1][3], last):pixel_shuffle(self.up)
  return nn.out_image(cut(x, (last[1] - 1) * self.up + 1, (last[3] - 1) * self.up + 1, asked))
end

function HiNeRV:forward(t) return self:part(t, { 1, 1, self.height, self.width }) end

-- Called by lv.train: with `patch`, only the frame's window.
function HiNeRV:reconstruct(frame)
  return self:part(frame.t, frame.window or { 1, 1, self.height, self.width })
end

return HiNeRV
