-- lunerv bench --ranks N --work segments|batch: N ranks of one thread that share the segments of a
-- clip, or the clips of a batch, compared with N processes that each compress a part by themselves
-- at the same time: the upper bound for N.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local process <const> = require "lunerv.bench.process"
local quality <const> = require "lunerv.bench.quality"
local scratch <const> = require "lunerv.scratch"
local steps <const> = require "lunerv.bench.steps"
local video <const> = require "lunerv.video"

local sharing <const> = {}

local quoted <const>, median <const> = process.quoted, steps.median

-- The number of turns of each side.
local rounds <const> = 3
-- Pieces per process, all of equal length, so that no process waits for another at the end.
local pieces_each <const> = 4
-- The fewest frames of a segment.
local shortest <const> = 2

-- Compresses all clips of the folder arg[1], as scripts/batch.lua does.
local batch <const> = [[
  local lv <const> = require "lunerv"
  local commands <const> = require "lunerv.commands"
  local folder <const>, out <const> = arg[1], arg[2]
  local result <const> = lv.batch { clips = folder, out = out, threads = 1,
    each = function(clip, path)
      local words <const> = table.move(arg, 3, #arg, 1, {})
      table.move({ "--output=" .. path .. ".lnv", "--", clip }, 1, 3, #words + 1, words)
      return (commands.compress_file(lv.options.parse(words,
        { command = "compress_file", usage = "", positional = { "clip" } }), print, words))
    end }
  if result.failed > 0 then error(result.rows[1].message, 0) end
]]

-- Runs shell commands at the same time: a list of the seconds that each takes. Their output goes to
-- files in `folder`.
local function seconds_of(commands, folder)
  local parts = {}
  for i, command in ipairs(commands) do
    local log = quoted(folder .. "/log-" .. i)
    parts[i] = ([[{ began=$(date +%%s.%%N); { %s; } >%s 2>&1 </dev/null
      echo "%d $? $began $(date +%%s.%%N)"; } &]]):format(command, log, i)
  end
  local list, problem = {}, nil
  process.run("sh -c " .. quoted(table.concat(parts, "\n") .. "\nwait"), function(line)
    local i, code, began, ended = line:match "^(%d+) (%d+) ([%d.]+) ([%d.]+)$"
    if code == "0" then list[tonumber(i) // 1 | 0] = tonumber(ended) - tonumber(began) end
    if code ~= "0" then problem = problem or i or line end
  end)
  if problem or #list ~= #commands then
    local log = native.read_file(folder .. "/log-" .. (problem or 1)) or ""
    errors.fail("data", "bench: ranks: a process failed: %s",
      log:match "lunerv: [^\n]*" or log:match "[^\n]*%a[^\n]*" or "it printed nothing")
  end
  return list
end

-- The two sides' commands for segments: `length` frames each, every one with its own network.
local function segments(o, folder)
  local function command(first, last, name)
    return ("%s compress -o %s --frames %d,%d --gop %d --chain 1 %s -- %s"):format(
      quoted(o.program), quoted(("%s/%s.lnv"):format(folder, name)), first, last, o.length,
      o.options, quoted(o.path))
  end
  local alone, part = {}, pieces_each * o.length
  for i = 1, o.ranks do alone[i] = command((i - 1) * part + 1, i * part, "alone-" .. i) end
  return alone, command(1, o.ranks * part, "together")
end

-- The same for a batch of clips, all with the clip's first frames.
local function clips(o, folder)
  local function command(name, from, to)
    local inputs = ("%s/%s-clips"):format(folder, name)
    native.make_dirs(inputs)
    for i = from, to do
      local link = ("%s/%d%s"):format(inputs, i, o.path:match "%.%w+$" or ".mkv")
      os.execute(('ln -s "$(realpath %s)" %s'):format(quoted(o.path), quoted(link)))
    end
    return ("%s run -e %s -- %s %s --frames 1,%d %s"):format(quoted(o.program), quoted(batch),
      quoted(inputs), quoted(folder .. "/" .. name), o.length, o.options)
  end
  local alone = {}
  for i = 1, o.ranks do
    alone[i] = command("alone-" .. i, (i - 1) * pieces_each + 1, i * pieces_each)
  end
  return alone, command("together", 1, o.ranks * pieces_each)
end

sharing.kinds = { segments = segments, batch = clips }

--- The figures of `lunerv bench --ranks N --work segments|batch`: frames per second of both sides
--- and their ratio, medians of three rounds. Time is that of whole processes, from their start.
---
---@param o table  ranks, work, clip (path; nil: the sample clip), passes (20)
---@return table
function sharing.measure(o)
  local path = quality.clip_path(o)
  local clip <close> = errors.must(video.open(path))
  local length = #clip // (o.ranks * pieces_each)
  if length < shortest then
    errors.data("bench: ranks: expected a clip of at least %d frames, got %d",
      o.ranks * pieces_each * shortest, #clip)
  end
  local passes = o.passes or 20
  local job = {
    ranks = o.ranks, path = path, length = length, program = native.executable(),
    options = ("--params 100k --epochs 1 --compress-epochs %d --threads 1"):format(passes - 1),
  }
  local mpirun = os.getenv "LUNERV_MPIRUN" or "mpirun"
  local folder = scratch.folder()
  local function tidy() folder:remove() end

  local alone, together, share = {}, {}, {}
  bridge.on_error(function()
    for round = 1, rounds do
      local here = ("%s/%d"):format(folder.path, round)
      native.make_dirs(here)
      local separate, joint = sharing.kinds[o.work](job, here)
      local frames, sum = pieces_each * length, 0
      for _, seconds in ipairs(seconds_of(separate, here)) do sum = sum + frames / seconds end
      alone[round] = sum
      local line = ("LUNERV_RANK_OUTPUT=all %s -n %d %s"):format(mpirun, o.ranks, joint)
      together[round] = o.ranks * frames / seconds_of({ line }, here)[1]
      share[round] = together[round] / alone[round]
    end
  end, tidy)
  tidy()
  local separate, joint = median(alone), median(together)
  return {
    ranks = o.ranks, work = o.work, pieces = o.ranks * pieces_each, frames_per_piece = length,
    passes = passes,
    alone_frames_per_second = separate, ranks_frames_per_second = joint, share = median(share),
    seconds = o.ranks * pieces_each * length / joint,
  }
end

-- Measures and prints the figures.
function sharing.main(o)
  local result = sharing.measure(o)
  if o.json then
    print(native.json_encode(result))
    return
  end
  print(("%s: %d of %d frames, %d passes; %d ranks of one thread, medians of %d rounds in turns")
    :format(o.work == "batch" and "batch of clips" or "segments", result.pieces,
      result.frames_per_piece, result.passes, o.ranks, rounds))
  print(("  independent       %8.3f frames/s in total"):format(result.alone_frames_per_second))
  print(("  ranks             %8.3f frames/s (%.1f %%), %.0f s for all"):format(
    result.ranks_frames_per_second, 100 * result.share, result.seconds))
end

return sharing
