-- lunerv bench: how fast this machine trains and decodes, beside PyTorch in the same run. Figures
-- drift with load and temperature: what counts are the ratios within one run.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local sources <const> = require "lunerv.sources"
local kernels <const> = require "lunerv.bench.kernels"
local plan <const> = require "lunerv.bench.plan"
local process <const> = require "lunerv.bench.process"
local Progress <const> = require "lunerv.progress"
local quality <const> = require "lunerv.bench.quality"
local quality_report <const> = require "lunerv.bench.quality_report"
local report <const> = require "lunerv.bench.report"
local roofline <const> = require "lunerv.bench.roofline"
local sizes <const> = require "lunerv.bench.sizes"
local steps <const> = require "lunerv.bench.steps"

local bench <const> = { sizes = sizes }

-- Those that "all" means: how fast things are; and every one.
local speeds <const> = { "decode", "kernels", "loss", "train" }
local modes <const> = { "decode", "kernels", "loss", "quality", "train" }
local null <const> = native.json_null

-- Options -----------------------------------------------------------------------------------

local function size_names()
  local names = {}
  for name in pairs(sizes) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function unknown(what, list, known)
  for _, value in ipairs(list or {}) do
    local found = false
    for _, name in ipairs(known) do found = found or name == value end
    if not found then
      return ("unknown %s '%s' (known: %s)"):format(what, value, errors.list(known))
    end
  end
  return nil
end

local function not_whole(name, list, most)
  for _, value in ipairs(list) do
    if math.type(value) ~= "integer" or value < 1 or value > most then
      return ("%s: expected an integer from 1 to %d, got %s"):format(name, most, value)
    end
  end
  return nil
end

-- One value, a list, or text with commas between them ("all": everything known), as a list.
local function list_of(value, known)
  if value == nil or type(value) == "table" then return value end
  if value == "all" and known then return known end
  if type(value) ~= "string" then return { value } end
  local list = {}
  for item in (value .. ","):gmatch "([^,]*)," do
    list[#list + 1] = known and item or math.tointeger(tonumber(item)) or item
  end
  return list
end

-- `given` with its lists, and what is wrong with it, or nil.
local function read(given)
  local o = {}
  for name, value in pairs(given) do o[name] = value end
  o.modes = list_of(given.modes or given.mode, speeds)
  o.mode = nil
  o.models = list_of(given.model, options.kinds)
  o.size_names = list_of(given.size, size_names())
  o.thread_counts = list_of(given.threads) or {}
  o.model, o.size, o.threads = nil, nil, nil
  return o, unknown("mode", o.modes, modes) or unknown("model", o.models, options.kinds)
    or unknown("size", o.size_names, size_names()) or not_whole("steps", { o.steps }, 1000000)
    or not_whole("threads", o.thread_counts, 256)
    or o.minutes ~= nil and not (type(o.minutes) == "number" and o.minutes > 0)
      and ("minutes: expected a positive number, got %s"):format(o.minutes)
    or quality.wrong(o, given)
end

-- `given` completed and checked.
local function settle(given)
  local checked = options(given, {}, {
    "mode", "modes", "model", "size", "threads", "steps", "minutes", "torch", "compiled", "python",
    "scripts", "algorithms", "isolate", "clip", "to", "head_scale", "guess",
  })
  local o, wrong = read(checked)
  if wrong then errors.raise("%s", wrong) end
  if o.torch == nil then o.torch = true end
  o.python = o.python or "python3"
  -- A plan is for so long; a case asked for takes what it takes.
  if not o.modes then o.minutes = o.minutes or 10 end
  o.deadline = o.minutes and native.time() + 60 * o.minutes
  if #o.thread_counts == 0 then o.thread_counts = { native.threads() } end
  return o
end

-- All that one case needs, from the options for all.
local function complete(o, case)
  local size = sizes[case.size]
  return {
    mode = case.mode, model = case.model, size = case.size, threads = case.threads,
    geometry = size, warmup = 2, steps = o.steps or size and size.steps,
    torch_steps = o.steps or size and size.torch_steps, torch = o.torch, compiled = o.compiled,
    python = o.python, scripts = o.scripts, algorithms = o.algorithms, deadline = o.deadline,
  }
end

-- Cases -------------------------------------------------------------------------------------

-- What `--json` prints of a case, from our figures and PyTorch's answers. Times are seconds a
-- step, null where there is none; ratios are PyTorch's time over ours.
function bench.summary(o, ours, answers)
  local theirs = { skipped = {}, peak_rss_bytes = {} }
  local best
  for _, answer in ipairs(answers) do
    local result = answer.result
    theirs[answer.name] = result and result.seconds_per_step or null
    theirs.skipped[answer.name] = answer.reason or null
    theirs.peak_rss_bytes[answer.name] = result and result.peak_rss_bytes or null
    if result then
      theirs.version = result.torch_version
      if answer.name == "jemalloc" then theirs.allocator = result.allocator end
      best = math.min(best or math.huge, result.seconds_per_step)
    end
  end
  local function ratio(seconds)
    return type(seconds) == "number" and seconds / ours.seconds_per_step or null
  end
  return {
    mode = o.mode, model = o.model, size = o.size, threads = o.threads, lunerv = ours,
    torch = theirs, ratio_eager = ratio(theirs.eager), ratio_best = ratio(best),
  }
end

-- A case in a process of its own, so that its memory is its own too.
local function isolated(o, program)
  local quoted = process.quoted
  local words = {
    quoted(program), "bench --json", "--" .. o.mode, "--model", o.model, "--size", o.size,
    "--threads", o.threads, "--steps", o.steps,
  }
  if not o.torch then words[#words + 1] = "--no-torch" end
  if o.compiled then words[#words + 1] = "--compiled" end
  if o.deadline then
    words[#words + 1] = ("--minutes %.3f"):format(math.max(o.deadline - native.time(), 1) / 60)
  end
  if o.scripts then words[#words + 1] = "--scripts " .. quoted(o.scripts) end
  local lines = {}
  local code = process.run(table.concat(words, " "), function(line) lines[#lines + 1] = line end)
  local ok, result = pcall(native.json_decode, table.concat(lines, "\n"))
  if code == 0 and ok and type(result) == "table" then return result end
  return { name = plan.name(o), failed = ("failed with exit code %s"):format(code) }
end

local function measure_case(o, progress, program)
  if program then return isolated(o, program) end
  native.set_threads(o.threads)
  return bench.summary(o, steps.compare(o, function(text)
    progress:show(("%s: %s"):format(plan.name(o), text))
  end))
end

local function measure_kernels(o, models, size, progress)
  local list = kernels.shapes()
  if models then
    local model, frame = steps.build(complete(o, { model = models[1], size = size }))
    list = kernels.recorded(function() model:reconstruct(frame):evaluate() end)
  end
  return kernels.measure(list, function(text) progress:show(text) end, o.algorithms)
end

-- The cases of the options: those asked for, or as many as fit into the time. Also whether they
-- were chosen here, and the names of those left out.
local function chosen(o, roof)
  local list = {}
  local is_plan = not o.modes
  if is_plan then
    list = plan.cases(o.models, o.size_names)
  else
    for _, mode in ipairs(o.modes) do
      for _, model in ipairs(mode == "kernels" and { false }
        or o.models or { options.default "model" }) do
        for _, size in ipairs(mode == "kernels" and { false } or o.size_names or { "720p" }) do
          list[#list + 1] = { mode = mode, model = model or nil, size = size or nil }
        end
      end
    end
  end
  local cases = {}
  for _, threads in ipairs(o.thread_counts) do
    for _, case in ipairs(list) do
      cases[#cases + 1] = {
        mode = case.mode, model = case.model, size = case.size, threads = threads,
      }
    end
  end
  local function expected(case) return plan.expected_seconds(complete(o, case), roof) end
  if is_plan then return plan.fit(cases, 57 * o.minutes, expected) end
  local sum = 0
  for _, case in ipairs(cases) do sum = sum + expected(case) end
  return cases, {}, sum
end

-- Runs ---------------------------------------------------------------------------------------

local function machine()
  local text = native.read_file "/proc/cpuinfo" or ""
  return {
    processor = text:match "model name%s*: *([^\n]+)" or "unknown processor",
    threads = native.threads(),
  }
end

local function measure_all(o, cases, left_out, progress)
  local result = {
    cases = {}, left_out = {}, machine = machine(), command = o.command or "lunerv bench",
  }
  for i, case in ipairs(left_out) do result.left_out[i] = plan.name(case) end
  local program = o.isolate ~= false and #cases > 1 and native.executable() or nil
  local began, planned = native.time(), 0
  for i, case in ipairs(cases) do
    local settled = complete(o, case)
    progress:show(("%d of %d: %s"):format(i, #cases, plan.name(case)))
    local expected = plan.expected_seconds(settled, o.roof)
    -- On a busy machine all takes longer than expected: what comes will too.
    local factor = planned > 0 and math.max((native.time() - began) / planned, 1) or 1
    if i > 1 and o.deadline and native.time() + factor * expected > o.deadline then
      result.left_out[#result.left_out + 1] = plan.name(case)
      expected = 0
    elseif case.mode == "kernels" then
      native.set_threads(case.threads)
      result.kernels = measure_kernels(o, o.models, o.size_names and o.size_names[1] or "720p",
        progress)
      result.kernels.threads = case.threads
    else
      result.cases[#result.cases + 1] = measure_case(settled, progress, program)
    end
    planned = planned + expected
  end
  local k = result.kernels
  result.roof_gflops = math.max(o.roof, k and k.roof_gflops or 0)
  result.memory_gbs = native.memory_roof() -- last: it takes memory, and cases report their peak
  result.seconds = native.time() - began
  return result
end

-- Time to quality: the only mode that is measured alone.
local function measure_quality(o, progress, say)
  local began = native.time()
  local result = {
    cases = {}, left_out = {}, machine = machine(), command = o.command or "lunerv bench",
    quality = quality.run(o, progress, say),
  }
  result.seconds = native.time() - began
  return result
end

-- bench.run { modes = { "train" }, model = "hnerv_boost", size = "720p", … }: measures, and
-- returns plain data: { cases, left_out, kernels, machine, command, seconds }, where each case is
-- a `bench.summary`, or { name, failed }. Options:
--   modes     of train, decode, loss, kernels; without them as many cases as fit `minutes` (10);
--             or quality alone, with options of its own: see quality.run
--   minutes   with modes: after so long no turn and no further case begins (nil: all do)
--   model     kinds (hnerv_boost, or with no mode all), size (720p, or all), threads (all cores):
--             each one or a list; every combination is measured. For kernels: the convolutions of
--             that model, in place of a list of typical ones
--   steps     timed steps, on both sides (by size: lunerv 20, 10, 6, PyTorch 9, 6, 3)
--   torch     false: without PyTorch; `compiled`: PyTorch compiled as well
--   algorithms  kernels by every algorithm there is
--   scripts   the folder of torch_bench.py; `python`: the interpreter (python3)
--   isolate   false: several cases in this process, whose peak memory is then theirs together
-- `announce(seconds, roof, left_out)` is called with the expected duration before it starts; for
-- quality `say(line)` with what comes of each schedule.
function bench.run(given, announce, say)
  local o, progress = settle(given), Progress.new()
  if o.modes and o.modes[1] == "quality" then return measure_quality(o, progress, say) end
  o.roof = native.fma_roof()
  local cases, left_out, seconds = chosen(o, o.roof)
  if announce then announce(seconds, o.roof, left_out) end
  local before = native.threads()
  local function tidy()
    progress:clear()
    native.set_threads(before)
  end
  local result = bridge.on_error(measure_all, tidy, o, cases, left_out, progress)
  tidy()
  return result
end

-- Command line ------------------------------------------------------------------------------

local function announce_to(write)
  return function(seconds, roof, left_out)
    write(("this takes about %s; the multiply-add roof is %.0f GFLOP/s\n"):format(
      Progress.duration(seconds), roof))
    if #left_out > 0 then
      local names = {}
      for i, case in ipairs(left_out) do names[i] = plan.name(case) end
      write(("left out for want of time (--minutes): %s\n"):format(table.concat(names, ", ")))
    end
  end
end

-- What `--json` prints: a case asked for alone is itself the object.
local function plain(o, result)
  if o.modes and #result.cases == 1 and not result.kernels then return result.cases[1] end
  return result
end

local function earlier(path)
  local text = errors.must(native.read_file(path))
  local ok, result = pcall(native.json_decode, text)
  if not ok or type(result) ~= "table" or not result.machine or not result.cases then
    errors.data("%s", path .. ": this is no result that 'lunerv bench --save' wrote")
  end
  return result
end

local function write(path, text)
  errors.must(native.write_file(path, text))
end

local outputs <const> = { "json", "save", "svg", "markdown", "from", "command" }

-- What `lunerv bench` does; returns what is wrong with the command line, if something is. Beside
-- the options of bench.run: json, markdown (what to print), save (a file for the result), from
-- (such a file, in place of measuring), svg (a file for the picture), command.
function bench.main(given)
  local o, wrong = read(given)
  if wrong then return wrong end
  -- Before hours of measuring, not behind them.
  for _, name in ipairs { "save", "svg" } do
    if o[name] then
      sources.keep(o[name], type(o.quality) == "string" and o.quality)
      errors.must(native.check_writable(o[name]))
    end
  end
  local result
  if o.from then
    result = earlier(o.from)
  else
    local wanted = options.copy(given)
    for _, name in ipairs(outputs) do wanted[name] = nil end
    local quiet = o.json or o.markdown
    local function say(text)
      if not quiet then
        io.write(text):flush()
      elseif native.is_tty "stderr" then
        native.stderr(text)
      end
    end
    result = bench.run(wanted, announce_to(say), say)
    result.command = o.command or result.command
  end
  if o.save then write(o.save, native.json_encode(result) .. "\n") end
  local shown = result.quality and quality_report or report
  if o.svg then write(o.svg, (result.quality and quality_report or roofline).svg(result)) end
  if o.json then
    print(native.json_encode(plain(o, result)))
  else
    print(o.markdown and shown.markdown(result) or shown.text(result))
  end
  for _, case in ipairs(result.cases) do
    if case.failed then errors.fail("io", "%s", case.name .. ": " .. case.failed) end
  end
end

bench.median, bench.text = steps.median, report.text

return bench
