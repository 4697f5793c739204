-- Where the frames of a training come from, pass after pass: a clip, or a dataset (dataset.lua).
--
--   source:upcoming(n)  the frames of the next step, at most n: a pass ends with its last
--   source:take(n, first, last)  n frames; of a clip, those outside first … last are { } only
--   source:is_over()    whether that was the pass's last frame
--   source:state()      epoch, position and order, plain data, which source:load(…) takes
local errors <const> = require "lunerv.errors"
local video <const> = require "lunerv.video"

-- Clips -------------------------------------------------------------------------------------

local OfClip <const> = {}
OfClip.__index = OfClip

function OfClip:upcoming(most)
  local left = #self.sequence.order - self.sequence.position
  return math.min(most, left > 0 and left or #self.clip)
end

function OfClip:take(count, first, last)
  local clip, sequence, frames = self.clip, self.sequence, {}
  for i = 1, count do
    local index, following = sequence:advance()
    local is_wanted = i >= first and i <= last
    frames[i] = is_wanted and clip:sample(index) or {}
    if following and is_wanted and (i < last or last == count) then clip:prefetch(following) end
  end
  return frames
end

function OfClip:is_over() return self.sequence.position == #self.sequence.order end

function OfClip:position() return self.sequence.position end

function OfClip:epoch() return self.sequence.epoch end

function OfClip:state()
  local sequence = self.sequence
  return sequence.epoch, sequence.position, sequence.order
end

function OfClip:load(epoch, position, order)
  local sequence = self.sequence
  for i, index in ipairs(order) do sequence.order[i] = math.tointeger(index) end
  sequence.epoch, sequence.position = epoch, position
end

-- Datasets ----------------------------------------------------------------------------------

local OfDataset <const> = {}
OfDataset.__index = OfDataset

-- Begins pass `epoch` and skips its first `position` frames. One frame is always read ahead: the
-- lack of one ends the pass.
local function begin(self, epoch, position)
  local next_frame = self.clip(epoch)
  for i = 1, position do
    if next_frame() == nil then
      errors.data("train: clip: pass %d ended after %d frames, expected %d at least: it differs "
        .. "from that of the resumed run", epoch, i - 1, position)
    end
  end
  self.next_frame, self.ahead = next_frame, next_frame()
  self.passed, self.at = epoch, position
end

-- Their number is known only once they are made.
function OfDataset:upcoming(most)
  if not self.next_frame and self.passed > 0 then begin(self, self.passed, self.at) end
  if not self.ahead then
    begin(self, self.passed + 1, 0)
    if not self.ahead then
      errors.data("train: clip: expected frames, got none in pass %d", self.passed)
    end
  end
  local frames = {}
  repeat
    frames[#frames + 1] = self.ahead
    self.ahead = self.next_frame()
  until #frames == most or not self.ahead
  self.made = frames
  return #frames
end

function OfDataset:take()
  local frames = self.made
  self.made, self.at = nil, self.at + #frames
  return frames
end

function OfDataset:is_over() return not self.ahead end

function OfDataset:position() return self.at end

function OfDataset:epoch() return self.passed end

function OfDataset:state() return self.passed, self.at, {} end

function OfDataset:load(epoch, position) self.passed, self.at = epoch, position end

local source <const> = {}

-- The frames for the options of a training.
function source.of(o)
  if o.clip.is_dataset then
    o.clip.seed = o.seed
    return setmetatable({ clip = o.clip, passed = 0, at = 0 }, OfDataset)
  end
  return setmetatable({ clip = o.clip, sequence = video.sequence(#o.clip, o.order) }, OfClip)
end

return source
