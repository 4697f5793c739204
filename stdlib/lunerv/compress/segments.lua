-- Clips in segments: `lunerv compress --gop, --scene-cuts`. Each segment is a clip with its own
-- network and file, so that memory holds only its frames and its network; the files are joined at
-- the end. Finished segments are kept. OUT.work holds
--
--   segments.json         the split of the clip, and the options
--   segment-001/          checkpoints of the current segment, and its reports
--   segment-001.lnv       a file that plays by itself
--   segment-001.json      marks the segment as done, and describes it
--   network-001.safetensors  a starting point for the next segment; only the last one is kept
local checkpoint <const> = require "lunerv.checkpoint"
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local layout <const> = require "lunerv.codec.layout"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"
local Progress <const> = require "lunerv.progress"
local scenes <const> = require "lunerv.compress.scenes"
local request <const> = require "lunerv.compress.request"

local segments <const> = {}

-- A network can start a segment whose length differs by at most this share from the one it was
-- sized for.
local largest_change <const> = 0.25

-- Whether the command line's options `o` ask for segments.
function segments.wanted(o) return o.gop ~= nil or o.scene_cuts == true end

-- The split ----------------------------------------------------------------------------------

-- Adds frames `first` to `last` in pieces of `longest`. The last piece may be shorter; if it had
-- less than half, it shares its frames evenly with the previous one.
local function cut_up(list, first, last, longest)
  while last - first + 1 > longest do
    local left = last - first + 1
    local length = longest
    if left - longest < longest / 2 then length = (left + 1) // 2 end
    list[#list + 1] = { first = first, last = first + length - 1 }
    first = first + length
  end
  list[#list + 1] = { first = first, last = last }
end

-- The split of a clip: a list of { first, last }. `o` holds gop, scene_cuts, scene_threshold and
-- min_gop.
function segments.split(clip, o)
  local starts = { 1 }
  if o.scene_cuts then
    local least = math.min(o.min_gop, o.gop or o.min_gop)
    for _, frame in ipairs(scenes.cuts(clip:changes(), o.scene_threshold, least)) do
      starts[#starts + 1] = frame
    end
  end
  local list = {}
  for i, first in ipairs(starts) do
    cut_up(list, first, (starts[i + 1] or #clip + 1) - 1, o.gop or #clip)
  end
  if #list > layout.most_segments then
    errors.data("%d segments are more than the %d that a file can have: ask for longer ones",
      #list, layout.most_segments)
  end
  return list
end

-- What is kept -------------------------------------------------------------------------------

local function write(path, data)
  errors.must(native.write_file(path, native.json_encode(data) .. "\n"))
end

local function read(path)
  local text = native.exists(path) and native.read_file(path)
  local ok, data = pcall(native.json_decode, text or "")
  return ok and type(data) == "table" and data or nil
end

local function base(o, k) return ("%s/segment-%03d"):format(o.out, k) end

local function network_path(o, k) return ("%s/network-%03d.safetensors"):format(o.out, k) end

-- Calls body(folder) for each training folder inside a segment's folder.
local function each_run(folder, body)
  for _, name in ipairs(native.exists(folder) and native.list_dir(folder) or {}) do
    if name:match "^fit" or name == "small" then body(folder .. "/" .. name) end
  end
end

-- The split, stored so that a resumed run keeps it.
local function settle(o, clip, asked)
  local path = o.out .. "/segments.json"
  local found = o.resume and read(path)
  if found then
    checkpoint.compare("compress.file", path, found.asked, asked)
    for _, segment in ipairs(found.segments) do
      segment.first, segment.last = math.tointeger(segment.first), math.tointeger(segment.last)
    end
    return found.segments
  end
  local list = segments.split(clip, o)
  native.work_folder(o.out)
  -- Removes the leftovers of an earlier run, so that this one does not continue from them.
  for _, name in ipairs(native.list_dir(o.out)) do
    local left = o.out .. "/" .. name
    if name:match "^segment%-%d+%.json$" then native.remove(left) end
    if name:match "^segment%-%d+$" then
      each_run(left, checkpoint.set_aside)
      for _, file in ipairs { left .. "/plan.json", left .. "/best.json" } do
        if native.exists(file) then native.remove(file) end
      end
    end
    if name:match "^network%-%d+%.safetensors$" then native.remove(left) end
  end
  write(path, { asked = asked, segments = list })
  return list
end

-- The result of a segment, if it is done.
local function done(o, k)
  local result = o.resume and read(base(o, k) .. ".json")
  local info = result and codec.info(base(o, k) .. ".lnv")
  if not info or info.bytes ~= result.bytes then return nil end
  return result
end

-- Removes what is no longer needed once segment `k` is done: its checkpoints, and the network it
-- may have started from.
local function tidy(o, k)
  each_run(base(o, k), checkpoint.clear)
  local path = network_path(o, k - 1)
  if native.exists(path) then native.remove(path) end
end

-- Stores the network of segment `k` for the next one. `made_for`: the frames it was sized for.
local function keep_network(o, k, model, made_for)
  local settings = {}
  for _, name in ipairs(options.model_names(o.model)) do settings[name] = model.config[name] end
  settings.size, settings.params, settings.preset = nil, nil, nil -- the width replaces these
  errors.must(native.save_safetensors(network_path(o, k), model:state_dict(), {
    format = "lunerv network", settings = native.json_encode(settings), frames = tostring(made_for),
    origins = native.json_encode(parameter.origins(model)),
  }))
end

-- The starting point of a segment of `frames` frames: { settings, parameters, frames }; nil for
-- none.
local function start_from(o, k, frames)
  local path = network_path(o, k)
  if not o.warm_start or not native.exists(path) then return nil end
  local tensors, metadata = native.load_safetensors(path)
  if not tensors then errors.data("%s", metadata) end
  local made_for = math.tointeger(tonumber(metadata.frames))
  if math.abs(frames - made_for) > largest_change * made_for then return nil end
  -- The weights of all segments derive from the first segment's random numbers.
  parameter.take_origins(tensors, native.json_decode(metadata.origins or "{}"))
  return { settings = native.json_decode(metadata.settings), parameters = tensors,
    frames = made_for }
end

-- The work -----------------------------------------------------------------------------------

-- The budget of a segment of `frames` frames when `left` frames remain: its share of the remaining
-- bytes and time.
local function share(o, part, left, budget)
  local own = options.copy(o)
  own.gop, own.scene_cuts, own.bpp, own.bytes = nil, false, nil, nil
  local part_of = #part / left
  if budget.bytes then
    own.bytes = math.floor(budget.bytes * part_of) + layout.saved_bytes(part)
    if own.bytes < 1 then
      errors.data("%d bytes are too few for %d segments of this clip", budget.asked, budget.count)
    end
  end
  if budget.deadline then
    own.minutes = math.max(budget.deadline - native.time(), 0.1) * part_of / 60
  end
  return own
end

-- The bytes that a segment saves by sharing the decoder of the file at `stem`.
local function decoder_bytes(stem)
  local info = codec.info(stem .. ".lnv")
  return info and layout.entry + #info.decoder or 0
end

local sums <const> = { "psnr", "psnr_8bit", "ms_ssim" }

-- Compresses segment `k` by one(path, clip, o, say); returns its result.
local function work(o, clip, k, list, left, budget, say, one)
  local range, name = list[k], ("segment %d of %d"):format(k, #list)
  local part <close> = clip:part(range.first, range.last)
  -- Each segment has its own random numbers, so that a resumed run, which skips segments, draws the
  -- same.
  native.seed(o.seed + k - 1)
  local own = share(o, part, left, budget)
  own.out, own.label = base(o, k), name
  own.start = k > 1 and start_from(o, k - 1, #part) or nil
  -- It shares the previous segment's decoder, which the joined file stores once.
  local shared = own.start and own.bytes and decoder_bytes(base(o, k - 1)) or 0
  if own.bytes then own.bytes = own.bytes + shared end
  say(("%s: frames %d to %d%s"):format(name, range.first, range.last,
    own.start and ", starting from the network before" or ""))
  local file, problem = one(base(o, k) .. ".lnv", part, own,
    function(line) say(name .. ": " .. line) end)
  errors.must(file, problem, name)
  say(("%s: %s"):format(name, file))
  local result = { bytes = file.bytes, frames = #part, seconds = file.seconds,
    cost = file.bytes - layout.saved_bytes(part) - shared }
  for _, figure in ipairs(sums) do result[figure] = file[figure] end
  if o.warm_start then
    keep_network(o, k, file.model, own.start and file.warm and own.start.frames or #part)
  end
  write(base(o, k) .. ".json", result)
  return result
end

-- Compresses `clip`, segment by segment, into `path`; see compress.file. A budget of bytes or
-- minutes is shared in proportion to frames, and what a segment leaves goes to the next ones.
-- one(path, clip, o, say) compresses one segment.
function segments.file(path, clip, o, say, one)
  local list = settle(o, clip, request.facts(o, clip))
  if #list == 1 then
    say "one segment: the clip has no cuts and fits the longest segment"
    local own = options.copy(o)
    own.gop, own.scene_cuts = nil, false
    return one(path, clip, own, say)
  end
  say(("%d segments"):format(#list))
  local asked = request.bytes(o, clip)
  local budget = { asked = asked, count = #list,
    bytes = asked and asked - layout.common_bytes(clip, #list),
    deadline = o.minutes and native.time() + 60 * o.minutes }

  local left, total, paths = #clip, { seconds = 0 }, {}
  for _, figure in ipairs(sums) do total[figure] = 0 end
  for k in ipairs(list) do
    local result = done(o, k)
    if result then
      say(("segment %d of %d: done before"):format(k, #list))
    else
      result = work(o, clip, k, list, left, budget, say, one)
    end
    tidy(o, k)
    if budget.bytes then budget.bytes = budget.bytes - result.cost end
    left = left - result.frames
    total.seconds = total.seconds + result.seconds
    for _, figure in ipairs(sums) do
      total[figure] = total[figure] + result[figure] * result.frames / #clip
    end
    paths[k] = base(o, k) .. ".lnv"
  end

  local file, message = codec.join(path, paths, { fps = clip.fps, timestamps = clip.timestamps })
  if not file then return nil, message end
  for name, value in pairs(total) do file[name] = value end
  say(("%d segments in %s"):format(#list, Progress.duration(total.seconds)))
  return setmetatable(file, codec.File)
end

return segments
