-- ffnerv.lua: FFNeRV (Lee et al., arXiv 2212.12294). A network of time makes an independent frame,
-- and how its neighbours flow into it: their independent frames, warped and weighted, and its own
-- are the picture.
local lv <const> = require "lunerv"
local nn <const> = lv.nn

-- Grids of several temporal resolutions (section 3.3), { { entries, channels }, … }: a moment lies
-- between two entries of each, and the channels of all stand side by side.
local TemporalGrids = nn.class "TemporalGrids"

function TemporalGrids:init(levels, rows, columns)
  self.levels = nn.List {}
  for _, level in ipairs(levels) do
    local grid = nn.class "TemporalGrid" ()
    grid.entries = nn.parameter(lv.randn(level[1], level[2], rows, columns) * 0.1)
    self.levels:append(grid)
  end
end

-- `moment` from 0 to 1.
function TemporalGrids:forward(moment)
  local maps = {}
  for i, grid in ipairs(self.levels) do
    local entries = grid.entries
    local last = entries:size(1) - 1
    local place = moment * last
    local before = math.min(math.floor(place), math.max(last - 1, 0))
    local share = place - before
    local map = entries:slice(1, before + 1, before + 1) * (1 - share)
    if last > 0 then map = map + entries:slice(1, before + 2, before + 2) * share end
    maps[i] = map
  end
  return lv.cat(maps, 2)
end

-- The compact block (section 3.4): a convolution in groups sees the neighbourhood, one of 1×1 mixes
-- the channels, which PixelShuffle makes pixels of.
local CompactBlock = nn.class "CompactBlock"

function CompactBlock:init(c_in, c_out, up, act)
  self.up = up
  self.look = nn.Conv2d(c_in, c_in, 3, { padding = 1, groups = c_in })
  self.mix = nn.Conv2d(c_in, c_out * up ^ 2 // 1 | 0, 1)
  self.act = nn.activation(act)
end

function CompactBlock:forward(x) return self.act(self.mix(self.look(x)):pixel_shuffle(self.up)) end

-- FFNeRV(height, width, frames): a moment from 1/frames to 1 → the image, (1, 3, height, width).
local FFNeRV = nn.class "FFNeRV"

FFNeRV.grids, FFNeRV.takes_batches = "grids%.", false

function FFNeRV:init(height, width, frames, options)
  local o = lv.options(options, { width = 56, grids = { { 24, 6 }, { 48, 3 }, { 96, 1 } },
    strides = { 5, 2, 2 }, neighbours = { -2, -1, 1, 2 }, act = "sin" })
  self.height, self.width, self.frames, self.neighbours = height, width, frames, o.neighbours
  local unit, channels = 1, 0
  for _, up in ipairs(o.strides) do unit = unit * up end
  for _, level in ipairs(o.grids) do channels = channels + level[2] end
  local rows, columns = (height + unit - 1) // unit, (width + unit - 1) // unit
  self.unit = unit
  self.grids = TemporalGrids(o.grids, rows, columns)
  local c = o.width
  self.act = nn.activation(o.act)
  self.stem = nn.Conv2d(channels, c, 3, { padding = 1 })
  self.blocks = nn.List {}
  for i = 1, #o.strides - 1 do
    local c_out = math.max(12, c * 5 // 8)
    self.blocks:append(i == 1 and CompactBlock(c, c_out, o.strides[i], o.act)
      or nn.NeRVBlock(c, c_out, { scale = o.strides[i], act = o.act }))
    c = c_out
    if i == 1 then
      -- Two numbers of flow and a weight for each neighbour, and how far they are to be trusted.
      self.motion = nn.Conv2d(c, 3 * #o.neighbours + 1, 3, { padding = 1 })
    end
  end
  self.refine = nn.Conv2d(c, c, 3, { padding = 1 })
  self.head = nn.Conv2d(c, 3 * o.strides[#o.strides] ^ 2 // 1 | 0, 3, { padding = 1 })
  self.last = o.strides[#o.strides]
  -- Where each pixel lies, in the coordinates of grid_sample.
  local y, x = lv.meshgrid { (lv.arange(1, height) * 2 - 1) / height - 1,
    (lv.arange(1, width) * 2 - 1) / width - 1 }
  self.places = lv.stack({ x, y }, -1):unsqueeze(1)
  self.finer = unit // o.strides[1]
  self.cell = lv.tensor { 2 * self.finer / width, 2 * self.finer / height }
  self.reach = 0
  for _, distance in ipairs(o.neighbours) do
    self.reach = math.max(self.reach, math.abs(distance))
  end
  self.seen, self.made = {}, {}
end

local function crop(x, height, width) return x:slice(3, 1, height):slice(4, 1, width) end

-- What the network makes of frame `index` alone: its image, and the motion towards neighbours.
function FFNeRV:independent(index)
  local x = self.act(self.stem(self.grids((index - 1) / math.max(self.frames - 1, 1))))
  local motion
  for i, block in ipairs(self.blocks) do
    x = block(x)
    if i == 1 then motion = self.motion(x) end
  end
  x = x + self.act(self.refine(x))
  local image = nn.out_image(crop(self.head(x):pixel_shuffle(self.last), self.height, self.width))
  return { image = image, motion = motion }
end

-- The same, kept where parameters are fixed, as a decoder's are: there a frame takes one pass of the
-- network, as its neighbours have been made already, or are made for those that follow.
function FFNeRV:alone(index)
  local weight, made = self.head.weight, self.made
  if weight.requires_grad then return self:independent(index) end
  if made.of ~= weight then made = { of = weight, frames = {} } end
  self.made = made
  local frame = made.frames[index]
  if frame then return frame end
  frame = self:independent(index)
  frame.image:evaluate()
  frame.motion:evaluate()
  for other in pairs(made.frames) do
    if math.abs(other - index) > 2 * self.reach then made.frames[other] = nil end
  end
  made.frames[index] = frame
  return frame
end

-- The independent frames of the neighbours of frame `index`, (neighbours, 3, height, width). While
-- learning they are as they were when last seen, and have no gradient: a step takes one pass too.
function FFNeRV:around(index, own)
  local is_learning, images = own.image.requires_grad, {}
  if is_learning then self.seen[index] = own.image:detach():evaluate() end
  for i, distance in ipairs(self.neighbours) do
    local k = math.min(math.max(index + distance, 1), self.frames)
    images[i] = is_learning and (self.seen[k] or self.seen[index]) or self:alone(k).image
  end
  return lv.cat(images, 1)
end

function FFNeRV:forward(t)
  local index = math.floor(t * self.frames + 0.5)
  local own, n = self:alone(index), #self.neighbours
  local motion = crop(own.motion:interpolate { scale = self.finer, mode = "bilinear" },
    self.height, self.width)
  local flow = motion:slice(2, 1, 2 * n):view(n, 2, self.height, self.width):permute(1, 3, 4, 2)
  local votes = motion:slice(2, 2 * n + 1, 3 * n):softmax(2):view(n, 1, self.height, self.width)
  local trust = motion:slice(2, 3 * n + 1, 3 * n + 1):sigmoid()
  -- Flow is counted in cells of the map that it was made on.
  local warped = self:around(index, own):grid_sample(flow * self.cell + self.places,
    { padding = "border" })
  return own.image * (1 - trust) + (warped * votes):sum(1, true) * trust
end

return FFNeRV
