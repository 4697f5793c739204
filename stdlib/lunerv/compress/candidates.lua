-- The output file of rate control. The first candidate creates it, and only a better one replaces
-- it. A candidate above the budget of bytes is made smaller: by rounding weights of little effect,
-- then by larger step sizes.
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local goal <const> = require "lunerv.compress.goal"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local saved <const> = require "lunerv.saved"

-- A file of at least this share of the allowed bytes counts as full.
local close <const> = 0.985
-- The strongest rounding.
local strongest <const> = 3
-- The frames that evaluate a candidate when time is short.
local sampled <const> = 16

-- The best file so far. OUT/best.json describes it, so that a resumed run does not replace it by a
-- worse one.
local Candidates <const> = {}
Candidates.__index = Candidates

local remembered <const> = { "size", "bytes", "bpp", "psnr", "psnr_8bit", "ms_ssim", "stage",
  "estimated" }

-- The candidates of a run in the folder o.out. If time is short (`is_short`), all but the last are
-- evaluated on some of their frames.
function Candidates.open(path, clip, wanted, o, say, is_short)
  local self = setmetatable({ path = path, clip = clip, goal = wanted, say = say,
    note = o.out .. "/best.json", is_short = is_short, spent = {}, earlier = 0 }, Candidates)
  if not native.exists(self.note) then return self end
  if not o.resume then
    native.remove(self.note) -- an earlier run's
    return self
  end
  local best, contents = saved.table(self.note), saved.bytes(path)
  local info = best and contents and #contents == best.bytes and codec.info(path)
  if info then
    best.sections = info.sections
    self.best, self.contents = best, contents
  end
  return self
end

local function remember(self, file)
  local facts = {}
  for _, name in ipairs(remembered) do facts[name] = file[name] end
  saved.write(self.note, facts)
end

-- Encodes with an effort: one number for how much smaller or larger the file gets. From 0 to 1 it
-- is the strength of rate-aware rounding. Below 0, above 1, and for models without rounding, it is
-- the change of step sizes in octaves. If parameters were trained with their step sizes, either
-- costs a decibel for a few percent of the bytes, so training should end close to the goal.
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

-- The next effort to try, from one whose file has `size` bytes towards `limit`.
local function towards(limit, size, effort, stored)
  local octaves = 1.5 * math.log(size / limit, 2) -- a doubled step saves about a bit per symbol
  if stored.rounding and size > limit and effort < 1 then
    return math.min(1, effort + math.max(0.03, 5 * octaves))
  end
  return effort + (size > limit and math.max(0.2, octaves) or math.min(-0.2, octaves))
end

-- The largest file that fits goal.bytes, by bisection over the effort, with at most twelve files;
-- the smallest tried if none fits. Second, the size without any effort.
local function fit_bytes(self, stored)
  local limit = self.goal.bytes
  local first = encode(self, stored, 0)
  if not limit then return first, first.size end
  -- Trained parameters are best at their own step sizes: finer ones cost bytes, and quality too.
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

-- Decodes and evaluates a file; on some frames if time is short and it is not the last one.
local function measure(self, file, is_last)
  local state = native.rng_state() -- a decoder draws random numbers
  local video = codec.decode(file.data, { confined = false })
  local frames = self.is_short and not is_last and metrics.spread(#self.clip, sampled) or nil
  local quality = video:evaluate(self.clip, nil, frames)
  native.set_rng_state(state)
  for name, value in pairs(quality) do file[name] = value end
  file.bytes, file.bpp, file.sections = video.bytes, video.bpp, video.sections
  file.estimated = frames ~= nil
  return file
end

-- The smallest file that reaches goal.psnr: raises the effort until the quality is too low.
local function fit_psnr(self, stored, file)
  local wanted = self.goal.psnr
  if file.psnr_8bit < wanted then
    -- Finer steps may reach it, if there are bytes left.
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

-- Whether file `a` is better than `b`, which is older.
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
  -- If only time is limited, later stages are smaller on purpose.
  if not wanted.bytes and a.stage ~= b.stage then return a.stage > b.stage end
  return a.psnr_8bit > b.psnr_8bit
end

-- Evaluates the best file so far on all frames.
local function measure_again(self)
  local data = saved.bytes(self.path)
  if not data then return end
  local again = measure(self, { data = data }, true)
  again.data = nil
  for name, value in pairs(again) do self.best[name] = value end
end

-- The size of the file of `compressed`.
function Candidates:size(compressed)
  local state = native.rng_state()
  local stored = compressed:stored(self.clip)
  stored.rounding = nil
  local file = encode(self, stored, 0)
  native.set_rng_state(state)
  return file.size
end

-- Writes the file of `compressed` if it is better than the present one. `stage` counts the stages
-- of the work; `final`: the file is worth several attempts. Returns the candidate.
function Candidates:offer(compressed, stage, final)
  local state = native.rng_state()
  local stored = compressed:stored(self.clip)
  native.set_rng_state(state)
  -- Weights that were not trained for rounding tolerate larger steps better.
  if stage == 1 then stored.rounding = nil end
  local chosen, unscaled = fit_bytes(self, stored)
  local file = measure(self, chosen, final)
  -- Candidates are compared on the same frames.
  if final and self.best and self.best.estimated then measure_again(self) end
  if final and self.goal.psnr then file = fit_psnr(self, stored, file) end
  file.stage, file.unscaled = stage, unscaled
  -- A file above the budget does not count.
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

return Candidates
