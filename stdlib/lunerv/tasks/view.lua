-- A view of a clip: some of its frames, each transformed by a function. It has the clip's methods
-- that training and evaluation use.
local options <const> = require "lunerv.options"

local View <const> = {}
View.__index = View

local takes <const> = options.takes("tasks.view", {
  { "indices", nil, "indices of the clip's frames, in order (all)", type = "list" },
  { "frames", nil, "the number of frames that times refer to (all of the clip)",
    type = "integer" },
  { "sample", nil, "called with each frame { image, t, index }, which it may change",
    type = "function" },
})

--- A view of a clip: some of its frames, each transformed by a function.
--- Frame i is frame indices[i] of the clip. It can be used for training, but not be written.
---
---     local odd = lv.tasks.view(clip, { indices = { 1, 3, 5 } })
---     lv.train { model = model, clip = odd, epochs = 10 }
---
---@param clip lunerv.Clip  the source of the frames
---@param given? lunerv.tasks.view.Options
---@return table  usable by lv.train as a clip
local function view(clip, given)
  given = takes(given)
  local indices = given.indices
  if not indices then
    indices = {}
    for i = 1, #clip do indices[i] = i end
  end
  return setmetatable({
    clip = clip, indices = indices, change = given.sample, count = given.frames or #clip,
    width = clip.width, height = clip.height, frames = #indices, fps = clip.fps,
  }, View)
end

function View:__len() return self.frames end

function View:prefetch(i) self.clip:prefetch(self.indices[i]) end

function View:sample(i)
  local frame = self.clip:sample(self.indices[i])
  frame.t = frame.index / self.count
  if self.change then self.change(frame) end
  return frame
end

return view
