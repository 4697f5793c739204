-- A clip seen in another way: some of its frames, each changed by a function. What training and
-- evaluation ask of a clip, it answers.
local options <const> = require "lunerv.options"

local View <const> = {}
View.__index = View

local takes <const> = options.takes("tasks.view", {
  { "indices", nil, "which frames of the clip it has, in order (all)", type = "list" },
  { "frames", nil, "how many frames its times are counted over (all of the clip)",
    type = "integer" },
  { "sample", nil, "called with each frame { image, t, index }, which it may change",
    type = "function" },
})

--- A clip seen in another way: some of its frames, each changed by a function.
--- Frame i is frame indices[i] of the clip. It can be trained on, but not be written.
---
---     local odd = lv.tasks.view(clip, { indices = { 1, 3, 5 } })
---     lv.train { model = model, clip = odd, epochs = 10 }
---
---@param clip lunerv.Clip  where the frames come from
---@param given? lunerv.tasks.view.Options
---@return table  what lv.train takes for a clip
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
