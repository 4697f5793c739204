-- The latest rounded codes of every frame's embedding, for coding the difference between frames. It
-- is a module, so that checkpoints store them.
local class <const> = require "lunerv.nn.class"
local native <const> = require "lunerv.native"

local LastCodes <const> = class "LastCodes"

-- Frames per tensor: writing one frame's codes rewrites the whole tensor.
local group <const> = 32
-- The value for unseen codes; no real code is as large.
local unseen <const> = 2 ^ 100

-- The field that holds frame `index`.
local function name_of(index) return "group_" .. (index - 1) // group + 1 end

-- For `frames` frames, whose codes have the shape { 1, channels, height, width }.
function LastCodes:init(frames, shape)
  self.frames = frames
  for first = 1, frames, group do
    local count = math.min(group, frames - first + 1)
    self[name_of(first)] = native.full(unseen, count, shape[2], shape[3], shape[4])
  end
end

-- Frame `index`'s codes; nil if there is no such frame, or if it has not been seen.
function LastCodes:at(index)
  if index < 1 or index > self.frames then return nil end
  local k = (index - 1) % group + 1
  local codes = self[name_of(index)]:slice(1, k, k)
  if codes:view(-1):select(1, 1):item() >= unseen then return nil end
  return codes
end

function LastCodes:put(index, codes)
  native.no_grad(function()
    local all = self[name_of(index)]
    local numbers = native.arange(1, all:size(1)):view(-1, 1, 1, 1)
    local place = numbers:eq((index - 1) % group + 1):expand(table.unpack(all.shape))
    all:copy_(native.where(place, codes:round():expand(table.unpack(all.shape)), all):evaluate())
  end)
end

return LastCodes
