-- Scene detection by frame differences. A frame's change is the mean luma difference from the
-- previous frame, or from two frames before if that is less: the frame after a flash starts no
-- new scene. A scene starts where the change is `threshold` 8-bit levels above its recent mean,
-- unless the next frame shows the old scene again, or scenes would be shorter than `least` frames.
-- Fades and pans are no cuts.
local scenes <const> = {}

-- The number of frames in the recent mean.
local memory <const> = 8

-- The first frames of all scenes but the first. `changes` is a result of clip:changes().
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
