-- motion.lua: a decoder with motion compensation, as in hybrid codecs. A network of time makes an
-- image, a flow and a mask. The previous frame, warped by the flow, is blended in through the mask.
-- The first frame of a group needs no other.
local lv <const> = require "lunerv"
local Grids <const> = require "grids"
local nn <const> = lv.nn

local Motion <const> = nn.class "Motion"

-- Parameters that few frames use; frames are processed one by one.
Motion.grids, Motion.takes_batches = "entries$", false

function Motion:init(height, width, frames, options)
  local o = lv.options(options, { width = 64, reduce = 1.6, least = 16, act = "sin", group = 33,
    grids = { { 6, 6 }, { 3, 3 }, { 1, 1 } }, strides = { 5, 2, 2 } })
  self.height, self.width, self.frames, self.group = height, width, frames, o.group
  local unit = 1
  for _, up in ipairs(o.strides) do unit = unit * up end
  self.grid = Grids(o.grids, frames, math.ceil(height / unit), math.ceil(width / unit))
  self.act = nn.activation(o.act)
  self.stem = nn.Conv2d(self.grid.channels, o.width, 3, { padding = 1 })
  self.blocks, self.refinements = nn.List {}, nn.List {}
  local c, last = o.width, o.strides[#o.strides]
  for i = 1, #o.strides - 1 do
    local c_out = math.max(c / o.reduce // 1 | 0, o.least)
    self.blocks:append(nn.NeRVBlock(c, c_out, { scale = o.strides[i], act = o.act }))
    self.refinements:append(nn.Conv2d(c_out, c_out, 3, { padding = 1 }))
    c = c_out
  end
  self.image = nn.Conv2d(c, 3 * last ^ 2 // 1 | 0, 3, { padding = 1 })
  self.motion = nn.Conv2d(c, 3, 3, { padding = 1 })
  self.last = last
  -- The positions of pixels, in the coordinates of grid_sample.
  local y, x = lv.meshgrid { (lv.arange(1, height) * 2 - 1) / height - 1,
    (lv.arange(1, width) * 2 - 1) / width - 1 }
  self.places = lv.stack({ x, y }, -1):unsqueeze(1)
  self.seen = {}
end

-- The frames that frame i is predicted from: lunerv decodes them first, and passes them to
-- `forward`.
function Motion:references(i)
  if (i - 1) % self.group == 0 then return {} end
  return { i - 1 }
end

function Motion:forward(t, _, images)
  local x = self.act(self.stem(self.grid((t * self.frames - 1) / math.max(self.frames - 1, 1))))
  for i, block in ipairs(self.blocks) do
    x = block(x)
    x = x + self.act(self.refinements[i](x))
  end
  local function whole(map) return map:slice(3, 1, self.height):slice(4, 1, self.width) end
  local image = whole(nn.out_image(self.image(x):pixel_shuffle(self.last)))
  local before = images and images[1]
  if not before then return image end
  -- The flow is at most an eighth of the frame.
  local motion = whole(self.motion(x):interpolate { scale = self.last, mode = "bilinear" })
  local flow = motion:slice(2, 1, 2):tanh() * 0.25
  local warped = before:grid_sample(flow:permute(1, 3, 4, 2) + self.places, { padding = "border" })
  return image + (warped - image) * (motion:slice(2, 3, 3) + 1):sigmoid()
end

-- In training, the previous frame is its last reconstruction, stored as bytes.
function Motion:reconstruct(frame)
  local before = self:references(frame.index)[1]
  local known = before and self.seen[before]
  local image = self(frame.t, frame.index, { known and known:to "f32" / 255 })
  self.seen[frame.index] = (image:detach() * 255):round():clamp(0, 255):to "u8"
  return image
end

return Motion
