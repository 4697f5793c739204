-- The file that rate control writes: it exists from the first offer on, and is replaced only by a
-- better one. What does not fit a budget of bytes is made to: rounded away where that does the
-- least, then by larger steps.
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local goal <const> = require "lunerv.compress.goal"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

-- A file is as large as asked when it takes at least this share of the bytes.
local close <const> = 0.985
-- The strongest rounding.
local strongest <const> = 3
-- Frames by which files are judged where time is short.
local sampled <const> = 16

-- The best file so far. What it is stands in OUT/best.json, so that a resumed run does not put a
-- worse one in its place.
local Shelf <const> = {}
Shelf.__index = Shelf

local remembered <const> = { "size", "bytes", "bpp", "psnr", "psnr_8bit", "ms_ssim", "stage",
  "estimated" }

-- The shelf of a run whose work lies in o.out. Where files have to be offered in little time
-- (`hurried`), all but the last are judged by some of their frames.
function Shelf.open(path, clip, wanted, o, say, hurried)
  local self = setmetatable({ path = path, clip = clip, goal = wanted, say = say,
    note = o.out .. "/best.json", hurried = hurried }, Shelf)
  if not native.exists(self.note) then return self end
  if not o.resume then
    native.remove(self.note) -- an earlier run's
    return self
  end
  local best = native.json_decode(native.read_file(self.note) or "{}")
  local info = codec.info(path)
  if info and info.bytes == best.bytes then
    best.sections = info.sections
    self.best, self.contents = best, native.read_file(path)
  end
  return self
end

local function remember(self, file)
  local facts = {}
  for _, name in ipairs(remembered) do facts[name] = file[name] end
  errors.must(native.write_file(self.note, native.json_encode(facts) .. "\n"))
end

-- How files get smaller or larger, as one number, the effort. From 0 to 1 it is the strength of
-- rate-aware rounding, up to the strongest that is worth it; of what has none, and below 0 and
-- beyond 1, the steps' size in octaves. Either costs parameters trained with their steps a decibel
-- for some hundredths of the bytes, so that a training had better end close to the goal.
local function encode(self, stored, effort)
  local bounded = stored.rounding and math.min(math.max(effort, 0), 1) or 0
  local rounded, scale = strongest * bounded, 2 ^ (effort - bounded)
  local scaled = options.copy(stored)
  scaled.steps, scaled.rdo = {}, stored.rounding and math.max(rounded, stored.rdo)
  for i, step in ipairs(stored.steps) do scaled.steps[i] = (step * scale):evaluate() end
  if stored.embedding_step then scaled.embedding_step = stored.embedding_step * scale end
  local bytes = codec.encode({ stored = function() return scaled end }, { clip = self.clip })
  return { data = bytes, size = #bytes, effort = effort }
end

-- The next effort to try on the way from one whose file has `size` bytes to `limit`.
local function towards(limit, size, effort, stored)
  local octaves = 1.5 * math.log(size / limit, 2) -- a doubled step saves about a bit a symbol
  if stored.rounding and size > limit and effort < 1 then
    return math.min(1, effort + math.max(0.03, 5 * octaves))
  end
  return effort + (size > limit and math.max(0.2, octaves) or math.min(-0.2, octaves))
end

-- The largest file that fits goal.bytes, by bisection over the effort; at twelve files at most.
-- What comes out is the smallest tried where none fits; second, how large a file without any
-- effort would be.
local function fit_bytes(self, stored)
  local limit = self.goal.bytes
  local first = encode(self, stored, 0)
  if not limit then return first, first.size end
  -- What was trained on its steps is best at them: finer ones cost bytes, and quality too.
  if stored.rounding and first.size <= limit then return first, first.size end
  local best, smallest = first.size <= limit and first or nil, first
  local low, high -- efforts whose files are too large, and fit
  local effort, size = 0, first.size
  for _ = 1, 11 do
    if size > limit then low = effort else high = effort end
    if best and best.size >= close * limit then break end
    effort = low and high and (low + high) / 2 or towards(limit, size, effort, stored)
    if effort < -4 or effort > 9 then break end
    local file = encode(self, stored, effort)
    size = file.size
    if size < smallest.size then smallest = file end
    if size <= limit and (not best or size > best.size) then best = file end
  end
  return best or smallest, first.size
end

-- What decoding the file gives; by some frames unless it is the last one.
local function measure(self, file, is_last)
  local state = native.rng_state() -- a decoder draws numbers that training must not miss
  local video = codec.decode(file.data, { confined = false })
  local frames = self.hurried and not is_last and metrics.spread(#self.clip, sampled) or nil
  local quality = video:evaluate(self.clip, nil, frames)
  native.set_rng_state(state)
  for name, value in pairs(quality) do file[name] = value end
  file.bytes, file.bpp, file.sections = video.bytes, video.bpp, video.sections
  file.estimated = frames ~= nil
  return file
end

-- The smallest file that reaches goal.psnr: more effort until it costs more than there is.
local function fit_psnr(self, stored, file)
  local wanted = self.goal.psnr
  if file.psnr_8bit < wanted then
    -- Finer steps may reach it, where there is room.
    for _ = 1, 3 do
      local finer = encode(self, stored, file.effort - 0.7)
      if self.goal.bytes and finer.size > self.goal.bytes then return file end
      local result = measure(self, finer, true)
      if result.psnr_8bit <= file.psnr_8bit + 0.005 then return file end
      file = result
      if file.psnr_8bit >= wanted then break end
    end
    if file.psnr_8bit < wanted then return file end
  end
  local low, high = file.effort, nil
  for _ = 1, 6 do
    if file.psnr_8bit - wanted < 0.02 or goal.seconds_left(self.goal) < 0 then break end
    local effort = high and (low + high) / 2 or low + 0.5
    local coarser = measure(self, encode(self, stored, effort), true)
    if coarser.psnr_8bit >= wanted then
      file, low = coarser, effort
    else
      high = effort
    end
  end
  return file
end

-- Whether file `a` is to be preferred to `b`, which was made before.
local function is_better(wanted, a, b)
  if not b then return true end
  local function fits(file) return not wanted.bytes or file.size <= wanted.bytes end
  if fits(a) ~= fits(b) then return fits(a) end
  if not fits(a) then return a.size < b.size end
  if wanted.psnr then
    local reaches_a, reaches_b = a.psnr_8bit >= wanted.psnr, b.psnr_8bit >= wanted.psnr
    if reaches_a ~= reaches_b then return reaches_a end
    if reaches_a then return a.size < b.size end
    return a.psnr_8bit > b.psnr_8bit
  end
  -- Where only time is given, a later stage is smaller on purpose.
  if not wanted.bytes and a.stage ~= b.stage then return a.stage > b.stage end
  return a.psnr_8bit > b.psnr_8bit
end

-- The best file so far, by all its frames.
local function measure_again(self)
  local data = native.read_file(self.path)
  if not data then return end
  local again = measure(self, { data = data }, true)
  again.data = nil
  for name, value in pairs(again) do self.best[name] = value end
end

-- Bytes that the file of `compressed` would take.
function Shelf:size(compressed)
  local state = native.rng_state()
  local stored = compressed:stored(self.clip)
  stored.rounding = nil
  local file = encode(self, stored, 0)
  native.set_rng_state(state)
  return file.size
end

-- Writes the file of `compressed` where it is better than the one there is. `stage` counts the
-- stages of the work; `final`: the file is worth some more tries. Returns what it would be.
function Shelf:offer(compressed, stage, final)
  local state = native.rng_state()
  local stored = compressed:stored(self.clip)
  native.set_rng_state(state)
  -- What was not trained to be rounded bears larger steps better.
  if stage == 1 then stored.rounding = nil end
  local chosen, unscaled = fit_bytes(self, stored)
  local file = measure(self, chosen, final)
  -- What is compared is judged by the same frames.
  if final and self.best and self.best.estimated then measure_again(self) end
  if final and self.goal.psnr then file = fit_psnr(self, stored, file) end
  file.stage, file.unscaled = stage, unscaled
  -- A file that takes more than it may is none.
  local too_large = self.goal.bytes and file.size > self.goal.bytes
  if not too_large and is_better(self.goal, file, self.best) then
    errors.must(native.write_file(self.path, file.data))
    self.best, self.contents = file, file.data
    remember(self, file)
    self.say(("%s: %d bytes, %.4f bpp, psnr_8bit %s%.2f dB"):format(self.path, file.bytes, file.bpp,
      file.estimated and "about " or "", file.psnr_8bit))
  end
  file.data = nil
  return file
end

return Shelf
