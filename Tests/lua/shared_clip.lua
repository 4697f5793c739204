-- A small clip, and words of `lunerv compress` for it, for tests of processes that share one.
local lv <const> = require "lunerv"

local shared_clip <const> = {}

local height <const>, width <const> = 12, 16

local function picture(i)
  local y = lv.linspace(0, 1, height):reshape(1, 1, height, 1)
  local x = lv.linspace(0, 1, width):reshape(1, 1, 1, width)
  return lv.cat({ (x * 5 + i * 0.4):sin() * 0.4 + 0.5 + y * 0, y * 0.9 + x * 0,
    (x * y * 9):cos() * 0.3 + 0.5 }, 2)
end

-- Writes a clip of `frames` frames, and returns the words "clip.mkv --epochs 2 …", to be run in the
-- folder.
function shared_clip.words(folder, frames)
  local writer <close> = assert(lv.video.writer(folder.path .. "/clip.mkv",
    { width = width, height = height, fps = 25 }))
  for i = 1, frames do writer:write(picture(i)) end
  writer:close()
  return "clip.mkv --strides 2,2 --fc-dim 6 --enc-dim 4,2 --ch-t 4 --pe-levels 4 --epochs 2 "
    .. "--compress-epochs 2 --threads 1 "
end

return shared_clip
