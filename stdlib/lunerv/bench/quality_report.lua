-- Reports of `lunerv bench --quality`: for a terminal, as the README's table, and as a plot of PSNR
-- against seconds.
local native <const> = require "lunerv.native"
local plot <const> = require "lunerv.plot"
local report <const> = require "lunerv.bench.report"

local quality_report <const> = {}

-- Data read back from a file has null for missing values.
local function some(value) return value ~= native.json_null and value or nil end

-- "3 passes"
function quality_report.passes(count)
  return count == 1 and "1 pass" or ("%d passes"):format(count)
end

local function title(side)
  if side.program == "PyTorch" then return "PyTorch, published" end
  return "lunerv, " .. side.recipe
end

-- "HNeRV-Boost (0.35 million) on bunny.mp4, 132 frames of 320x180"
local function subject(q)
  local millions = some(q.millions)
  return ("%s%s on %s, %d frames of %dx%d"):format(report.title(q),
    millions and (" (%g million)"):format(millions) or "", q.clip, q.frames, q.width, q.height)
end

-- "2: 24.31 dB, 30 s; 3: 27.02 dB, 43.2 s"
local function tried(side)
  local list = {}
  for i, run in ipairs(side.tried) do
    list[i] = ("%d: %.2f dB, %s"):format(run.passes, run.psnr, report.duration(run.seconds))
  end
  return #list > 0 and table.concat(list, "; ") or "none"
end

-- The smallest share of processor time taken by other programs that is worth a note.
local disturbing <const> = 0.1

-- A note on the figures of a side, or nil.
local function note(side)
  local reason, reached, notes = some(side.reason), some(side.reached), {}
  if reason then
    notes[1] = reached and "shorter schedules not all tried: " .. reason or reason
  end
  local others = reached and some(reached.others)
  if others and others > disturbing then
    notes[#notes + 1] = ("disturbed: other programs took %.0f %% of the processors"):format(
      100 * others)
  end
  return #notes > 0 and table.concat(notes, "; ") or nil
end

-- How PyTorch ran, or nil if it did not.
local function allocator(q)
  for _, side in ipairs(q.sides) do
    local name = some(side.allocator)
    if name == "jemalloc" or name == "glibc_retain" then
      return ("PyTorch runs at its best, with %s keeping freed pages."):format(
        name == "jemalloc" and name or "glibc's allocator")
    end
  end
end

function quality_report.text(result)
  local q, lines = result.quality, {}
  local function add(text, ...) lines[#lines + 1] = text:format(...) end
  add("Time to %g dB: %s, %d threads", q.to, subject(q), q.threads)
  add "                         seconds   passes       PSNR      times"
  add "                                                           fast"
  for _, side in ipairs(q.sides) do
    local reached, ratio = some(side.reached), some(side.ratio)
    if some(side.skipped) then
      add("  %-20s skipped: %s", title(side), side.skipped)
    elseif reached then
      add("  %-20s %9.1f %8d %7.2f dB %10s", title(side), reached.seconds, reached.passes,
        reached.psnr, ratio and ("%.2f"):format(ratio) or "–")
    else
      add("  %-20s no answer: %s", title(side), note(side) or "–")
    end
  end
  add ""
  add "Schedules tried, in this order (passes: PSNR, time):"
  for _, side in ipairs(q.sides) do
    if not some(side.skipped) then
      add("  %-20s %s", title(side), tried(side))
      if some(side.reached) and note(side) then add("  %-20s %s", "", note(side)) end
    end
  end
  add ""
  add "Each is a complete schedule in its own process. The clock runs from before the process"
  add "starts until it has ended: reading the clip and the evaluation are included."
  if allocator(q) then add("%s", allocator(q)) end
  return table.concat(lines, "\n")
end

function quality_report.markdown(result)
  local q, m, lines, version = result.quality, result.machine, {}, nil
  local function add(text, ...) lines[#lines + 1] = text:format(...) end
  for _, side in ipairs(q.sides) do version = version or some(side.version) end
  add("`%s`: %s, %d threads%s.", result.command, m.processor, q.threads,
    version and ", PyTorch " .. version or "")
  add ""
  add("| to %g dB | seconds | passes | PSNR | schedules tried, in this order |", q.to)
  add "|---|---:|---:|---:|---|"
  for _, side in ipairs(q.sides) do
    local reached, ratio = some(side.reached), some(side.ratio)
    if some(side.skipped) then
      add("| %s | – | – | – | skipped: %s |", title(side), side.skipped)
    else
      local times = ratio and ratio ~= 1 and (" (**%.3g×**)"):format(ratio) or ""
      add("| %s | %s | %s | %s | %s%s |", title(side),
        reached and ("%.1f%s"):format(reached.seconds, times) or "–",
        reached and reached.passes or "–", reached and ("%.2f dB"):format(reached.psnr) or "–",
        tried(side), note(side) and " (" .. note(side) .. ")" or "")
    end
  end
  add ""
  add("%s: the shortest whole schedule whose evaluation reaches %g dB, start of the process, "
    .. "reading the clip and evaluation included; in brackets over the first row's seconds.%s",
    subject(q), q.to, allocator(q) and " " .. allocator(q) or "")
  return table.concat(lines, "\n")
end

-- PSNR against seconds of every side's result, or of its best attempt if it has none: its passes as
-- seen during training, then the evaluation; and the PSNR to reach.
function quality_report.svg(result)
  local q, last = result.quality, 0
  local picture = plot {
    x = { label = "seconds since the process was started" }, y = { label = "PSNR, dB" },
  }
  for _, side in ipairs(q.sides) do
    local run = some(side.reached)
    for _, other in ipairs(not run and side.tried or {}) do
      if not run or other.psnr > run.psnr then run = other end
    end
    if run then
      local seconds, psnr = {}, {}
      for i, point in ipairs(run.points) do seconds[i], psnr[i] = point[1], point[2] end
      picture:line(("%s, %s"):format(side.name, quality_report.passes(run.passes)), seconds, psnr)
      last = math.max(last, run.seconds)
    end
  end
  picture:line(("%g dB"):format(q.to), { 0, last }, { q.to, q.to }, { dashed = true })
  return picture:svg()
end

return quality_report
