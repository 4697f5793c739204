-- ffnerv.lua: FFNeRV (Lee et al., arXiv 2212.12294). A network of time makes an independent frame
-- and the flow from its neighbours. Their independent frames, warped and weighted, are blended with
-- its own.
local lv <const> = require "lunerv"
local Grids <const> = require "grids"
local nn <const> = lv.nn

-- The compact block: a depthwise convolution gathers the surroundings of a cell, and a 1×1
-- convolution mixes the channels, which PixelShuffle turns into pixels.
local CompactBlock = nn.class "CompactBlock"

function CompactBlock:init(c_in, c_out, up, act)
  self.up = up
  self.look = nn.Conv2d(c_in, c_in, 3, { padding = 1, groups = c_in })
  self.mix = nn.Conv2d(c_in, c_out * up ^ 2 // 1 | 0, 1)
  self.act = nn.activation(act)
end

function CompactBlock:forward(x)
  return self.act(self.mix(x + self.look(x)):pixel_shuffle(self.up))
end

-- The network: a time from 0 to 1 → its image, and the motion towards `neighbours` other frames on
-- the map of the first block: two numbers of flow and a weight for each, and one for how far they
-- are to be trusted.
local Network = nn.class "Network"

function Network:init(frames, rows, columns, neighbours, o)
  self.act = nn.activation(o.act)
  self.grids = Grids(o.grids, frames, rows, columns)
  self.stem = nn.Conv2d(self.grids.channels, o.width, 3, { padding = 1 })
  self.blocks, self.refinements = nn.List {}, nn.List {}
  local c, last = o.width, o.strides[#o.strides]
  for i = 1, #o.strides - 1 do
    local c_out = math.max(c / o.reduce // 1 | 0, o.least)
    self.blocks:append(i == 1 and CompactBlock(c, c_out, o.strides[i], o.act)
      or nn.NeRVBlock(c, c_out, { scale = o.strides[i], act = o.act }))
    self.refinements:append(nn.Conv2d(c_out, c_out, 3, { padding = 1 }))
    c = c_out
    if i == 1 then self.motion = nn.Conv2d(c, 3 * neighbours + 1, 3, { padding = 1 }) end
  end
  self.head = nn.Conv2d(c, 3 * last ^ 2 // 1 | 0, 3, { padding = 1 })
  self.last = last
end

function Network:forward(time)
  local x, motion = self.act(self.stem(self.grids(time))), nil
  for i, block in ipairs(self.blocks) do
    x = block(x)
    x = x + self.act(self.refinements[i](x))
    motion = motion or self.motion(x)
  end
  return nn.out_image(self.head(x):pixel_shuffle(self.last)), motion
end

-- FFNeRV(height, width, frames): a time from 1/frames to 1 → the image, (1, 3, height, width).
local FFNeRV = nn.class "FFNeRV"

FFNeRV.grids, FFNeRV.takes_batches, FFNeRV.bits = "entries$", false, 4.5

function FFNeRV:init(height, width, frames, options)
  local o = lv.options(options, { width = 64, reduce = 1.6, least = 16, act = "sin",
    grids = { { 6, 8 }, { 2, 3 } }, strides = { 5, 2, 2 },
    neighbours = { -2, -1, 1, 2 } })
  self.height, self.width, self.frames, self.neighbours = height, width, frames, o.neighbours
  local unit = 1
  for _, up in ipairs(o.strides) do unit = unit * up end
  self.network = Network(frames, math.ceil(height / unit), math.ceil(width / unit), #o.neighbours,
    o)
  -- The positions of pixels, in the coordinates of grid_sample, and the size of a cell of the
  -- motion map.
  local y, x = lv.meshgrid { (lv.arange(1, height) * 2 - 1) / height - 1,
    (lv.arange(1, width) * 2 - 1) / width - 1 }
  self.places = lv.stack({ x, y }, -1):unsqueeze(1)
  self.finer = unit // o.strides[1]
  self.cell = lv.tensor { 2 * self.finer / width, 2 * self.finer / height }
  self.seen, self.made = {}, {}
end

local function crop(x, height, width)
  if x:size(3) > height then x = x:slice(3, 1, height) end
  if x:size(4) > width then x = x:slice(4, 1, width) end
  return x
end

-- The network's output for frame `index` alone: { image, motion }. If parameters are fixed, as in a
-- decoder, the last ones are cached: a frame then takes one pass, since its neighbours are done.
function FFNeRV:alone(index)
  local weight, made = self.network.head.weight, self.made
  local is_fixed = not weight.requires_grad
  if not is_fixed then
    self.made = {}
  elseif made.of ~= weight then
    made = { of = weight, frames = {}, order = {}, turn = 0 }
    self.made = made
  elseif made.frames[index] then
    return made.frames[index]
  end
  local image, motion = self.network((index - 1) / math.max(self.frames - 1, 1))
  local frame = { image = crop(image, self.height, self.width), motion = motion }
  if not is_fixed then return frame end
  frame.image:evaluate()
  frame.motion:evaluate()
  made.turn = made.turn % (2 * #self.neighbours) + 1
  local oldest = made.order[made.turn]
  if oldest then made.frames[oldest] = nil end
  made.frames[index], made.order[made.turn] = frame, index
  return frame
end

-- The independent frames of the neighbours of frame `index`, (neighbours, 3, height, width). In
-- training they are the latest ones computed, and get no gradient, so that a step also takes one
-- pass.
function FFNeRV:around(index, own)
  local is_learning, images = own.image.requires_grad, {}
  if is_learning then self.seen[index] = own.image:detach():evaluate() end
  for i, distance in ipairs(self.neighbours) do
    local k = math.min(math.max(index + distance, 1), self.frames)
    images[i] = is_learning and (self.seen[k] or self.seen[index]) or self:alone(k).image
  end
  return lv.cat(images, 1)
end

-- The motion map, enlarged to the size of the frame.
function FFNeRV:enlarged(x)
  x = x:interpolate { scale = self.finer, mode = "bilinear" }
  return crop(x, self.height, self.width)
end

function FFNeRV:forward(t)
  local index = math.floor(t * self.frames + 0.5)
  local own, n = self:alone(index), #self.neighbours
  local motion = own.motion
  local flow = motion:slice(2, 1, 2 * n):view(n, 2, motion:size(3), motion:size(4))
  local votes = motion:slice(2, 2 * n + 1, 3 * n):softmax(2)
    * motion:slice(2, 3 * n + 1, 3 * n + 1):sigmoid()
  local grid = self:enlarged(flow):permute(1, 3, 4, 2) * self.cell + self.places
  local warped = self:around(index, own):grid_sample(grid, { padding = "border" })
  votes = self:enlarged(votes):view(n, 1, self.height, self.width)
  return own.image + ((warped - own.image) * votes):sum(1, true)
end

return FFNeRV
