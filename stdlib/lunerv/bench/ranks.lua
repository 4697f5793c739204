-- lunerv bench --ranks N: a training step on N ranks of one thread, compared with as many processes
-- of one thread that train independently at the same time: the upper bound for N ranks.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local process <const> = require "lunerv.bench.process"
local sharing <const> = require "lunerv.bench.sharing"
local sizes <const> = require "lunerv.bench.sizes"
local steps <const> = require "lunerv.bench.steps"
local Team <const> = require "lunerv.train.team"
local loss <const> = require "lunerv.loss"
local optim <const> = require "lunerv.optim"
local options <const> = require "lunerv.options"

local ranks <const> = {}

local quoted <const>, median <const> = process.quoted, steps.median

-- Sizes of frames; the largest is too large for the other benchmarks.
local geometries <const> = setmetatable({
  ["1080p"] = { height = 1080, width = 1920, strides = { 5, 3, 2, 2, 2 }, enc_dim = { 64, 16 },
    steps = 3, kinds = { hnerv_boost = { 3 }, hnerv = { 3 } } },
}, { __index = sizes })

-- The number of turns of each side.
local rounds <const> = 5

-- A rank --------------------------------------------------------------------------------------

-- The work of a process: `count` steps, each on its own frame. Prints the seconds of each step; on
-- ranks also the bytes sent and the seconds spent waiting.
function ranks.work(model, size, count)
  native.set_threads(1)
  local rank, width = native.ranks()
  local net, frame = steps.build { model = model, geometry = geometries[size] }
  local rate = options.default("lr", model)
  local optimiser = optim.by_name(options.default("optimiser", model))(net:parameters(),
    { lr = rate })
  local loss_of = loss.by_name(options.default("loss", model))
  local o = { model = net }
  local team = Team.of(o, optimiser, net:parameters())
  local seconds, sent, waited = {}, 0, 0
  for step = -1, count do
    if width > 1 then native.ranks_gather("", "step") end
    local began, bytes, wait = native.time(), native.rank_stats()
    if width > 1 then team:begin(width) end
    optimiser:zero_grad()
    local value = loss_of(net:reconstruct(frame), frame.image, frame, 0)
    if width > 1 then
      team.exchange:backward(rank + 1, value)
      team:agree(function() return { value:item() } end, "step")
      team.exchange:finish(false)
    else
      value:backward()
    end
    optimiser:step()
    if width > 1 then team.exchange:spread() end
    if step > 0 then -- the first two allocate memory and make plans
      local now_bytes, now_wait = native.rank_stats()
      seconds[#seconds + 1] = native.time() - began
      sent, waited = sent + now_bytes - bytes, waited + now_wait - wait
    end
  end
  local result = { seconds = median(seconds), bytes = sent / count, waited = waited / count }
  if width > 1 then
    -- A small message to all and back, and many bytes from one to another.
    local began = native.time()
    for _ = 1, 100 do native.ranks_gather("", "latency") end
    result.latency = (native.time() - began) / 100
    local block = native.zeros(1 << 22)
    native.ranks_broadcast(rank == 0 and block or nil, { 1 << 22 }, "f32", 0, "bandwidth")
    began = native.time()
    for _ = 1, 5 do
      native.ranks_broadcast(rank == 0 and block or nil, { 1 << 22 }, "f32", 0, "bandwidth")
      native.ranks_gather("", "bandwidth")
    end
    result.bandwidth = 5 * (1 << 24) / (native.time() - began)
  end
  print(native.json_encode(result))
end

-- The model ---------------------------------------------------------------------------------

-- The number of small exchanges in a step of lv.train: the losses, and requests to stop.
local exchanges <const> = 2

--- The seconds of a step on `count` ranks on separate machines, one frame each, from the figures of
--- ranks.measure:
---
---     T(n) = t + 2·(n − 1)·l + (n − 1)/n · b / B
---
--- t is a step of one process, l an exchange with one other rank, b the bytes of all gradients and
--- all values, and B the bandwidth between two ranks. A rank sends b except for its own n-th part.
--- The model assumes that a rank sends its messages one after another, that nothing overlaps with
--- computing, and that the network carries the B of every rank at the same time. Gradients, half of
--- b, are partly sent during the backward pass, so a step may be faster than this by that part.
---
---@param measured table  a result of ranks.measure
---@param count integer
---@return number
function ranks.model(measured, count)
  local bytes = measured.bytes_per_step * measured.ranks / (measured.ranks - 1)
  local l = measured.latency / (measured.ranks - 1)
  return measured.seconds_alone + exchanges * (count - 1) * l
    + (count - 1) / count * bytes / measured.bandwidth
end

-- The model for 2, 4 … 256 ranks.
local function modelled(measured)
  local list = {}
  for k = 1, 8 do
    local count = 1 << k
    local seconds = ranks.model(measured, count)
    list[k] = { ranks = count, seconds_per_step = seconds, frames_per_second = count / seconds,
      share = measured.seconds_alone / seconds }
  end
  return list
end

-- Both sides ----------------------------------------------------------------------------------

local function command(o)
  return ("%s run -e %s -- %s %s %d"):format(quoted(native.executable()),
    quoted "require('lunerv.bench.ranks').work(arg[1], arg[2], tonumber(arg[3]) // 1 | 0)",
    o.model, o.size, o.steps)
end

-- The results in lines of JSON.
local function read(text, count)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local ok, result = pcall(native.json_decode, line)
    if ok and type(result) == "table" and result.seconds then list[#list + 1] = result end
  end
  if #list ~= count then
    errors.fail("data", "bench: ranks: expected %d results, got %d: %s", count, #list,
      text:match "lunerv: [^\n]*" or text:match "[^\n]+" or "nothing was printed")
  end
  return list
end

local function output_of(line)
  local pipe <close> = assert(io.popen(line))
  return pipe:read "a"
end

-- Frames per second of all processes together.
local function rate_of(list)
  local sum = 0
  for _, result in ipairs(list) do sum = sum + 1 / result.seconds end
  return sum
end

local function alone(o)
  local one = command(o)
  local parts = {}
  for i = 1, o.ranks do parts[i] = ("(env -u OMPI_COMM_WORLD_SIZE %s 2>&1) &"):format(one) end
  return read(output_of(table.concat(parts, " ") .. " wait"), o.ranks)
end

local function together(o)
  local line = ("LUNERV_RANK_OUTPUT=all %s -n %d %s 2>&1"):format(o.mpirun, o.ranks, command(o))
  return read(output_of(line), o.ranks)
end

--- The figures of `lunerv bench --ranks`: frames per second of both sides and their ratio, medians
--- of the rounds; for a step on ranks, the share spent waiting and the bytes that a rank sends; and
--- `scale`, the result of ranks.model.
---
---@param o table  ranks, model, size, steps
---@return table
function ranks.measure(o)
  o.mpirun = os.getenv "LUNERV_MPIRUN" or "mpirun"
  local lists = { alone = {}, together = {}, share = {}, waited = {}, seconds = {} }
  local last
  for round = 1, rounds do
    lists.alone[round] = rate_of(alone(o))
    last = together(o)
    lists.together[round] = rate_of(last)
    -- Machines drift: the two sides of a round are the closest in time.
    lists.share[round] = lists.together[round] / lists.alone[round]
    lists.waited[round], lists.seconds[round] = last[1].waited, last[1].seconds
  end
  local separate, joint = median(lists.alone), median(lists.together)
  local result = {
    ranks = o.ranks, model = o.model, size = o.size, steps = o.steps,
    seconds_alone = o.ranks / separate, alone_frames_per_second = separate,
    ranks_frames_per_second = joint, share = median(lists.share),
    seconds_per_step = median(lists.seconds), waiting_share = median(lists.waited)
      / median(lists.seconds), bytes_per_step = last[1].bytes, latency = last[1].latency,
    bandwidth = last[1].bandwidth,
  }
  result.scale = modelled(result)
  return result
end

-- The options of lunerv bench for measurements of another kind.
local foreign <const> = { "modes", "minutes", "compiled", "algorithms", "markdown", "save", "svg",
  "from", "to", "head_scale", "threads" }

-- What is wrong with options that would have no effect, or nil.
local function without_effect(o, work)
  for _, name in ipairs(foreign) do
    local spelt = name == "modes" and o.modes and o.modes[1] or name:gsub("_", "-")
    if o[name] then return ("--%s: expected no --ranks, got both"):format(spelt) end
  end
  if o.torch == false then return "--no-torch: expected no --ranks, got both" end
  if work == "training" then
    return o.clip and "CLIP: expected --work segments or batch with it"
  end
  for _, name in ipairs { "model", "size" } do
    if o[name] then return ("--%s: expected --work training, got %s"):format(name, work) end
  end
end

-- Runs the command and prints the figures. Returns the error in the options, or nil.
function ranks.main(o)
  if math.type(o.ranks) ~= "integer" or o.ranks < 2 or o.ranks > 256 then
    return ("--ranks: expected an integer from 2 to 256, got %s"):format(tostring(o.ranks))
  end
  if native.versions().mpi == "" then
    return "--ranks: built without MPI: scripts/setup --mpi installs what it needs, swift build -c "
      .. "release --traits MPI builds it in"
  end
  local work <const> = o.work or "training"
  if work ~= "training" and not sharing.kinds[work] then
    return ("--work: expected training, segments or batch, got '%s'"):format(work)
  end
  local wrong <const> = without_effect(o, work)
  if wrong then return wrong end
  if o.steps and o.steps < 1 then
    return ("--steps: expected at least 1 step, got %d"):format(o.steps)
  end
  if work ~= "training" then
    if o.steps and o.steps < 2 then
      return ("--steps: expected at least 2 passes with --work %s, got %d"):format(o.work, o.steps)
    end
    return sharing.main { ranks = o.ranks, work = o.work, clip = o.clip, scripts = o.scripts,
      passes = o.steps, json = o.json }
  end
  local model, size = o.model or options.default "model", o.size or "180p"
  if not geometries[size] then return ("unknown size '%s'"):format(size) end
  local known = false
  for _, kind in ipairs(options.kinds) do known = known or kind == model end
  if not known then
    return ("unknown model '%s' (known: %s)"):format(model, errors.list(options.kinds))
  end
  local result = ranks.measure { ranks = o.ranks, model = model, size = size,
    steps = o.steps or geometries[size].steps }
  if o.json then
    print(native.json_encode(result))
    return
  end
  print(("%s, %s: %d ranks of one thread, medians of %d rounds in turns"):format(model, size,
    o.ranks, rounds))
  print(("  independent       %8.3f frames/s in total"):format(result.alone_frames_per_second))
  print(("  ranks             %8.3f frames/s (%.1f %%)"):format(result.ranks_frames_per_second,
    100 * result.share))
  print(("  a step            %8.4f s, %.1f %% of it waiting; a rank sends %.2f MB"):format(
    result.seconds_per_step, 100 * result.waiting_share, result.bytes_per_step / 1e6))
  print(("  an exchange       %8.1f µs; %.2f GB/s from one to another"):format(
    1e6 * result.latency, result.bandwidth / 1e9))
  print "  predicted for separate machines, from latency and bandwidth:"
  print "       ranks    s/step   frames/s     efficiency"
  for _, row in ipairs(result.scale) do
    print(("    %8d %9.4f %10.2f %12.1f %%"):format(row.ranks, row.seconds_per_step,
      row.frames_per_second, 100 * row.share))
  end
end

return ranks
