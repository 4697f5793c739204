-- coolchic.lua: Cool-chic (arXiv 2212.05458, 2307.12706) and C3 (2312.02753) for a clip. Each frame
-- has latents on six grids. An autoregressive network predicts their distribution
-- (coolchic_model.lua), and a small network synthesises the frame.
local lv <const> = require "lunerv"
local context <const> = require "coolchic_context"
local nn <const> = lv.nn

-- The weights of the network that codes latents; the decoder itself does not use them.
local Context <const> = nn.class "Context"
function Context:init()
  local inputs, hidden = context.inputs, context.hidden
  self.hidden = nn.parameter(lv.randn(hidden, inputs) * 0.1)
  self.hidden_bias = nn.parameter(lv.full(0.5, hidden, 1))
  self.out = nn.parameter(lv.zeros(2, hidden))
  self.skip = nn.parameter(lv.zeros(2, inputs))
  self.out_bias = nn.parameter(lv.zeros(2, 1))
end

local CoolChic <const> = nn.class "CoolChic"

-- Frames per group; the first frame of a group is coded without the previous frame.
function CoolChic:init(height, width, frames, given)
  local o = lv.options(given, { channels = 16, length = 33 })
  self.height, self.width, self.frames = height, width, frames
  self.length = math.min(o.length, frames)
  local groups = (frames + self.length - 1) // self.length
  self.context = Context()
  self.spread = nn.Conv2d(#context.grids, o.channels, 3, { padding = 1 })
  self.mix = nn.Conv2d(o.channels, o.channels, 1)
  self.head = nn.Conv2d(o.channels, 12, 3, { padding = 1 })
  -- A grid's context comes before it in the file.
  for _, index in ipairs { 4, 3, 2, 1, 5, 6 } do
    local grid = context.grids[index]
    self[grid.name] = nn.parameter(lv.zeros(self.length, (height + grid.cell - 1) // grid.cell,
      groups, (width + grid.cell - 1) // grid.cell))
  end
end

-- The frame of given latents: one map (h, w) for each grid.
function CoolChic:synthesise(latents)
  local h, w = latents[1]:size(1), latents[1]:size(2)
  local maps = {}
  for k, map in ipairs(latents) do
    map = map:view(1, 1, map:size(1), map:size(2))
    maps[k] = k == 1 and map or map:interpolate { size = { h, w }, mode = "bilinear" }
  end
  local x = self.spread(lv.cat(maps, 2)):gelu()
  x = (x + self.mix(x)):gelu()
  x = self.head(x):pixel_shuffle(2) + 0.5
  return x:slice(3, 1, self.height):slice(4, 1, self.width)
end

-- The latents of frame i, maps (h, w).
function CoolChic:latents(i)
  local list = {}
  for k, grid in ipairs(context.grids) do
    list[k] = self[grid.name]:select(1, (i - 1) % self.length + 1)
      :select(2, (i - 1) // self.length + 1)
  end
  return list
end

function CoolChic:forward(t)
  return self:synthesise(self:latents((t * self.frames + 0.5) // 1 | 0))
end

return CoolChic
