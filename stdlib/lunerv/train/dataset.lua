-- Frames from a function, which begins a pass and returns an iterator:
--
--   function(pass)
--     return coroutine.wrap(function() … coroutine.yield { image = …, t = …, index = … } … end)
--   end
--
-- A callable table may also have `height`, `width` and a length.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local datasets <const> = {}

local Dataset <const> = {}
Dataset.__index = Dataset
Dataset.__name = "dataset"

-- 0 if unknown.
function Dataset:__len() return self.count end

-- Checks a frame of the iterator, in the form for training.
local function checked(self, frame, number)
  if type(frame) ~= "table" or not native.is_tensor(frame.image) then
    errors.raise("train: clip: expected frames { image, t, index } from the iterator, got %s",
      type(frame) == "table" and "a table without an image" or type(frame))
  end
  local shape = frame.image.shape
  if #shape ~= 4 or shape[1] ~= 1 then
    errors.raise("train: clip: expected images (1, channels, height, width), got (%s)",
      table.concat(shape, ", "))
  end
  if frame.index ~= nil and frame.t ~= nil then return frame end
  frame = options.copy(frame)
  frame.index = frame.index or number
  if self.count > 0 then frame.t = frame.t or number / self.count end
  return frame
end

-- A pass draws the same random numbers whenever it is repeated, and none of the training's: so a
-- resumed run finds the frame at which it stopped.
local function own_numbers(seed, pass)
  local state = { seed = (seed * 0x9E3779B97F4A7C15 + pass) & math.maxinteger, counter = 0 }
  return function(f)
    local outer <const> = native.rng_state()
    local _ <close> = setmetatable({}, { __close = function()
      state = native.rng_state()
      native.set_rng_state(outer)
    end })
    native.set_rng_state(state)
    return f()
  end
end

-- An iterator over the frames of pass `pass`, 0 for an evaluation.
function Dataset:__call(pass)
  pass = pass or 0
  local drawing <const> = own_numbers(self.seed, pass)
  local next_frame = drawing(function() return self.begin(pass) end)
  if type(next_frame) ~= "function" then
    errors.raise("train: clip: expected a function that returns an iterator, got one that returns "
      .. "%s", type(next_frame))
  end
  local number = 0
  return function()
    local frame = drawing(next_frame)
    if frame == nil then return nil end
    number = number + 1
    return checked(self, frame, number)
  end
end

-- `clip` itself or, for a function or a callable table, a dataset with the training's `seed`.
function datasets.of(clip)
  local meta = type(clip) == "table" and getmetatable(clip)
  local is_called = type(clip) == "function"
    or type(meta) == "table" and meta.__call and not clip.sample
  if not is_called then return clip end
  local count, fields = 0, {}
  if type(clip) == "table" then
    fields = { height = clip.height, width = clip.width, source = clip.source, fps = clip.fps }
    count = meta.__len and #clip or 0
  end
  fields.begin, fields.count, fields.seed, fields.is_dataset = clip, count, 0, true
  return setmetatable(fields, Dataset)
end

return datasets
