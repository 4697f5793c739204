-- Where scenes begin, told by how much frames differ. A frame's change is the mean difference of
-- its luma from that of the frame before, or of the one before that where this is less: the frame
-- behind a flash is no new scene. A scene begins where the change is `threshold` levels of 255
-- above what it was in the mean of late, unless the next frame shows the old scene again, and
-- scenes would become shorter than `least` frames. Fades and pans are no cuts.
local scenes <const> = {}

-- How many frames back "of late" reaches.
local memory <const> = 8

-- The first frames of all scenes but the first. `changes` is what clip:changes() gives.
function scenes.cuts(changes, threshold, least)
  local from_last, from_second_last = changes[1], changes[2]
  local cuts, start, level, seen, count = {}, 1, 0, 0, #from_last
  for i = 2, count do
    local change = i > 2 and math.min(from_last[i], from_second_last[i]) or from_last[i]
    local following = from_second_last[i + 1]
    local is_flash = following and following < change / 2
    if change - level >= threshold and not is_flash and i - start >= least
      and count - i + 1 >= least then
      cuts[#cuts + 1] = i
      start, level, seen = i, 0, 0
    else
      seen = math.min(seen + 1, memory)
      level = level + (change - level) / seen
    end
  end
  return cuts
end

return scenes
