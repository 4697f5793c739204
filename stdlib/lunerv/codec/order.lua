-- The order in which a custom decoder makes the frames of a segment. The decoder may have
--
--   decoder.group            how many frames belong together (all): frames 1 to `group`, and so on
--   decoder:restart()        begins a group: drops state of other frames. From here on, the frames
--                            of the group are requested in order
--   decoder:references(i)    the frames of the same group that frame i depends on, a list of
--                            numbers; with `restart`, earlier frames only
--
-- With either method, the decoder is called as `decoder(t, i, images)`, or as
-- `decoder:decode(embedding, t, i, images)`, where `images` are the frames that it named. Any frame
-- can be requested at any time: the frames it needs are made first, at most from the start of its
-- group.
local errors <const> = require "lunerv.errors"
local layout <const> = require "lunerv.codec.layout"
local native <const> = require "lunerv.native"

local order <const> = {}

local function has(model, name) return type(model[name]) == "function" end

-- The frames per group of `model`, which is for `frames` frames; nil if its frames are independent.
function order.group_of(model, frames)
  if not has(model, "restart") and not has(model, "references") then return nil end
  local group = model.group
  if group == nil then return frames end
  if math.type(group) ~= "integer" or group < 1 then
    errors.raise("codec: %s.group: expected an integer of at least 1, got %s", model.class_name,
      errors.show(group))
  end
  return math.min(group, frames)
end

local Order <const> = {}
Order.__index = Order

-- The frames of `model` in groups of `group`, of `frames` in all. `make(i, images)` computes one.
function order.of(model, group, frames, make)
  return setmetatable({
    model = model, group = group, frames = frames, make = make,
    in_turn = has(model, "restart"), has_references = has(model, "references"),
  }, Order)
end

local function is_reference(self, i, reference)
  return math.type(reference) == "integer" and reference ~= i and reference >= self.first
    and reference <= (self.in_turn and i - 1 or self.last)
end

local function wrong(i, message, ...)
  layout.damaged("decoder program", "references of frame %d: " .. message, i, ...)
end

-- The references of frame `i`, from the decoder.
local function references_of(self, i)
  if not self.has_references then return {} end
  local list = self.model:references(i)
  if type(list) ~= "table" then wrong(i, "expected a list of numbers, got %s", type(list)) end
  local copy = {}
  for k = 1, rawlen(list) do
    copy[k] = rawget(list, k)
    if not is_reference(self, i, copy[k]) then
      wrong(i, "expected %s of its group, %d to %d, got %s",
        self.in_turn and "earlier frames" or "other frames", self.first, self.last,
        errors.show(copy[k]))
    end
  end
  return copy
end

local function decode(self, i)
  if self.pending[i] then wrong(i, "it depends on itself through other frames") end
  self.pending[i] = true
  local images = {}
  for k, reference in ipairs(references_of(self, i)) do
    images[k] = (self.images[reference] or decode(self, reference)):detach()
  end
  local image = self.make(i, images)
  self.pending[i] = nil
  if self.has_references then self.images[i] = image end
  return image
end

-- Begins the group of frame `i`.
local function begin(self, i)
  self.is_sound = false
  self.first = i - (i - 1) % self.group
  self.last = math.min(self.first + self.group - 1, self.frames)
  self.images, self.pending, self.at, self.latest = {}, {}, self.first - 1, nil
  if self.in_turn then self.model:restart() end
  self.is_sound = true
end

-- Frame `i` of the segment.
function Order:frame(i)
  local is_here = self.is_sound and self.first == i - (i - 1) % self.group
  if not is_here or self.in_turn and i < self.at and not self.images[i] then begin(self, i) end
  local image = self.images[i] or i == self.at and self.latest
  if not image then
    self.is_sound = false -- after an error, the group must restart
    for k = self.in_turn and self.at + 1 or i, i do
      image = decode(self, k)
      self.at, self.latest = k, image
      native.step_boundary()
    end
    self.is_sound = true
  end
  return image:detach()
end

return order
