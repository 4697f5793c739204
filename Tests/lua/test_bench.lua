-- lunerv bench: what it measures, plans, prints and saves.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local bench <const> = require "lunerv.bench"
local steps <const> = require "lunerv.bench.steps"
local kernels <const> = require "lunerv.bench.kernels"
local operators <const> = require "lunerv.bench.operators"
local plan <const> = require "lunerv.bench.plan"
local report <const> = require "lunerv.bench.report"
local roofline <const> = require "lunerv.bench.roofline"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- A size that takes no time.
bench.sizes.tiny = {
  height = 48, width = 64, strides = { 2, 2 }, enc_dim = { 4, 2 }, steps = 3, torch_steps = 2,
  kinds = { hnerv_boost = { 0.08, 0.1 }, hnerv = { 0.08, 0.1 } },
}

-- A folder with a torch_bench.py for `sh` that records its arguments and the requested steps, and
-- takes turns as the real one does: `text` at the end, or at once when it `refuses`.
local function torch_folder(text, refuses)
  local folder = harness.folder()
  local script = ([[
echo "$*" >> "FOLDER/arguments"
echo a warning >&2
REFUSES || {
  echo '{"ready": true}'
  while read -r n && [ "$n" != end ]; do
    echo "$n" >> "FOLDER/turns"
    echo '[3]'
  done
}
cat <<END
TEXT
END
]]):gsub("%u+", { FOLDER = folder.path, REFUSES = tostring(refuses or false), TEXT = text })
  assert(lv.write_file(folder.path .. "/torch_bench.py", script))
  return folder
end

local function torch_result(parameters)
  return lv.json.encode {
    seconds_per_step = 3, parameters = parameters, peak_rss_bytes = 7e9, torch_version = "1",
    allocator = "jemalloc",
  }
end

-- One case of bench.run.
local function measured(given)
  if given.mode == nil then given.mode = "train" end
  local result = bench.run(given)
  equal(#result.cases, 1)
  return result.cases[1]
end

test("the median is the middle, or the mean of the two in the middle", function()
  equal(steps.median { 5 }, 5)
  equal(steps.median { 9, 1, 4 }, 4)
  equal(steps.median { 8, 1, 2, 4 }, 3)
  equal(steps.median {}, nil)
  local list = { 3, 1, 2 }
  steps.median(list)
  equal(list, { 3, 1, 2 })
end)

test("the summary holds every promised key", function()
  local ours = {
    seconds_per_step = 2, peak_rss_bytes = 1e9, parameters = 10, phases = { decode = 1 },
    page_faults_per_step = 0, lua_share = 0.001,
  }
  local o = { mode = "train", model = "hnerv", size = "720p", threads = 2 }
  local summary = steps.summary(o, ours, {
    { name = "eager", result = { seconds_per_step = 5, peak_rss_bytes = 2e9 } },
    { name = "jemalloc", result = {
      seconds_per_step = 3, peak_rss_bytes = 2e9, allocator = "glibc_retain",
    } },
    { name = "compiled", reason = "not asked for" },
  })
  local back = lv.json.decode(lv.json.encode(summary))
  equal({ back.model, back.size, back.lunerv.seconds_per_step }, { "hnerv", "720p", 2 })
  equal({ back.torch.eager, back.torch.jemalloc, back.torch.compiled }, { 5, 3, lv.json.null })
  equal({ back.ratio_eager, back.ratio_best }, { 2.5, 1.5 })
  local null = lv.json.null
  equal(back.torch.skipped, { eager = null, jemalloc = null, compiled = "not asked for" })
  equal(back.torch.peak_rss_bytes, { eager = 2e9, jemalloc = 2e9, compiled = null })
  local text = report.case(summary)
  for _, part in ipairs { "2.50", "glibc", "not asked for", "0.10 %" } do
    assert(text:find(part, 1, true), text)
  end
  local table_text = report.markdown {
    cases = { summary }, machine = { processor = "P", threads = 2 }, command = "lunerv bench -x",
  }
  for _, part in ipairs {
    "`lunerv bench -x`: P, 2 threads", "| HNeRV, 720p, training step | 2 s | 5 s (**2.5×**) "
      .. "| 3 s (**1.5×**) | 1 GB | 2 GB |", "glibc's allocator",
  } do
    assert(table_text:find(part, 1, true), table_text)
  end
end)

test("without PyTorch the ratios are null, and the reasons are said", function()
  local folder <close> = harness.folder()
  local result = measured { size = "tiny", scripts = folder.path, steps = 1 }
  equal({ result.ratio_eager, result.ratio_best }, { lv.json.null, lv.json.null })
  assert(result.torch.skipped.eager:find("torch_bench.py was not found", 1, true))
  assert(report.case(result):find("torch_bench.py was not found", 1, true))

  local there <close> = torch_folder(torch_result(1))
  result = measured { size = "tiny", scripts = there.path, steps = 1, python = "no-such-python" }
  assert(result.torch.skipped.eager:find("not installed", 1, true), result.torch.skipped.eager)
  result = measured { size = "tiny", torch = false, steps = 1 }
  equal(result.torch.skipped.jemalloc, "--no-torch")
end)

test("a training step takes turns with PyTorch's, for the same model", function()
  local model = measured { size = "tiny", torch = false, steps = 1 }.lunerv
  local folder <close> = torch_folder(torch_result(model.parameters))
  local result = measured { size = "tiny", scripts = folder.path, python = "sh" }
  local ours = result.lunerv
  assert(#ours.seconds >= 3, #ours.seconds)
  assert(ours.seconds_per_step > 0 and ours.peak_rss_bytes > 0)
  assert(ours.lua_share > 0 and ours.lua_share < 1, ours.lua_share)
  local sum = 0
  for _, phase in ipairs { "frame", "encode", "decode", "loss", "backward", "optimiser" } do
    assert(ours.phases[phase] > 0, phase)
    sum = sum + ours.phases[phase]
  end
  harness.near(sum, ours.seconds_per_step, 0.5 * ours.seconds_per_step)
  equal({ result.torch.eager, result.torch.jemalloc }, { 3, 3 })
  equal(result.torch.compiled, lv.json.null)
  harness.near(result.ratio_best, 3 / ours.seconds_per_step, 1e-9)
  -- Two variants, two turns each, of one step.
  equal(lv.read_file(folder.path .. "/turns"), "1\n1\n1\n1\n")

  local arguments = assert(lv.read_file(folder.path .. "/arguments"))
  for _, part in ipairs {
    "--model hnerv_boost", "--size tiny", "--variant eager", "--variant jemalloc",
    "--fc-dim " .. ours.fc_dim .. "\n", "--turns", "--threads " .. lv.threads(),
  } do
    assert(arguments:find(part, 1, true), arguments)
  end

  local other <close> = torch_folder(torch_result(model.parameters + 1))
  raises(function() measured { size = "tiny", scripts = other.path, python = "sh", steps = 1 } end,
    "the models differ", tostring(model.parameters + 1))
  local broken <close> = torch_folder("Traceback: no memory", true)
  result = measured { size = "tiny", scripts = broken.path, python = "sh", steps = 1 }
  assert(result.torch.skipped.eager:find("failed: Traceback: no memory", 1, true))
end)

test("decoding is timed without gradients, a loss without a model", function()
  local folder <close> = torch_folder('{"skipped": "as an example"}', true)
  local result = measured {
    mode = "decode", model = "hnerv", size = "tiny", scripts = folder.path, python = "sh",
  }
  equal(#result.lunerv.seconds, 3)
  equal(result.lunerv.phases.backward, nil)
  equal(result.torch.skipped.eager, "as an example")
  assert(lv.read_file(folder.path .. "/arguments"):find("--decode", 1, true))
  result = measured { mode = "loss", size = "tiny", torch = false }
  assert(result.lunerv.phases.loss > 0 and result.lunerv.phases.backward > 0)
  equal(result.lunerv.parameters, nil)
end)

test("lists measure every combination, each with its own threads", function()
  local before = lv.threads()
  local result = bench.run {
    modes = { "train", "decode" }, model = "hnerv,hnerv_boost", size = "tiny", threads = "1,8",
    steps = 1, torch = false, isolate = false,
  }
  equal(#result.cases, 8)
  local last = result.cases[8]
  equal({ last.mode, last.model, last.threads }, { "decode", "hnerv_boost", 8 })
  equal(lv.threads(), before)
end)

test("kernels are timed for each convolution of the model", function()
  local result = bench.run { mode = "kernels", model = "hnerv", size = "tiny" }.kernels
  local found = {}
  for _, c in ipairs(result.kernels) do
    found[("%dx%d%s"):format(c.kernel, c.kernel, c.groups > 1 and " depthwise" or "")] = true
    for _, product in ipairs { "forward", "data_gradient", "weight_gradient" } do
      assert(c[product .. "_gflops"] > 0 and c[product .. "_share"] > 0, product)
    end
  end
  equal(found, { ["1x1"] = true, ["2x2"] = true, ["3x3"] = true, ["7x7 depthwise"] = true })
  local head
  for _, c in ipairs(result.kernels) do
    if c.outputs == 3 then head = c end
  end
  harness.near(head.gflop, 2e-9 * 48 * 64 * head.inputs * 3 * 3 * 3, 1e-12)
  assert(report.kernels(result):find("depthwise", 1, true))
end)

test("operators that move memory are timed and compared with its roof", function()
  local list = operators.measure(function() end, function(name) return name == "avg_pool2d 2" end)
  equal({ #list, list[1].name }, { 1, "avg_pool2d 2 of 32×720x1280" })
  assert(list[1].forward_gbs > 0 and list[1].gradient_gbs > 0)
  local figures = { { name = "pad", forward_gbs = 5, gradient_gbs = 2.5 } }
  local text = report.operators { operators = figures, memory_gbs = 10 }
  assert(text:find("pad +5.0  50 %% +2.5  25 %%"), text)
end)

test("every algorithm of a convolution is timed, and a wrong choice is an error", function()
  local list = kernels.shapes()
  local names = {}
  for _, c in ipairs(list) do names[kernels.name(c)] = c end
  local c = names["28→28 3x3 180x320"]
  c.height, c.width = 40, 40
  local result = kernels.measure({ c }, function() end, true)
  local algorithms = result.kernels[1].algorithms
  assert(algorithms.winograd.forward > 0 and algorithms.direct.weight_gradient > 0)
  equal(algorithms.depthwise, nil)
  equal(native.convolution_choice { inputs = 28, outputs = 28, height = 40, width = 40, kernel = 3,
    padding = 1 }, "winograd")

  c.choice = "direct"
  c.algorithms = {
    direct = { forward = 10, data_gradient = 10, weight_gradient = 10 },
    winograd = { forward = 20, data_gradient = 10.1, weight_gradient = 9 },
  }
  equal(kernels.better(c), { { product = "forward", algorithm = "winograd", times = 2 } })
  assert(report.algorithms(result):find("forward: winograd is 2.00 times as fast as direct", 1,
    true))
  raises(function() native.force_convolution "magic" end, "unknown algorithm 'magic'", "direct")
end)

test("a forced algorithm computes the same, and is let go", function()
  lv.seed(1)
  local x, w = lv.randn(1, 8, 32, 32), lv.randn(8, 8, 3, 3)
  local function product() return x:conv2d(w, nil, { padding = 1 }):evaluate() end
  local chosen = product()
  native.force_convolution "direct"
  local direct = product()
  native.force_convolution()
  local difference = (chosen - direct):abs():amax():item()
  assert(difference > 0 and difference < 1e-3, difference)
  equal((product() - chosen):abs():amax():item(), 0)
end)

test("the roofline is a picture of every kernel and phase", function()
  local result = bench.run {
    modes = { "train", "kernels" }, model = "hnerv", size = "tiny", steps = 1, torch = false,
    isolate = false,
  }
  local text = roofline.svg(result)
  local _, rings = text:gsub("<circle ", "")
  equal(rings, #result.kernels.kernels + 1) -- the legend's
  for _, part in ipairs { "^<svg ", "</svg>\n$", "hnerv tiny: backward", "hnerv tiny: optimiser",
    "7x7 depthwise" } do
    assert(text:find(part), part)
  end
  assert(not text:find "nan" and not text:find "inf", text)
  result.machine.processor = "<&>"
  assert(roofline.svg(result):find("&lt;&amp;&gt;", 1, true))
end)

test("memory is read at a speed", function()
  local roof = native.peak_bandwidth()
  assert(roof > 0.5 and roof < 2000, roof)
end)

test("Lua's own time leaves native functions out", function()
  local a = lv.rand(300, 300)
  native.interpreter_seconds()
  local began = lv.time()
  local before = native.interpreter_seconds()
  for _ = 1, 20 do a = (a:matmul(a) * 0.01):evaluate() end
  local native_time, share = lv.time() - began, native.interpreter_seconds() - before
  assert(share < 0.5 * native_time, ("%g of %g s"):format(share, native_time))
  began, before = lv.time(), native.interpreter_seconds()
  local sum = 0
  for i = 1, 2000000 do sum = sum + i end
  local lua_time = lv.time() - began
  assert(sum > 0)
  harness.near(native.interpreter_seconds() - before, lua_time, 0.2 * lua_time + 1e-4)
end)

test("the roof is not below what a matrix product reaches", function()
  if harness.is_sanitized then
    print "skipped: the roof (a sanitizer slows its loop, but not OpenBLAS)"
    return
  end
  local n, best = 384, math.huge
  local a, b = lv.rand(n, n), lv.rand(n, n)
  for _ = 1, 10 do
    local began = lv.time()
    a:matmul(b):evaluate()
    best = math.min(best, lv.time() - began)
  end
  -- A machine that does something else for a moment would show too low a roof: the best of five.
  local roof, least = 0, 0.7 * 2e-9 * n ^ 3 / best
  for _ = 1, 5 do
    if roof <= least then roof = math.max(roof, native.peak_flops()) end
  end
  assert(roof > least, ("roof %g"):format(roof))
end)

test("the expected time grows with the work", function()
  local function seconds(mode, torch)
    return plan.expected_seconds({
      mode = mode, model = "hnerv_boost", geometry = bench.sizes["720p"], steps = 6,
      torch_steps = 3, warmup = 2, torch = torch,
    }, 200)
  end
  assert(seconds("train", true) > seconds("train", false))
  assert(seconds("train", false) > seconds("decode", false))
  assert(seconds("decode", false) > seconds("loss", false))
end)

test("the plan fits its time and says what it leaves out", function()
  local cases = plan.cases()
  equal(plan.name(cases[1]), "kernels")
  local seen = {}
  for _, case in ipairs(cases) do seen[plan.name(case)] = true end
  for _, kind in ipairs(lv.models.kinds) do
    for _, mode in ipairs { "train", "decode" } do
      for _, size in ipairs { "180p", "360p", "720p" } do
        assert(seen[("%s %s %s"):format(mode, kind, size)], kind)
      end
    end
  end
  local taken, left_out, sum = plan.fit(cases, 100, function(case)
    return case.mode == "kernels" and 60 or 30
  end)
  equal({ #taken, sum, #left_out }, { 2, 90, #cases - 2 })
  equal(#plan.cases({ "hnerv" }, { "180p" }), 3) -- kernels, train, decode
end)

test("when time is up, no more turns and no more cases", function()
  local folder <close> = torch_folder(torch_result(1))
  local result = bench.run {
    modes = { "train" }, model = "hnerv,hnerv_boost", size = "tiny", scripts = folder.path,
    python = "sh", steps = 1, minutes = 1e-6, isolate = false,
  }
  equal({ #result.cases, result.left_out }, { 1, { "train hnerv_boost tiny" } })
  assert(result.cases[1].torch.skipped.eager:find("no time left", 1, true))
  assert(report.text(result):find("left out for lack of time (--minutes): train hnerv_boost tiny",
    1, true))
end)

-- The program that runs this test, or nil.
local function program()
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  return pipe:read "l"
end

test("unknown names are rejected: by lunerv bench as a usage error", function()
  raises(function() bench.run { size = "99p" } end, "unknown size '99p'", "360p, 720p")
  raises(function() bench.run { model = "nerf" } end, "unknown model 'nerf'", "hnerv_boost")
  raises(function() bench.run { mode = "sleep" } end, "unknown mode 'sleep'", "decode, kernels")
  raises(function() bench.run { size = "180p,99p" } end, "unknown size '99p'")
  raises(function() bench.run { minutes = 0 } end, "minutes", "got 0")
  raises(function() bench.run { steps = 0 } end, "steps", "got 0", "test_bench.lua")
  raises(function() bench.run { threads = 1.5 } end, "threads", "got 1.5")
  raises(function() bench.run { sise = "180p" } end, "'sise'")
  local path = program()
  if not path then
    print "skipped: exit codes of lunerv bench (no /proc)"
    return
  end
  for _, arguments in ipairs { "--size 99p", "--model nerf", "--steps 0", "--sise 180p",
    "--threads 2,x", "clip.mkv", "--quality --to 0", "--quality --train", "--head-scale 2" } do
    local pipe <close> = assert(io.popen(("'%s' bench %s 2>&1"):format(path, arguments)))
    local text = pipe:read "a"
    local _, _, code = pipe:close()
    equal({ arguments, code }, { arguments, 2 })
    assert(not text:find("traceback", 1, true), text)
  end
end)
