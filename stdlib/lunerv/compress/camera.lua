-- The motion of the camera over a clip, by phase correlation of its frames: the inverse transform
-- of their normalised cross spectrum has its peak at the shift between them. Frames are compared
-- with a key frame, which is replaced where they have moved far from it, so that errors hardly add
-- up.
local native <const> = require "lunerv.native"

local camera <const> = {}

-- Frames are averaged down to about this size, of the longer side.
local longest <const> = 360
-- At most this many frames are compared.
local most_frames <const> = 256
-- The standard deviation in pixels of the low-pass: it makes the peak a smooth bump, whose top can
-- be found between pixels.
local blur <const> = 0.8
-- The share of the size that frames may move from their key frame, and the least height of a peak
-- that counts; 1 is that of equal frames.
local farthest <const>, least_peak <const> = 0.25, 0.08
-- A picture's detail is its difference from the mean over a window of this size. The camera
-- is followed if the detail of distant frames then correlates by this much more.
local window <const>, least_gain <const> = 9, 0.1
-- How far a path of straight lines may be from the positions, in pixels of the small frames, and
-- its largest number of knots.
local tolerance <const>, most_knots <const> = 0.3, 129

local function gray(image, factor)
  local small = factor > 1 and image:avg_pool2d(factor) or image
  return small:mean(2):evaluate()
end

-- The values of a function of place and size at n places: (n).
local function row(n, value)
  local list = {}
  for i = 1, n do list[i] = value(i - 1, n) end
  return native.tensor(list)
end

local function hann(i, n) return 0.5 - 0.5 * math.cos(2 * math.pi * (i + 0.5) / n) end

-- Compares frames of a size.
local function comparer(height, width)
  local fade = row(height, hann):view(1, height, 1) * row(width, hann):view(1, 1, width)
  local function pass(i, n)
    local frequency = math.min(i, n - i) / n
    return math.exp(-2 * (math.pi * blur * frequency) ^ 2)
  end
  local half = width // 2 + 1
  local low = (row(height, pass):view(1, height, 1)
    * row(width, pass):slice(1, 1, half):view(1, 1, half)):evaluate()
  fade = fade:evaluate()

  local self = {}

  function self.spectrum(x) return ((x - x:mean()) * fade):rfft2():evaluate() end

  local function at(surface, y, x)
    return surface:select(1, (y % height) * width + x % width + 1):item()
  end

  -- The place of the top of a bump, from its highest value and those on both sides.
  local function top(before, highest, after)
    if before <= 0 or after <= 0 then return 0 end
    local a, b, c = math.log(before), math.log(highest), math.log(after)
    local curvature = a - 2 * b + c
    if curvature >= 0 then return 0 end
    return math.max(-0.5, math.min(0.5, 0.5 * (a - c) / curvature))
  end

  local function surface_of(re, im)
    return native.stack({ re * low, im * low }, 4):irfft2({ width = width }):view(-1):evaluate()
  end

  local ones = native.ones(1, height, half)
  local perfect = surface_of(ones, native.zeros(1, height, half)):select(1, 1):item()

  -- How far the picture of spectrum `b` has moved from that of `a`: y, x, and the peak's height.
  function self.shift(a, b)
    local ar, ai, br, bi = a:select(4, 1), a:select(4, 2), b:select(4, 1), b:select(4, 2)
    local re, im = br * ar + bi * ai, bi * ar - br * ai
    local size = (re * re + im * im + 1e-20):rsqrt()
    local surface = surface_of(re * size, im * size)
    local place = surface:argmax():item() - 1
    local y, x = place // width, place % width
    local highest = at(surface, y, x)
    local dy = top(at(surface, y - 1, x), highest, at(surface, y + 1, x))
    local dx = top(at(surface, y, x - 1), highest, at(surface, y, x + 1))
    local function signed(v, n) return v > n / 2 and v - n or v end
    return signed(y, height) + dy, signed(x, width) + dx, highest / perfect
  end

  return self
end

-- The correlation of two pictures' detail where both show the same, the second moved by dy, dx; nil
-- if they share less than half.
local function correlation(a, b, dy, dx)
  local height, width = a:size(2), a:size(3)
  if math.abs(dy) > height // 2 or math.abs(dx) > width // 2 then return nil end
  local function shared(x, y0, x0)
    return x:slice(2, y0 + 1, y0 + height - math.abs(dy))
      :slice(3, x0 + 1, x0 + width - math.abs(dx))
  end
  a = shared(a, math.max(-dy, 0), math.max(-dx, 0))
  b = shared(b, math.max(dy, 0), math.max(dx, 0))
  a, b = a - a:mean(), b - b:mean()
  return ((a * b):mean() / ((a * a):mean() * (b * b):mean() + 1e-20):sqrt()):item()
end

-- Whether distant frames agree more if the window follows `positions`. `details` are of every
-- `step`-th frame of those.
local function explains(positions, details, step)
  local apart = math.max(1, #details // 4)
  local still, moved = 0, 0
  for i = 1, #details - apart do
    local from, to = positions[1 + (i - 1) * step], positions[1 + (i + apart - 1) * step]
    local dy, dx = math.floor(from[1] - to[1] + 0.5), math.floor(from[2] - to[2] + 0.5)
    local a, b = details[i], details[i + apart]
    local aligned = correlation(a, b, dy, dx)
    if aligned then
      still, moved = still + correlation(a, b, 0, 0), moved + aligned
    end
  end
  return moved - still > least_gain * math.max(1, #details - apart)
end

-- The position at `time`, from 0 to 1, of positions at evenly spaced times from `first` to `last`;
-- outside of those, on the first or the last line.
local function between(list, first, last, time)
  local at = 1 + (#list - 1) * (time - first) / (last - first)
  local i = math.max(1, math.min(math.floor(at), #list - 1))
  local f, a, b = at - i, list[i], list[i + 1]
  return { a[1] + f * (b[1] - a[1]), a[2] + f * (b[2] - a[2]) }
end

-- The fewest knots at evenly spaced times from 0 to 1 whose straight lines keep close to
-- `positions`, which are of times from `first` to `last`.
local function knots_of(positions, first, last)
  local count = 2
  while true do
    local knots, worst = {}, 0
    for k = 1, count do knots[k] = between(positions, first, last, (k - 1) / (count - 1)) end
    for i, here in ipairs(positions) do
      local time = first + (last - first) * (i - 1) / (#positions - 1)
      local line = between(knots, 0, 1, time)
      worst = math.max(worst, math.abs(line[1] - here[1]), math.abs(line[2] - here[2]))
    end
    if worst <= tolerance or 2 * count - 1 > math.min(most_knots, #positions) then return knots end
    count = 2 * count - 1
  end
end

-- The positions of the frames on a mosaic of all of them: row and column in pixels, at evenly
-- spaced times from 0 to 1, in one list, as models take it for `static_path`. nil if the camera
-- does not move, or if the picture does not move as a whole.
function camera.path(clip)
  local factor = math.max(1, math.floor(math.max(clip.height, clip.width) / longest + 0.5))
  local height, width = clip.height // factor, clip.width // factor
  if #clip < 4 or math.min(height, width) < 4 * window then return nil end
  local every = (#clip + most_frames - 1) // most_frames
  local count = (#clip - 1) // every + 1
  local step = math.max(1, count // 24)

  local compare = comparer(height, width)
  local positions, details = {}, {}
  local key, key_at, last, last_at
  for i = 1, count do
    local x = gray(clip:frame(1 + (i - 1) * every), factor)
    if (i - 1) % step == 0 then
      local margin = window // 2
      details[#details + 1] = (x:slice(2, 1 + margin, height - margin)
        :slice(3, 1 + margin, width - margin)
        - x:view(1, 1, height, width):avg_pool2d(window, { stride = 1 }):view(1,
          height - 2 * margin, width - 2 * margin)):evaluate()
    end
    local spectrum = compare.spectrum(x)
    if i == 1 then
      key, key_at = spectrum, { 0, 0 }
      positions[1] = key_at
    else
      local dy, dx, peak = compare.shift(key, spectrum)
      local is_far = math.abs(dy) > farthest * height or math.abs(dx) > farthest * width
      if (is_far or peak < least_peak) and last ~= key then
        key, key_at = last, last_at
        dy, dx, peak = compare.shift(key, spectrum)
      end
      if peak < least_peak then dy, dx = key_at[1] - last_at[1], key_at[2] - last_at[2] end
      positions[i] = { key_at[1] - dy, key_at[2] - dx }
    end
    last, last_at = spectrum, positions[i]
    native.step_boundary()
  end
  if not explains(positions, details, step) then return nil end

  local knots = knots_of(positions, 1 / #clip, (1 + (count - 1) * every) / #clip)
  local least = { math.huge, math.huge }
  for _, at in ipairs(knots) do
    for axis = 1, 2 do least[axis] = math.min(least[axis], at[axis]) end
  end
  local path = {}
  for _, at in ipairs(knots) do
    for axis = 1, 2 do
      path[#path + 1] = math.floor((at[axis] - least[axis]) * factor * 16 + 0.5) / 16
    end
  end
  return path
end

return camera
