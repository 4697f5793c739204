-- Time to quality, `lunerv bench --quality`: how long each side trains on a clip until its
-- evaluation reaches a PSNR. A side's result is its shortest complete schedule that does: a run of
-- a number of passes with its own warm-up and decay, because a truncated run is worse. Each
-- schedule runs in a separate process; the time is from before its start to after its end. Sides:
--   fast        lunerv with the recipe `fast`
--   published   lunerv with the published recipe
--   PyTorch     the twin with the published recipe (scripts/bench/torch_quality.py), from frames
--               that lunerv has decoded, with an allocator that keeps freed pages
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local process <const> = require "lunerv.bench.process"
local Progress <const> = require "lunerv.progress"
local quality_report <const> = require "lunerv.bench.quality_report"
local scratch <const> = require "lunerv.scratch"
local search <const> = require "lunerv.bench.search"
local sides <const> = require "lunerv.bench.sides"
local sizes <const> = require "lunerv.bench.sizes"
local torch <const> = require "lunerv.bench.torch"
local values <const> = require "lunerv.options.values"
local video <const> = require "lunerv.video"

local quality <const> = {}

-- The steps at which the search starts, rounded to whole passes: about what 26.5 dB needs over 132
-- frames of 320×180. The search gives up at this multiple of the passes.
local first_steps <const> = { fast = 3 * 132, published = 10 * 132 }
local most_times <const> = 32

-- Options -----------------------------------------------------------------------------------

local function shown(value)
  return type(value) == "table" and table.concat(value, ",") or tostring(value)
end

-- The error in the options, or nil: `o` as bench.read makes it of `given`.
function quality.wrong(o, given)
  if not values.contains(o.modes, "quality") then
    for _, name in ipairs { "clip", "to", "head_scale", "guess" } do
      if o[name] ~= nil then
        return ("%s: expected --quality too, got only %s"):format(name, shown(o[name]))
      end
    end
    return nil
  end
  if #o.modes > 1 then
    return ("quality: expected no other mode with it, got %s"):format(shown(o.modes))
  end
  for _, name in ipairs { "steps", "compiled", "algorithms" } do
    if o[name] then
      return ("%s: expected a mode that times steps, got quality"):format(name)
    end
  end
  if o.isolate == false then
    return "isolate: expected separate processes for --quality, got false"
  end
  for name, list in pairs { model = o.models or {}, size = o.size_names or {},
    threads = o.thread_counts } do
    if #list > 1 then
      return ("%s: expected one value with --quality, got %s"):format(name, shown(given[name]))
    end
  end
  local to = o.to
  if to ~= nil and not (type(to) == "number" and to > 0 and to <= 80) then
    return ("to: expected decibels above 0, at most 80, got %s"):format(shown(to))
  end
  for _, option in ipairs(options.catalogue) do
    local expected = option.name == "head_scale" and o.head_scale ~= nil
      and values.wanted(option, o.head_scale)
    if expected then
      return ("head_scale: expected %s, got %s"):format(expected, shown(o.head_scale))
    end
  end
end

-- The requested clip, or the sample clip, which is next to the folder of the bench's scripts.
function quality.clip_path(o)
  if o.clip then return o.clip end
  local folder = torch.folder(o):gsub("(.)/+$", "%1")
  local path = (folder:match "^(.*)/[^/]*$" or folder .. "/..") .. "/sample/bunny.mp4"
  if not native.exists(path) then
    errors.fail("usage", "clip: expected a video, got none, and the sample clip %s is not there "
      .. "(--scripts names another folder)", path)
  end
  return path
end

-- The requested row of sizes.lua, or the one closest to the clip's height, by its name.
local function nearest(o, height)
  local name = o.size_names and o.size_names[1]
  if name then return name end
  local names = {}
  for key in pairs(sizes) do names[#names + 1] = key end
  table.sort(names)
  local function distance(key) return math.abs(sizes[key].height - height) end
  for _, key in ipairs(names) do
    if not name or distance(key) < distance(name) then name = key end
  end
  return name
end

-- Runs --------------------------------------------------------------------------------------

local plural <const> = quality_report.passes

-- Runs one schedule: { passes, seconds, psnr, points = { { seconds, psnr }, … }, others }. A pass's
-- PSNR is that of its frames during training; the last point is the evaluation. `others` is the
-- share of processor time that other programs took meanwhile, nil if unknown. On failure, nil and
-- the reason.
local function attempt(side, passes, progress)
  local busy, processors = process.busy()
  local points, began = {}, native.time()
  local function show(text)
    progress:show(("%s, %s: %s"):format(side.name, plural(passes), text))
  end
  show "starting"
  local answer, reason = side.run(passes, function(e)
    points[#points + 1] = { native.time() - began, e.psnr }
    -- lunerv's own process shows its own progress line.
    if side.program ~= "lunerv" then show(("pass %d, %.2f dB"):format(e.pass, e.psnr)) end
  end)
  local seconds = native.time() - began
  progress:clear()
  if not answer then return nil, reason end
  if side.parameters and answer.parameters ~= side.parameters then
    errors.raise("the models differ: %d parameters here, %d in %s", side.parameters,
      answer.parameters, side.program)
  end
  side.parameters, side.allocator = answer.parameters, answer.allocator
  points[#points + 1] = { seconds, answer.psnr }
  local others = busy and answer.cpu_seconds
    and math.max(0, process.busy() - busy - answer.cpu_seconds) / (processors * seconds)
  return {
    passes = passes, seconds = seconds, psnr = answer.psnr, points = points, others = others,
  }
end

-- Searches for the side's result: sets side.tried, all schedules in the order in which they ran,
-- and side.reached, the shortest that reached o.to. side.reason says why there is none, or why a
-- shorter one may reach it too.
local function find(o, side, progress, say)
  side.tried = {}
  local most, by_passes = most_times * side.guess, {}
  local found, reason = search(side.guess, most, function(passes)
    if o.deadline and native.time() > o.deadline then return nil, "no time left (--minutes)" end
    local run, failure = attempt(side, passes, progress)
    if not run then
      say(("%s, %s: %s\n"):format(side.name, plural(passes), failure))
      return nil, failure
    end
    say(("%s, %s: %.2f dB in %s\n"):format(side.name, plural(passes), run.psnr,
      Progress.duration(run.seconds)))
    side.tried[#side.tried + 1], by_passes[passes] = run, run
    return run.psnr >= o.to
  end)
  side.reached = by_passes[found]
  side.reason = reason or not found and "not reached in " .. plural(most) or nil
end

-- Plain data: a side's part of the result.
local function plain(side, ours)
  local null = native.json_null
  return {
    name = side.name, program = side.program, recipe = side.recipe, head_scale = side.head_scale,
    parameters = side.parameters, version = side.version, allocator = side.allocator,
    guess = side.guess, tried = side.tried or {}, reached = side.reached or null,
    skipped = side.skipped or null, reason = side.reason or null,
    ratio = side.reached and ours and side.reached.seconds / ours.seconds or null,
  }
end

local function opened(path) return errors.must(video.open(path)) end

-- All sides, with their frames and script in `folder`.
local function measure(o, folder, progress, say)
  o.script, o.frames = folder .. "/trial.lua", folder .. "/frames.rgb"
  assert(native.write_file(o.script, 'require("lunerv.bench.trial").run(arg)\n'))
  local clip = opened(o.path)
  local size = nearest(o, clip.height)
  o.row = sizes[size]
  local fast, published = sides.lunerv(o, "fast"), sides.lunerv(o, "published")
  local model = sides.model(o, "published", clip)
  clip:close()
  progress:show "looking for PyTorch"
  local twin = sides.torch(o, model)
  progress:clear()
  if twin.skipped then say(("PyTorch is left out: %s\n"):format(twin.skipped)) end

  local result = {
    clip = o.path:match "[^/]*$", frames = #clip, height = clip.height, width = clip.width,
    to = o.to, model = o.kind, size = size, millions = (o.row.kinds[o.kind] or {})[1],
    threads = o.thread_counts[1], sides = {},
  }
  for _, side in ipairs { fast, published, twin } do
    if not side.skipped then
      side.guess = (o.guess or {})[side.recipe]
        or math.max(1, math.floor(first_steps[side.recipe] / #clip + 0.5))
      -- The twin trains as `published` does.
      if side == twin and published.reached then side.guess = published.reached.passes end
      find(o, side, progress, say)
    end
  end
  for i, side in ipairs { fast, published, twin } do
    result.sides[i] = plain(side, fast.reached)
  end
  return result
end

-- Measures; `o` is as bench.run completes it. Options in addition to those of bench.run:
--   clip        the video (the sample clip); to: the PSNR to reach, in dB (26.5)
--   head_scale  of the side `fast` (its recipe's)
--   size        a row of sizes.lua, for its model (the one closest to the clip's height)
--   minutes     the time after which no further schedule starts
--   guess       { fast =, published = }: the passes at which the search starts
-- `say(line)` gets a line for each schedule that has run. Returns plain data: { clip, frames,
-- height, width, to, model, size, millions, threads, sides }. A side is { name, program, recipe,
-- parameters, guess, tried, reached, ratio, skipped, reason }: `ratio` is its seconds over those of
-- `fast`, and tried and reached hold results of `attempt`.
function quality.run(o, progress, say)
  o.path, o.kind = quality.clip_path(o), (o.models or { options.default "model" })[1]
  o.to = o.to or 26.5
  o.program = native.executable()
    or errors.fail("io", "quality: lunerv's program was not found")
  local folder = scratch.folder()
  local function tidy()
    folder:remove()
    progress:clear()
  end
  local result = bridge.on_error(measure, tidy, o, folder.path, progress, say or function() end)
  tidy()
  return result
end

return quality
