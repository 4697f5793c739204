-- lunerv bench --quality, on a clip and with a model that take no time.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local bench <const> = require "lunerv.bench"
local quality_report <const> = require "lunerv.bench.quality_report"
local search <const> = require "lunerv.bench.search"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

bench.sizes.tiny = {
  height = 48, width = 64, strides = { 2, 2 }, enc_dim = { 4, 2 }, steps = 3, torch_steps = 2,
  kinds = { hnerv_boost = { 0.08, 0.1 } },
}

-- The answer of the search for the smallest number from `answer` on, and what it tried.
local function searched(guess, most, answer)
  local tried = {}
  local found = search(guess, most, function(n)
    tried[#tried + 1] = n
    return n >= answer
  end)
  return { found, tried }
end

test("the search goes away from the guess in steps that double, then halves", function()
  equal(searched(3, 96, 3), { 3, { 3, 2 } })
  equal(searched(1, 32, 1), { 1, { 1 } })
  equal(searched(1, 32, 6), { 6, { 1, 2, 4, 8, 6, 5 } })
  equal(searched(10, 320, 5), { 5, { 10, 9, 7, 3, 5, 4 } })
  equal(searched(10, 320, 1), { 1, { 10, 9, 7, 3, 1 } })
  equal(searched(2, 8, 9), { nil, { 2, 3, 5, 8 } })
  for answer = 1, 40 do
    for guess = 1, 40, 3 do equal(searched(guess, 64, answer)[1], answer) end
  end
  local calls = 0
  local found, reason = search(5, 64, function(n)
    calls = calls + 1
    if calls == 3 then return nil, "enough" end
    return n >= 2
  end)
  equal({ found, reason, calls }, { 4, "enough", 3 })
end)

-- A clip of three frames, each of one grey.
local function grey_clip(folder, height)
  local path, size = folder.path .. "/grey.mkv", { width = 64, height = height or 48, fps = 25 }
  local writer <close> = assert(lv.video.writer(path, size))
  for i = 1, 3 do writer:write(lv.zeros(1, 3, size.height, 64) + 0.25 * i) end
  writer:close()
  return path
end

test("time to quality is that of the shortest whole schedule that reaches it", function()
  local folder <close> = harness.folder()
  local spoken = {}
  local result = bench.run({
    mode = "quality", clip = grey_clip(folder), to = 12, torch = false, threads = 1,
    guess = { fast = 2, published = 8 },
  }, nil, function(line) spoken[#spoken + 1] = line end)
  local q = result.quality
  equal({ q.clip, q.frames, q.height, q.width, q.to, q.model, q.size },
    { "grey.mkv", 3, 48, 64, 12, "hnerv_boost", "tiny" })
  local tried = 0
  for i, name in ipairs { "fast", "published" } do
    local side = q.sides[i]
    equal({ side.name, side.skipped, side.reason }, { name, lv.json.null, lv.json.null })
    equal({ side.tried[1].passes, side.head_scale }, { side.guess, 1 })
    local shorter
    for _, run in ipairs(side.tried) do
      tried = tried + 1
      equal(run.psnr >= 12, run.passes >= side.reached.passes)
      shorter = shorter or run.passes == side.reached.passes - 1
      -- One point for each pass, and the evaluation.
      equal({ #run.points, run.points[#run.points] },
        { run.passes + 1, { run.seconds, run.psnr } })
      if run.others then assert(run.others >= 0 and run.others <= 1.1, run.others) end
      for k = 2, #run.points do assert(run.points[k][1] >= run.points[k - 1][1]) end
      assert(run.points[1][1] > 0)
    end
    assert(shorter or side.reached.passes == 1, name)
  end
  equal(q.sides[1].ratio, 1)
  harness.near(q.sides[2].ratio, q.sides[2].reached.seconds / q.sides[1].reached.seconds, 1e-12)
  -- A recipe may change the network, but has no more parameters for it.
  assert(q.sides[1].parameters <= q.sides[2].parameters)
  equal(q.sides[3].skipped, "--no-torch")
  equal(#spoken, tried + 1)
  equal(spoken[1], "PyTorch is left out: --no-torch\n")

  result = lv.json.decode(lv.json.encode(result)) -- as --save and --from do
  local text = quality_report.text(result)
  for _, part in ipairs {
    "Time to 12 dB: HNeRV-Boost (0.08 million) on grey.mkv, 3 frames of 64x48",
    "lunerv, fast ", "PyTorch, published   skipped: --no-torch", "2: " } do
    assert(text:find(part, 1, true), text)
  end
  result.quality.sides[1].reached.others = 0.42
  assert(quality_report.text(result):find("disturbed: other programs took 42 % of", 1, true))
  local markdown = quality_report.markdown(result)
  assert(markdown:find("| lunerv, published | ", 1, true), markdown)
  local svg = quality_report.svg(result)
  local _, lines = svg:gsub("<polyline ", "")
  equal(lines, 3)
  assert(svg:find("fast, ", 1, true) and svg:find("12 dB", 1, true) and not svg:find "nan", svg)
end)

test("targets not reached, or not tried for lack of time, are reported", function()
  local folder <close> = harness.folder()
  local clip = grey_clip(folder)
  local result = bench.run {
    mode = "quality", clip = clip, to = 70, torch = false, minutes = 1e-6,
    guess = { fast = 1, published = 1 }, head_scale = 2,
  }
  local side = result.quality.sides[1]
  equal({ side.reached, side.ratio, side.reason, #side.tried, side.head_scale },
    { lv.json.null, lv.json.null, "no time left (--minutes)", 0, 2 })
  assert(quality_report.text(result):find("no answer: no time left", 1, true))
  assert(quality_report.markdown(result):find("| lunerv, fast | – | – | – | none (no time left",
    1, true))
  local absent = bench.run {
    mode = "quality", clip = clip, scripts = folder.path, minutes = 1e-6,
  }.quality.sides[3]
  assert(absent.skipped:find("torch_quality.py was not found", 1, true), absent.skipped)
  assert(lv.write_file(folder.path .. "/torch_quality.py", ""))
  local padded = bench.run {
    mode = "quality", clip = grey_clip(folder, 46), scripts = folder.path, minutes = 1e-6,
  }.quality.sides[3]
  equal(padded.skipped,
    "size: expected frames that the strides 2,2 divide, got 46x64: the twin does not pad")
end)

test("PyTorch is asked for the same model, and what it says is counted", function()
  local folder <close> = harness.folder()
  local clip = grey_clip(folder)
  -- A torch_quality.py for `sh`: it reaches the figure in three passes.
  local spoken
  local function measured_with(text)
    spoken = {}
    assert(lv.write_file(folder.path .. "/torch_quality.py", text))
    return bench.run({
      mode = "quality", clip = clip, to = 5, scripts = folder.path, python = "sh",
      guess = { fast = 1, published = 1 },
    }, nil, function(line) spoken[#spoken + 1] = line end).quality.sides[3]
  end
  local passes = [[
case "$*" in *--check*) echo '{"torch_version": "1"}'; exit;; esac
echo "$*" >> "FOLDER/asked"; wc -c < "$1" >> "FOLDER/bytes"
n=${*##* }
echo '{"pass": 1, "psnr": 4}'
echo "{\"passes\": $n, \"psnr\": $((n + 2)), \"parameters\": COUNT}"
]]
  local function script(count)
    return (passes:gsub("%u%u%u+", { FOLDER = folder.path, COUNT = count }))
  end
  local probe = measured_with 'echo \'{"skipped": "as an example"}\''
  equal(probe.skipped, "as an example")
  local side = measured_with(script(probe.parameters))
  equal({ side.reached.passes, #side.tried, side.version }, { 3, 4, "1" })
  equal({ side.tried[2].passes, #side.tried[1].points }, { 2, 2 })
  assert(side.ratio > 0)
  equal(tonumber(lv.read_file(folder.path .. "/bytes"):match "%d+"), 3 * 3 * 48 * 64)
  local asked = lv.read_file(folder.path .. "/asked")
  for _, part in ipairs { "--model hnerv_boost --height 48 --width 64 --fc-dim ",
    "--strides 2,2 ", "--enc-dim 4,2 ", "--warmup 0.1 ", "--threads " .. lv.threads() .. " " } do
    assert(asked:find(part, 1, true), asked)
  end
  raises(function() measured_with(script(1)) end, "the models differ", " 1 in PyTorch")
  side = measured_with(script(probe.parameters) .. "exit 3")
  equal({ side.reached, side.reason }, { lv.json.null, "failed: exit code 3" })
  equal(spoken[#spoken], "PyTorch, 1 pass: failed: exit code 3\n")
end)

test("PyTorch learns a clip by the published recipe", function()
  if not os.execute "python3 -c 'import torch' 2>/dev/null" then
    print "skipped: time to quality of the PyTorch twin (python3 has no torch)"
    return
  end
  local folder <close> = harness.folder()
  local root = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."
  local result = bench.run {
    mode = "quality", clip = grey_clip(folder), to = 12, scripts = root .. "/scripts/bench",
    guess = { fast = 2, published = 8 }, threads = 1,
  }
  local ours, theirs = result.quality.sides[2], result.quality.sides[3]
  assert(quality_report.markdown(result):find("PyTorch runs at its best, with ", 1, true))
  equal(theirs.skipped, lv.json.null)
  assert(theirs.reached.psnr >= 12 and #theirs.reached.points == theirs.reached.passes + 1)
  equal({ theirs.guess, theirs.parameters }, { ours.reached.passes, ours.parameters })
  assert(theirs.ratio > 0)
end)

test("contradictory options are a one-line error", function()
  raises(function() bench.run { clip = "a.mkv" } end, "clip: expected --quality", "got only a.mkv")
  local function quality(given)
    return function()
      given.modes = given.modes or { "quality" }
      bench.run(given)
    end
  end
  raises(quality { modes = { "train", "quality" } }, "quality: expected no other mode", "train")
  raises(quality { steps = 3 }, "steps: expected a mode that times steps, got quality")
  raises(quality { model = "all" }, "model: expected one value with --quality, got all")
  raises(quality { threads = "1,2" }, "threads: expected one value", "got 1,2")
  raises(quality { to = -1 }, "to: expected decibels", "got -1")
  raises(quality { head_scale = 3 }, "head_scale: expected one of 1, 2, 4, got 3")
  raises(quality { scripts = "/nowhere/bench" }, "clip: expected a video, got none",
    "/nowhere/sample/bunny.mp4")
end)
