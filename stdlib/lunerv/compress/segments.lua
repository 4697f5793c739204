-- Clips in segments: `lunerv compress --gop, --scene-cuts`. Each segment is a clip with its own
-- network and file, so that memory holds only its frames and its network; the files are joined at
-- the end. Finished segments are kept (segment_files.lua).
--
-- A chain is a run of segments, each of which starts from the network of the previous one. A chain
-- depends only on the clip and the options, including its share of a budget. So processes that
-- share a clip take one chain after another, and write the same file as a single process.
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local files <const> = require "lunerv.compress.segment_files"
local layout <const> = require "lunerv.codec.layout"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local pieces <const> = require "lunerv.pieces"
local Progress <const> = require "lunerv.progress"
local request <const> = require "lunerv.compress.request"
local scenes <const> = require "lunerv.compress.scenes"
local Team <const> = require "lunerv.train.team"

local segments <const> = {}

-- A network can start a segment whose length differs by at most this share from the one it was
-- sized for.
local largest_change <const> = 0.25

-- Whether the command line's options `o` ask for segments.
function segments.wanted(o) return o.gop ~= nil or o.scene_cuts == true end

-- Whether several processes share the segments, or may do so.
function segments.shared(o) return o.share == true or select(2, native.ranks()) > 1 end

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

-- The chains of a split: a list of { first, last, frames }, numbers of segments. A segment starts
-- from the previous one unless their lengths differ too much; `o` holds warm_start and chain.
function segments.chains(list, o)
  local chains, chain, sized_for = {}, nil, nil
  for k, segment in ipairs(list) do
    local frames = segment.last - segment.first + 1
    if not chain or not o.warm_start or o.chain and k - chain.first >= o.chain
      or math.abs(frames - sized_for) > largest_change * sized_for
    then
      chain, sized_for = { first = k, frames = 0 }, frames
      chains[#chains + 1] = chain
    end
    chain.last, chain.frames = k, chain.frames + frames
  end
  return chains
end

-- The work -----------------------------------------------------------------------------------

-- The bytes that a segment saves by sharing the decoder of the file at `stem`.
local function decoder_bytes(stem)
  local info = codec.info(stem .. ".lnv")
  return info and layout.entry + #info.decoder or 0
end

local sums <const> = { "psnr", "psnr_8bit", "ms_ssim" }

local function result_of(file, frames, cost)
  local result = { bytes = file.bytes, frames = frames, seconds = file.seconds, cost = cost }
  for _, figure in ipairs(sums) do result[figure] = file[figure] end
  return result
end

-- The options of segment `k`, whose frames are `part`, and the bytes that it saves by sharing a
-- decoder. `chain` holds its remaining frames and bytes.
local function own_options(run, k, part, chain)
  local o = run.o
  local own = options.copy(o)
  own.gop, own.scene_cuts, own.bpp, own.bytes = nil, false, nil, nil
  own.out, own.label = files.base(o, k), ("segment %d of %d"):format(k, #run.list)
  if k > chain.first then own.start = files.network(o, k - 1) end
  local shared = 0
  if chain.bytes_left then
    -- It shares the previous segment's decoder, which the joined file stores once; unless a static
    -- map follows the camera: the decoder names that map's size.
    local follows = o.follow_camera and own.start and (own.start.settings.static_dim or 0) > 0
    shared = own.start and not follows and decoder_bytes(files.base(o, k - 1)) or 0
    own.bytes = math.floor(chain.bytes_left * (#part / chain.frames_left))
      + layout.saved_bytes(part)
    if own.bytes < 1 then
      errors.data("%d bytes are too few for %d segments of this clip", run.asked, #run.list)
    end
    own.bytes = own.bytes + shared
  end
  if run.deadline then
    own.minutes = math.max(run.deadline - native.time(), 0.1) * #part / run.frames_left / 60
  end
  return own, shared
end

-- Compresses segment `k`; returns its result.
local function work(run, k, chain)
  local o, range = run.o, run.list[k]
  local part <close> = run.clip:part(range.first, range.last)
  -- The first weights of a segment do not depend on earlier segments, which a resumed run skips.
  native.seed(o.seed + k - 1)
  local own, shared = own_options(run, k, part, chain)
  local name = own.label
  run.say(("%s: frames %d to %d%s"):format(name, range.first, range.last,
    own.start and ", starting from the previous network" or ""))
  -- Until the file is final, an earlier one may be at its path.
  local draft, final = own.out .. "/segment.lnv", own.out .. ".lnv"
  local file, problem = run.one(draft, part, own,
    function(line) run.say(name .. ": " .. line) end)
  errors.must(file, problem, name)
  file.path = final
  run.say(("%s: %s"):format(name, file))
  if k < chain.last then files.keep_network(o, k, file.model) end
  errors.must(native.write_file(final, file.contents or native.read_file(draft)))
  local result = result_of(file, #part, file.bytes - layout.saved_bytes(part) - shared)
  files.finish(o, k, result)
  if native.exists(draft) then native.remove(draft) end
  return result
end

-- Compresses the segments of a chain that are not done. Bytes that a segment does not use go to the
-- next ones of the chain. is_held(): whether this process still has the chain.
local function work_chain(run, chain, is_held)
  chain.bytes_left = run.bytes and math.floor(run.bytes * chain.frames / #run.clip)
  chain.frames_left = chain.frames
  for k = chain.first, chain.last do
    if not is_held() then
      run.say(("segments from %d on: another process has them, because this one hung"):format(k))
      return
    end
    local result = files.done(run.o, k)
    if result then
      run.say(("segment %d of %d: already done"):format(k, #run.list))
    else
      result = work(run, k, chain)
    end
    files.tidy(run.o, k)
    run.results[k] = result
    if chain.bytes_left then chain.bytes_left = chain.bytes_left - result.cost end
    chain.frames_left = chain.frames_left - result.frames
    run.frames_left = run.frames_left - result.frames
  end
end

local function work_alone(run)
  for _, chain in ipairs(run.chains) do
    work_chain(run, chain, function() return true end)
  end
end

-- Indices of chains by their expected time, longest first: by the number of frames.
local function longest_first(chains)
  local order = {}
  for c in ipairs(chains) do order[c] = c end
  table.sort(order, function(a, b)
    if chains[a].frames ~= chains[b].frames then return chains[a].frames > chains[b].frames end
    return a < b
  end)
  return order
end

-- Takes chains until all are done, by this process or others.
local function work_together(run)
  local chains, names = run.chains, {}
  for c, chain in ipairs(chains) do names[c] = ("segment-%03d"):format(chain.first) end
  local shared <const> = pieces.open(run.o.out, run.o.deadline, names, function(c)
    for k = chains[c].first, chains[c].last do
      run.results[k] = run.results[k] or files.done(run.o, k)
      if not run.results[k] then return false end
    end
    return true
  end, longest_first(chains))
  function shared.on_wait(count)
    run.say(("waiting for other processes, which have %d of %d chains"):format(count, #chains))
  end
  shared:run(function(c)
    work_chain(run, chains[c], function() return shared:is_held() end)
  end)
end

-- The file ------------------------------------------------------------------------------------

-- Adds to `file` the figures of all segments.
local function add_up(run, file)
  local total = { seconds = 0 }
  for _, figure in ipairs(sums) do total[figure] = 0 end
  for _, result in ipairs(run.results) do
    total.seconds = total.seconds + result.seconds
    for _, figure in ipairs(sums) do
      total[figure] = total[figure] + result[figure] * result.frames / #run.clip
    end
  end
  for name, value in pairs(total) do file[name] = value end
  return setmetatable(file, codec.File)
end

-- Joins the segments to `path`.
local function join(run, path, finish)
  local clip, paths = run.clip, {}
  for k in ipairs(run.list) do paths[k] = files.base(run.o, k) .. ".lnv" end
  local file, message = codec.join(path, paths, { fps = clip.fps, timestamps = clip.timestamps })
  if not file then return nil, message end
  add_up(run, file)
  finish(file)
  run.say(("%d segments in %s"):format(#run.list, Progress.duration(file.seconds)))
  return file
end

-- Calls body(), which returns a file, in one of several processes, as the piece `name`. The other
-- processes read the file, and mark it as `elsewhere`.
local function once(run, path, name, is_done, body)
  local file
  local shared <const> = pieces.open(run.o.out, run.o.deadline, { name }, is_done)
  function shared.on_wait() run.say "waiting for another process, which writes the file" end
  shared:run(function() file = body() end)
  if file then return file end
  file = errors.must(codec.info(path))
  file.path, file.elsewhere = path, true
  return add_up(run, file)
end

-- A clip that is one segment. It has the folder and the options of a clip without segments.
local function single(run, path, finish)
  run.say "one segment: the clip has no cuts and fits the longest segment"
  local own = options.copy(run.o)
  own.gop, own.scene_cuts = nil, false
  if not run.shared then
    local file, problem = run.one(path, run.clip, own, run.say)
    if not file then return nil, problem end
    finish(file)
    return file
  end
  return once(run, path, "segment-001", function()
    run.results[1] = files.done(own, 1, path)
    return run.results[1] ~= nil
  end, function()
    local file = errors.must(run.one(path, run.clip, own, run.say))
    finish(file)
    files.finish(own, 1, result_of(file, #run.clip))
    return file
  end)
end

local function check_shared(o)
  if o.minutes then
    errors.fail("usage", "compress.file: minutes: expected no limit of time where processes share "
      .. "a clip, as each would plan by its own clock: give --epochs and --compress-epochs")
  end
end

-- Compresses `clip`, segment by segment, into `path`; see compress.file. A budget of bytes or
-- minutes is shared in proportion to frames. one(path, clip, o, say) compresses one segment;
-- finish(file) is called by the process that writes the file.
function segments.file(path, clip, o, say, one, finish)
  local shared, asked = segments.shared(o), request.facts(o, clip)
  local function split() return segments.split(clip, o) end
  local run = { clip = clip, say = say, one = one, shared = shared, results = {},
    asked = request.bytes(o, clip), frames_left = #clip, o = options.copy(o) }
  if shared then
    check_shared(o)
    run.o.deadline = o.deadline or 60
    native.set_rank_deadline(run.o.deadline)
    run.list = files.settle_together(run.o, asked, split)
    -- A process continues where another stopped.
    run.o.resume = true
  else
    run.list = files.settle(o, asked, split)
  end
  if #run.list == 1 then return Team.apart(single, run, path, finish) end
  run.chains = segments.chains(run.list, o)
  local in_chains = shared or #run.chains > 1 and #run.chains < #run.list
  say(("%d segments%s"):format(#run.list, in_chains and (" in %d chain%s"):format(#run.chains,
    #run.chains > 1 and "s" or "") or ""))
  if shared and #run.chains == 1 then
    say("note: each segment starts from the previous one, so one process does all the work; "
      .. "--chain N begins a new chain after N segments, --no-warm-start with each one")
  end
  run.bytes = run.asked and run.asked - layout.common_bytes(clip, #run.list)
  run.deadline = o.minutes and native.time() + 60 * o.minutes
  if not shared then
    work_alone(run)
    return join(run, path, finish)
  end
  Team.apart(work_together, run)
  return once(run, path, "joined", function() return files.is_joined(run.o, path) end, function()
    local file = errors.must(join(run, path, finish))
    files.mark_joined(run.o, path, file.bytes)
    return file
  end)
end

return segments
