-- Benchmarks: how fast this machine trains and decodes, compared with PyTorch in the same run.
--
-- Figures drift with load and temperature, so only the ratios within one run are reliable.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local sources <const> = require "lunerv.sources"
local kernels <const> = require "lunerv.bench.kernels"
local operators <const> = require "lunerv.bench.operators"
local plan <const> = require "lunerv.bench.plan"
local process <const> = require "lunerv.bench.process"
local Progress <const> = require "lunerv.progress"
local quality <const> = require "lunerv.bench.quality"
local quality_report <const> = require "lunerv.bench.quality_report"
local ranks <const> = require "lunerv.bench.ranks"
local report <const> = require "lunerv.bench.report"
local roofline <const> = require "lunerv.bench.roofline"
local sizes <const> = require "lunerv.bench.sizes"
local steps <const> = require "lunerv.bench.steps"

local bench <const> = { sizes = sizes }

-- The modes that "all" stands for (speed), and every mode.
local speeds <const> = { "decode", "kernels", "loss", "train" }
local modes <const> = { "decode", "kernels", "loss", "quality", "train" }

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

-- A single value, a list, or comma-separated text ("all": everything known), as a list.
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

-- `given` with its lists, and the error in it, or nil.
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

local takes <const> = options.takes("bench.run", {
  { "mode", nil, "one of the modes", type = "string" },
  { "modes", nil, "from train, decode, loss and kernels (all: those four), or quality alone",
    type = "string|table" },
  { "model", nil, "kinds of model, one or a list (hnerv_boost; without modes all); for kernels: "
    .. "that model's convolutions instead of typical ones", type = "string|table" },
  { "size", nil, "sizes, one or a list (720p; without modes all)", type = "string|table" },
  { "threads", nil, "numbers of threads, one or a list (all cores)", type = "integer|table" },
  { "steps", nil, "timed steps per side (by size: lunerv 20, 10, 6, PyTorch 9, 6, 3)",
    type = "integer" },
  { "minutes", nil, "without modes: duration of the plan (10); with modes: no case starts after "
    .. "this time", type = "number" },
  { "torch", true, "false: without PyTorch" },
  { "compiled", false, "whether compiled PyTorch is measured too" },
  { "python", "python3", "the interpreter that PyTorch runs in" },
  { "scripts", nil, "the folder of torch_bench.py", type = "string" },
  { "algorithms", false, "measure kernels with every algorithm" },
  { "isolate", true, "false: run all cases in this process; peak memory is then shared" },
  { "clip", nil, "for quality: the video to train on (the sample clip)", type = "string" },
  { "to", nil, "for quality: the PSNR to reach, in decibels (26.5)", type = "number" },
  { "head_scale", nil, "for quality: head scale of the fast recipe (the recipe's)",
    type = "integer" },
  { "guess", nil, "for quality: { fast =, published = }, passes at which the search starts",
    type = "table" },
})

-- `given` completed and checked.
local function read_options(given)
  local checked = options(given, {}, takes.known, "bench")
  local o, wrong = read(checked)
  if wrong then errors.raise("%s", wrong) end
  if o.torch == nil then o.torch = true end
  o.python = o.python or "python3"
  -- A plan has a time limit; a requested case takes the time it needs.
  if not o.modes then o.minutes = o.minutes or 10 end
  o.deadline = o.minutes and native.time() + 60 * o.minutes
  if #o.thread_counts == 0 then o.thread_counts = { native.threads() } end
  return o
end

-- The options of one case, from the options for all.
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

-- A case in a separate process, so that its memory is measured alone.
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
  words[#words + 1] = "--python " .. quoted(o.python)
  local lines = {}
  local code = process.run(table.concat(words, " "), function(line) lines[#lines + 1] = line end)
  local ok, result = pcall(native.json_decode, table.concat(lines, "\n"))
  if code == 0 and ok and type(result) == "table" then return result end
  return { name = plan.name(o), failed = ("failed with exit code %s"):format(code) }
end

local function measure_case(o, progress, program)
  if program then return isolated(o, program) end
  native.set_threads(o.threads)
  return steps.summary(o, steps.compare(o, function(text)
    progress:show(("%s: %s"):format(plan.name(o), text))
  end))
end

local function measure_kernels(o, models, size, progress)
  local list = kernels.shapes()
  if models then
    local model, frame = steps.build(complete(o, { model = models[1], size = size }))
    list = kernels.recorded(function() model:reconstruct(frame):evaluate() end)
  end
  local function show(text) progress:show(text) end
  local result = kernels.measure(list, show, o.algorithms)
  -- With a model, only its convolutions are measured.
  if not models then result.operators = operators.measure(show) end
  return result
end

-- The requested cases, or as many as fit into the time; those left out; and the expected seconds.
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
    -- On a busy machine every case takes longer than expected, and so will the rest.
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
  result.memory_gbs = native.peak_bandwidth() -- last: it takes memory, and cases report their peak
  if k then k.memory_gbs = result.memory_gbs end
  result.seconds = native.time() - began
  return result
end

-- Time to quality: this mode is measured alone.
local function measure_quality(o, progress, say)
  local began = native.time()
  local result = {
    cases = {}, left_out = {}, machine = machine(), command = o.command or "lunerv bench",
    quality = quality.run(o, progress, say),
  }
  result.seconds = native.time() - began
  return result
end

--- Measures how fast models train and decode, and returns the figures as plain data.
--- Without modes, as many cases are measured as fit into `minutes`. Every combination of models,
--- sizes and threads is a case. Mode quality, which is measured alone, is the training time to
--- reach a PSNR.
---
---     local result = lv.bench.run { mode = "decode", model = "hnerv", size = "360p" }
---     print(result.cases[1].lunerv.seconds_per_step)
---
---@param given lunerv.bench.run.Options
---@param announce? fun(seconds: number, roof: number, left_out: table)  gets the duration first
---@param say? fun(line: string)  for quality: gets the result of each schedule
---@return table  cases, left_out, kernels, machine, command, seconds
function bench.run(given, announce, say)
  local o, progress = read_options(given), Progress.new()
  if o.modes and o.modes[1] == "quality" then return measure_quality(o, progress, say) end
  o.roof = native.peak_flops()
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
      write(("left out for lack of time (--minutes): %s\n"):format(table.concat(names, ", ")))
    end
  end
end

-- The output of `--json`: a single requested case is itself the object.
local function plain(o, result)
  if o.modes and #result.cases == 1 and not result.kernels then return result.cases[1] end
  return result
end

local function earlier(path)
  local text = errors.must(native.read_file(path))
  local ok, result = pcall(native.json_decode, text)
  if not ok or type(result) ~= "table" or not result.machine or not result.cases then
    errors.data("%s", path .. ": not a result of 'lunerv bench --save'")
  end
  return result
end

local function write(path, text)
  errors.must(native.write_file(path, text))
end

local outputs <const> = { "json", "save", "svg", "markdown", "from", "command" }

--- Runs `lunerv bench`; returns the error in the command line, if any.
--- In addition to the options of bench.run: json, markdown (output formats), save (a file for the
--- result), from (such a file, instead of measuring), svg (a file for the picture), command.
---
---@param given table  options of the command line, by name
---@return string?
function bench.main(given)
  if given.ranks then return ranks.main(given) end
  if given.work then return "--work: expected --ranks too, got only --work" end
  local o, wrong = read(given)
  if wrong then return wrong end
  -- Checked before hours of measuring, not after.
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

-- Names that moved to separate files.
local moved <const> = {
  median = { "lunerv.bench.steps", steps.median },
  summary = { "lunerv.bench.steps", steps.summary },
  text = { "lunerv.bench.report", report.text },
}

return setmetatable(bench, { __index = function(_, name)
  local old = moved[name]
  if not old then return nil end
  errors.renamed("lv.bench." .. name, ('internal: require("%s").%s'):format(old[1], name))
  return old[2]
end })
