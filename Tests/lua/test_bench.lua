local harness <const> = require "harness"
local lv <const> = require "lunerv"
local bench <const> = require "lunerv.bench"
local kernels <const> = require "lunerv.bench.kernels"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- A size that takes no time.
bench.sizes.tiny = {
  height = 48, width = 64, strides = { 2, 2 }, enc_dim = { 4, 2 }, steps = 3, torch_steps = 2,
  kinds = { hnerv_boost = { 0.08, 0.1 }, hnerv = { 0.08, 0.1 } },
}

-- A folder with a torch_bench.py for `sh` that notes its arguments and prints `text`.
local function torch_folder(text)
  local folder = harness.folder()
  assert(lv.write_file(folder.path .. "/torch_bench.py",
    ('echo "$*" >> "%s/arguments"\necho a warning >&2\ncat <<END\n%s\nEND\n'):format(folder.path,
      text)))
  return folder
end

local function torch_result(parameters)
  return lv.json.encode {
    seconds_per_step = 3, parameters = parameters, peak_rss_bytes = 7e9, torch_version = "1",
    allocator = "jemalloc",
  }
end

test("the median is the middle, or the mean of the two in the middle", function()
  equal(bench.median { 5 }, 5)
  equal(bench.median { 9, 1, 4 }, 4)
  equal(bench.median { 8, 1, 2, 4 }, 3)
  equal(bench.median {}, nil)
  local list = { 3, 1, 2 }
  bench.median(list)
  equal(list, { 3, 1, 2 })
end)

test("the summary holds every promised key", function()
  local ours = {
    seconds_per_step = 2, peak_rss_bytes = 1e9, parameters = 10, phases = { decode = 1 },
    page_faults_per_step = 0,
  }
  local o = { mode = "train", model = "hnerv", size = "720p", threads = 2 }
  local summary = bench.summary(o, ours, {
    { name = "eager", result = { seconds_per_step = 5, peak_rss_bytes = 2e9 } },
    { name = "jemalloc", result = {
      seconds_per_step = 3, peak_rss_bytes = 2e9, allocator = "glibc_retain",
    } },
    { name = "compiled", reason = "not asked for" },
  })
  local back = lv.json.decode(lv.json.encode(summary))
  equal({ back.model, back.size, back.lunerv.seconds_per_step }, { "hnerv", "720p", 2 })
  equal({ back.torch.eager, back.torch.jemalloc, back.torch.compiled }, { 5, 3, lv.json_null })
  equal({ back.ratio_eager, back.ratio_best }, { 2.5, 1.5 })
  equal(back.torch.skipped, { compiled = "not asked for" })
  local text = bench.text(summary)
  for _, part in ipairs { "2.50", "glibc", "not asked for" } do
    assert(text:find(part, 1, true), text)
  end
end)

test("without PyTorch the ratios are null, and the reasons are said", function()
  local folder <close> = harness.folder()
  local result = bench.run { size = "tiny", scripts = folder.path, steps = 1 }
  equal({ result.ratio_eager, result.ratio_best }, { lv.json_null, lv.json_null })
  assert(result.torch.skipped.eager:find("torch_bench.py is not there", 1, true))
  assert(bench.text(result):find("torch_bench.py is not there", 1, true))

  local there <close> = torch_folder(torch_result(1))
  result = bench.run { size = "tiny", scripts = there.path, steps = 1, python = "no-such-python" }
  assert(result.torch.skipped.eager:find("not installed", 1, true), result.torch.skipped.eager)
  result = bench.run { size = "tiny", torch = false, steps = 1 }
  equal(result.torch.skipped.jemalloc, "--no-torch")
end)

test("a training step is timed beside PyTorch's, for the same model", function()
  local model = bench.run { size = "tiny", torch = false, steps = 1 }.lunerv
  local folder <close> = torch_folder(torch_result(model.parameters))
  local result = bench.run { size = "tiny", scripts = folder.path, python = "sh" }
  local ours = result.lunerv
  equal(#ours.seconds, 3)
  assert(ours.seconds_per_step > 0 and ours.peak_rss_bytes > 0)
  local sum = 0
  for _, phase in ipairs { "encode", "decode", "loss", "backward", "optimiser" } do
    assert(ours.phases[phase] > 0, phase)
    sum = sum + ours.phases[phase]
  end
  harness.near(sum, ours.seconds_per_step, 0.5 * ours.seconds_per_step)
  equal({ result.torch.eager, result.torch.jemalloc }, { 3, 3 })
  equal(result.torch.compiled, lv.json_null)
  harness.near(result.ratio_best, 3 / ours.seconds_per_step, 1e-9)

  local arguments = assert(lv.read_file(folder.path .. "/arguments"))
  for _, part in ipairs {
    "--model hnerv_boost", "--size tiny", "--variant eager", "--variant jemalloc",
    "--fc-dim " .. ours.fc_dim .. "\n", "--steps 2", "--threads " .. lv.threads(),
  } do
    assert(arguments:find(part, 1, true), arguments)
  end

  local other <close> = torch_folder(torch_result(model.parameters + 1))
  raises(function() bench.run { size = "tiny", scripts = other.path, python = "sh", steps = 1 } end,
    "the models differ", tostring(model.parameters + 1))
  local broken <close> = torch_folder "Traceback: no memory"
  result = bench.run { size = "tiny", scripts = broken.path, python = "sh", steps = 1 }
  assert(result.torch.skipped.eager:find("failed: Traceback: no memory", 1, true))
end)

test("decoding is timed without gradients", function()
  local folder <close> = torch_folder '{"skipped": "as an example"}'
  local result = bench.run {
    mode = "decode", model = "hnerv", size = "tiny", scripts = folder.path, python = "sh",
  }
  equal(#result.lunerv.seconds, 3)
  equal(result.lunerv.phases.backward, nil)
  equal(result.torch.skipped.eager, "as an example")
  assert(lv.read_file(folder.path .. "/arguments"):find("--decode", 1, true))
end)

test("kernels are timed for each convolution of the model", function()
  local result = bench.run { mode = "kernels", model = "hnerv", size = "tiny" }
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
  assert(kernels.text(result):find("depthwise", 1, true))
end)

test("the roof is not below what a matrix product reaches", function()
  local n, best = 384, math.huge
  local a, b = lv.rand(n, n), lv.rand(n, n)
  for _ = 1, 10 do
    local began = lv.time()
    a:matmul(b):evaluate()
    best = math.min(best, lv.time() - began)
  end
  local roof = lv.fma_roof()
  assert(roof > 0.7 * 2e-9 * n ^ 3 / best, ("roof %g"):format(roof))
end)

test("the expected time grows with the work", function()
  local function seconds(mode, torch)
    return bench.expected_seconds({
      mode = mode, model = "hnerv_boost", geometry = bench.sizes["720p"], steps = 5,
      torch_steps = 3, warmup = 2, torch = torch,
    }, 200)
  end
  assert(seconds("train", true) > seconds("train", false))
  assert(seconds("train", false) > seconds("decode", false))
  assert(seconds("train", true) < 600, "the default should take less than ten minutes")
end)

-- The program that runs this test, or nil.
local function program()
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  return pipe:read "l"
end

test("what is unknown is a usage error", function()
  raises(function() bench.run { size = "99p" } end, "unknown size '99p'", "360p, 720p")
  raises(function() bench.run { model = "nerf" } end, "unknown model 'nerf'", "hnerv_boost")
  raises(function() bench.run { mode = "sleep" } end, "unknown mode 'sleep'", "decode, kernels")
  raises(function() bench.run { steps = 0 } end, "--steps", "got 0")
  raises(function() bench.run { threads = 1.5 } end, "--threads", "got 1.5")
  raises(function() bench.run { sise = "180p" } end, "'sise'")
  local path = program()
  if not path then
    print "skipped: exit codes of lunerv bench (no /proc)"
    return
  end
  for _, arguments in ipairs { "--size 99p", "--model nerf", "--steps 0", "--sise 180p" } do
    local _, _, code = os.execute(("'%s' bench %s 2>/dev/null"):format(path, arguments))
    equal({ arguments, code }, { arguments, 2 })
  end
end)
