-- A clip seen in another way: some of its frames, each changed by a function. What training and
-- evaluation ask of a clip, it answers.
local View <const> = {}
View.__index = View

-- view(clip, { indices =, frames =, sample = function(frame) … end }): frame i of it is frame
-- indices[i] of `clip` (all of them, unless given), at the time it has among the first `frames`
-- (all) of the clip; `sample` may add to { image, t, index } or change it.
local function view(clip, given)
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
