-- lv.report: what pages hold, of which runs, that hostile text stays text, and that nothing but the
-- page is asked for when a browser shows it. Over 500 lines: the runs that pages show take long to
-- make.
local harness <const> = require "harness"
local html <const> = require "lunerv.report.html"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local tiny <const> = require "tiny"
local tree <const> = require "lunerv.report.tree"
local words <const> = require "lunerv.report.words"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local function write(path, data)
  local folder = path:match "^(.*)/[^/]*$"
  native.make_dirs(folder)
  assert(native.write_file(path, type(data) == "table" and lv.json.encode(data) or data))
end

-- The folder of a run as training leaves it; `given` replaces parts of run.json.
local function fit(path, given)
  local epochs = {}
  for k = 1, 5 do
    epochs[k] = { epoch = k, step = 3 * k, loss = 1 / k, psnr = 20 + k, lr = 1e-3, seconds = 2 * k }
  end
  local record = {
    schema = 1, command = "scripts/regress.lua clip.mkv", seed = 3, threads = 2, model = "nerv",
    clip = { source = "clip.mkv", frames = 3, height = 48, width = 64, fps = 25 },
    options = { lr = 0.001, strides = { 2, 2 }, guard = true },
    tree = { name = "", class = "NeRV", count = 12, tensors = {}, children = { {
      name = "stem", class = "Linear", count = 12, children = {},
      tensors = { { name = "weight", shape = { 3, 4 }, trained = true } },
    } } },
    steps = 15, step = 15, seconds = 10, epochs = epochs, finished = true,
  }
  for name, value in pairs(given or {}) do record[name] = value end
  write(path .. "/run.json", record)
  if record.finished then
    write(path .. "/metrics.json", { psnr = 25.5, psnr_8bit = 25.25, ms_ssim = 0.9, steps = 15,
      seconds = 10, seconds_per_step = 2 / 3, parameters_stored = 1234567, seed = 3, threads = 2,
      peak_rss_bytes = 5e7, command = record.command, model = record.model })
  end
end

-- Frame `index` of a run, of noise, and the same a little off.
local function frame(path, index, height, width)
  native.make_dirs(path .. "/frames")
  local source = lv.rand(1, 3, height or 48, width or 64)
  local stem = ("%s/frames/%06d-"):format(path, index)
  assert(lv.video.write_image(stem .. "source.png", source))
  assert(lv.video.write_image(stem .. "decoded.png", source * 0.9))
end

local function report(folder, runs, given)
  given = given or {}
  given.output = given.output or folder.path .. "/page.html"
  local page = assert(lv.report(runs, given))
  local text = assert(native.read_file(page.path))
  equal(#text, page.bytes)
  return text, page
end

local function has(text, part)
  if not text:find(part, 1, true) then error(("the page has no '%s'"):format(part), 2) end
end

local function lacks(text, part)
  if text:find(part, 1, true) then error(("the page has '%s'"):format(part), 2) end
end

local void <const> = { meta = true, link = true, img = true, input = true }

-- What a page is made of, read as a browser does: every element closed, attributes in quotes, no
-- address but data: and those in the page. Returns the data of its script.
local function check(text)
  assert(utf8.len(text), "not UTF-8")
  assert(not text:find "[%z\1-\8\11-\31\127]", "a control character")
  local data
  local rest = text:gsub('<script type="application/json" id="data">(.-)</script>', function(json)
    data = lv.json.decode(json)
    return ""
  end)
  local scripts, open, count = 0, {}, 0
  rest = rest:gsub("<script>(.-)</script>", function(code)
    equal(code:find("<!--", 1, true), nil)
    scripts = scripts + 1
    return ""
  end)
  equal(scripts, 1)
  rest = rest:gsub("<style>.-</style>", ""):gsub("^<!DOCTYPE html>", "")
  for close, name, attributes in rest:gmatch "<(/?)([%w]+)(.-)>" do
    count = count + 1
    if close == "/" then
      equal(table.remove(open), name)
    elseif not void[name] and not attributes:match "/$" then
      open[#open + 1] = name
    end
    local bare = attributes:gsub('[%w-:]+="[^"<>]*"', ""):gsub("/$", "")
    assert(not bare:find '["\'<=]', ("<%s%s>"):format(name, attributes))
    assert(name ~= "script" and not bare:find "%f[%w]on%w")
    for key, value in attributes:gmatch '([%w-:]+)="([^"]*)"' do
      assert(not key:match "^on", key)
      if key == "src" then assert(value:match "^data:image/png;base64,[%w+/=]+$", value) end
      if key == "href" then assert(value:match "^#run%-%d+$" or value == "data:,", value) end
    end
  end
  assert(count > 10)
  equal(#open, 0)
  has(text, "default-src &#39;none&#39;; img-src data:")
  return data
end

test("a page of a training has its curves, frames, modules, command and figures", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/sine"
  fit(path)
  for _, index in ipairs { 1, 2, 3 } do frame(path, index) end
  local text, page = report(folder, path)
  equal({ page.path, page.runs }, { folder.path .. "/page.html", 1 })
  local data = check(text)
  local run = data.training[1]
  equal({ run.name, #run.points, run.points[5] }, { "sine", 5, { 5, 10, 25, 0.2, 1 } })
  for _, part in ipairs { "<h1>sine</h1>", "finished", "nerv · 64×48 · 3 frames",
    ">25.25 <small>dB", "0.9000", "1,234,567", "scripts/regress.lua clip.mkv", "50.00 MB",
    "Linear", "3×4", "strides", "2, 2", "Frame 2, ", "<noscript><div class=\"still\"><svg" } do
    has(text, part)
  end
  equal(select(2, text:gsub("<img ", "")), 9)
  equal(select(2, text:gsub('type="range"', "")), 3)
end)

test("an error map is black where nothing is off, white where much is", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/run"
  fit(path)
  native.make_dirs(path .. "/frames")
  local half = lv.cat({ lv.zeros(1, 3, 32, 16), lv.ones(1, 3, 32, 16) }, 4)
  assert(lv.video.write_image(path .. "/frames/000001-source.png", half))
  assert(lv.video.write_image(path .. "/frames/000001-decoded.png", lv.zeros(1, 3, 32, 32)))
  local text = report(folder, path)
  local found = text:match 'class="map small" src="data:image/png;base64,([^"]+)"'
  local values, bits, digits = {}, 0, 0
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  for digit in found:gmatch "[^=]" do
    bits, digits = bits << 6 | (alphabet:find(digit, 1, true) - 1), digits + 6
    if digits >= 8 then
      digits = digits - 8
      values[#values + 1] = string.char(bits >> digits & 255)
    end
  end
  write(folder.path .. "/map.png", table.concat(values))
  local clip <close> = assert(lv.video.open(folder.path .. "/map.png"))
  local levels = clip:frame_u8(1):tolist()[1]
  equal({ levels[1][5][5], levels[3][5][5], levels[1][5][30], levels[3][5][30] },
    { 0, 0, 255, 255 })
end)

local hostile <const> = [[<script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp;]]
  .. "</title></style><!--\u{2028}\u{202E}\27[31m"

test("hostile text is text everywhere", function()
  local folder <close> = harness.folder()
  local name = "<b>\"'&$(x)-\u{e9}"
  local path = folder.path .. "/" .. name
  fit(path, {
    command = hostile, model = hostile, clip = { source = hostile, frames = 3 },
    options = { [hostile] = hostile, list = { hostile } },
    tree = { name = hostile, class = hostile, count = 3, tensors = {
      { name = hostile, shape = { hostile, 3 }, trained = false } }, children = {
      { name = hostile, class = hostile, count = "x", children = "no" }, "no", 3 } },
  })
  frame(path, 1)
  write(folder.path .. "/curve/curve.json", { curves = { { name = hostile, points = {
    { bpp = 0.1, psnr = 30, bytes = 10 }, { bpp = 0.2, psnr = 32, bytes = 20 } } } },
    notes = { hostile } })
  write(folder.path .. "/batch/manifest.json", { clips = { { clip = hostile, status = hostile,
    message = hostile, bytes = "many" } } })
  local text = report(folder, { path, folder.path .. "/curve", folder.path .. "/batch" },
    { title = hostile })
  local data = check(text)
  has(data.training[1].name, "<b>")
  has(data.rates[1][1].name, "<script>alert(1)</script>")
  lacks(text, "<script>alert")
  lacks(text, "<img src=x")
  lacks(text, "\u{2028}")
  lacks(text, "\u{202E}")
  equal(select(2, text:gsub("</script>", "")), 2)
  equal(select(2, text:gsub("</title>", "")), 1)
  equal(select(2, text:gsub("</style>", "")), 1)
end)

test("bytes in base 64, JSON for scripts, numbers for people", function()
  for plain, coded in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v",
    ["\255\0\16\254"] = "/wAQ/g==" } do
    equal(html.base64(plain), coded)
  end
  equal(html.json { "</script>" }, '["\\u003c/script\\u003e"]')
  equal(html.text "<a href='\"'>&\0", "&lt;a href=&#39;&quot;&#39;&gt;&amp;\\u{0}")
  equal({ words.count(0), words.count(999), words.count(1000), words.count(-1234567) },
    { "0", "999", "1,000", "-1,234,567" })
  equal({ words.bytes(9999), words.bytes(12345), words.bytes(4.5e6) },
    { "9,999 B", "12.3 kB", "4.50 MB" })
  equal({ words.cut("abc", 3), words.cut("abcd", 3), words.cut("aéé", 2) }, { "abc", "abc…", "a…" })
  equal(words.value { a = { 1, 2.5 }, b = true }, "a 1, 2.5, b yes")
end)

test("the tree of a model counts what is trained", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local model = tiny.model(clip)
  local root = tree.of(model)
  equal({ root.class, root.count }, { model.class_name, model:parameter_count() })
  local sum, tensors = 0, 0
  for _, child in ipairs(root.children) do sum = sum + child.count end
  for _, tensor in ipairs(root.tensors) do assert(not tensor.trained) end
  equal(sum, root.count)
  local function visit(node)
    tensors = tensors + #node.tensors
    for _, child in ipairs(node.children) do
      assert(child.class, child.name)
      visit(child)
    end
  end
  visit(root)
  equal(tensors, #model:state_dict())
end)

test("a training records its epochs, and resumes the record", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local function train(out, resume, stop_at)
    return lv.train { model = tiny.model(clip), clip = clip, epochs = 4, out = out, resume = resume,
      checkpoint_steps = 2, on_step = function(e)
        if e.step == stop_at then error("stopped", 0) end
      end }
  end
  local whole, parts = folder.path .. "/whole", folder.path .. "/parts"
  local function record(out) return lv.json.decode(assert(native.read_file(out .. "/run.json"))) end
  train(whole)
  raises(function() train(parts, false, 8) end, "stopped")
  local half = record(parts)
  equal({ half.finished, #half.epochs, half.steps }, { false, 2, 12 })
  has(report(folder, parts), "unfinished")
  train(parts, true)
  local a, b = record(whole), record(parts)
  equal({ a.finished, b.finished, #a.epochs, #b.epochs }, { true, true, 4, 4 })
  for k = 1, 4 do
    for _, name in ipairs { "epoch", "step", "loss", "psnr", "lr" } do
      equal(b.epochs[k][name], a.epochs[k][name])
    end
  end
  train(parts, false)
  equal(#record(parts).epochs, 4)
end)

test("missing or damaged parts are left out", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/run"
  write(path .. "/metrics.json", { psnr = 30 }) -- of a version without run.json
  local text = report(folder, path)
  has(text, ">30.00 <small>dB")
  equal(#check(text).training, 0)

  fit(path, { finished = false, step = 7, tree = "no", options = 3, clip = 4,
    epochs = { { epoch = 1, psnr = 20 }, "no", { epoch = "2" }, { epoch = 2, psnr = 1e999 } } })
  write(path .. "/frames/000001-source.png", "no picture")
  write(path .. "/frames/000001-decoded.png", "no picture")
  text = report(folder, path)
  local data = check(text)
  equal({ #data.training, #data.training[1].points }, { 1, 1 })
  for _, part in ipairs { "unfinished", "7 <small>of 15" } do has(text, part) end
  for _, part in ipairs { ">30.00", "<img", "Modules" } do lacks(text, part) end

  write(path .. "/run.json", "{")
  write(folder.path .. "/bad.lnv", "no file")
  text = report(folder, { path, folder.path .. "/bad.lnv" })
  check(text)
  has(text, "class=\"problem\"")
end)

test("runs in folders are found, named apart and compared", function()
  local folder <close> = harness.folder()
  local a, b = folder.path .. "/a/run", folder.path .. "/b/run"
  fit(a)
  fit(b, { finished = false, step = 3 })
  fit(folder.path .. "/runs/x")
  fit(folder.path .. "/runs/deep/y")
  write(folder.path .. "/runs/empty/notes.txt", "nothing")
  local text, page = report(folder, { a, b .. "/", folder.path .. "/runs" })
  equal(page.runs, 4)
  local names = {}
  for i, run in ipairs(check(text).training) do names[i] = run.name end
  equal(names, { "a/run", "b/run", "runs/deep/y", "runs/x" })
  has(text, "<h1>4 runs</h1>")
  for i = 1, 4 do has(text, ('<article id="run-%d">'):format(i)) end
  has(text, "Comparison")
end)

test("compressed files are shown with their work, in stages and in segments", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local o = lv.options.parse({ clip.source, "-o", folder.path .. "/c.lnv", "--epochs=2",
    "--compress-epochs=1", "--fc-dim=6", "--enc-dim=4,2", "--strides=2,2", "--ch-t=4",
    "--pe-levels=4" },
    { command = "compress_file", usage = "", about = "", positional = { "clip" } })
  o.out, o.command = folder.path .. "/c.lnv.work", "lunerv compress clip.mkv"
  local file = assert(lv.compress.file(o.output, clip, o, function() end))
  local text = report(folder, o.output)
  local data = check(text)
  equal(data.training[1].stages, { "fit", "compression" })
  equal(#data.training[1].points, 3)
  equal(data.training[1].points[3][1], 3)
  for _, part in ipairs { "<h1>c.lnv</h1>", "weights", "embeddings", "Seconds", "finished",
    "lunerv compress clip.mkv", words.count(file.bytes) .. " B", "Frame 3" } do
    if part:match " B$" and file.bytes >= 1e4 then part = words.bytes(file.bytes) end
    has(text, part)
  end
  equal(select(2, text:gsub("<img ", "")), 9)
  -- By its work folder, alone, and by the folder of both, which is the same run.
  has(report(folder, o.out), "<h1>c.lnv</h1>")
  equal(select(2, report(folder, folder.path)).runs, 1)
  os.rename(o.output, folder.path .. "/alone.lnv")
  text = report(folder, folder.path .. "/alone.lnv")
  check(text)
  has(text, "weights")
  lacks(text, "data-training>")

  o.out, o.output, o.gop = folder.path .. "/s.lnv.work", folder.path .. "/s.lnv", 2
  assert(lv.compress.file(o.output, clip, o, function() end))
  data = check((report(folder, o.output)))
  equal(data.training[1].stages, { "segment 1, fit", "segment 1, compression", "segment 2, fit",
    "segment 2, compression" })
end)

test("a custom training stores frames for its page by default", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local seen = 0
  local function train(out, kept)
    lv.train { model = tiny.model(clip), clip = clip, epochs = 1, out = out, frames = kept,
      on_frame = function() seen = seen + 1 end }
    return select(2, report(folder, out):gsub("<img ", ""))
  end
  equal(train(folder.path .. "/a"), 9)
  equal(train(folder.path .. "/b", false), 0)
  equal(seen, 2 * #clip)
end)

local small <const> = { "--epochs=1", "--fc-dim=6", "--enc-dim=4,2", "--strides=2,2", "--ch-t=4",
  "--pe-levels=4" }

test("regress and compress end with their page, which nothing depends on", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local root = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../../"
  local script = assert(native.read_file(root .. "scripts/regress.lua"))
  local out = folder.path .. "/run"
  local function regress(...)
    return harness.run(script, "scripts/regress.lua", clip.source, "--out", out,
      table.unpack(table.move({ ... }, 1, select("#", ...), #small + 1, { table.unpack(small) })))
  end
  regress()
  local text = assert(native.read_file(out .. "/report.html"))
  check(text)
  equal(select(2, text:gsub("<img ", "")), 9)
  -- If neither the page nor the frames can be written, the run is unchanged.
  os.remove(out .. "/report.html")
  native.make_dirs(out .. "/report.html/in/the/way")
  os.execute(("rm -r '%s/frames' && touch '%s/frames'"):format(out, out))
  regress()
  assert(native.exists(out .. "/metrics.json"))

  local typed = { clip.source, "-o", folder.path .. "/a b.lnv", "--compress-epochs=1", "--json",
    table.unpack(small) }
  local said, own = {}, print
  print = function(line) said[#said + 1] = line end -- luacheck: ignore
  local ok, problem = pcall(require("lunerv.commands").compress, typed)
  local page = folder.path .. "/page.html"
  local reported, why = pcall(require("lunerv.commands").report,
    { out, folder.path .. "/a b.lnv", "-o", page, "--title", "both" })
  print = own -- luacheck: ignore
  assert(ok, problem)
  assert(reported, why)
  equal(#said, 2)
  equal(lv.json.decode(said[1]).frames, 3)
  equal(said[2], ("%s: 2 runs, %d bytes"):format(page, #assert(native.read_file(page))))
  has(assert(native.read_file(folder.path .. "/a b.lnv.work/report.html")),
    "&#39;" .. folder.path .. "/a b.lnv&#39; --compress-epochs=1")
  raises(function() require("lunerv.commands").report { out } end, "--output is missing")
  raises(function() require("lunerv.commands").report { "-o", page } end, "RUN is missing")
end)

test("curves and batches have their pictures and tables", function()
  local folder <close> = harness.folder()
  local curves = {}
  for k, name in ipairs { "lunerv", "x264 veryslow", "x265 veryslow" } do
    curves[k] = { name = name, points = { { bpp = 0.2, psnr = 30 + k, bytes = 200 },
      { bpp = 0.1, psnr = 28 + k, bytes = 100 }, { bpp = 0, psnr = 1 }, "no" } }
  end
  write(folder.path .. "/curve/curve.json", { curves = curves, notes = { "a note" } })
  local text = report(folder, folder.path .. "/curve")
  local rates = check(text).rates[1]
  equal({ #rates, rates[2].name, rates[2].dashed, #rates[2].points },
    { 3, "x264 veryslow", true, 2 })
  equal(rates[1].points, { { 0.1, 29, 100 }, { 0.2, 31, 200 } })
  has(text, "a note")

  write(folder.path .. "/batch/manifest.json", { clips = {
    { clip = "in/one.mp4", status = "done", bytes = 12345, bpp = 0.1, psnr_8bit = 31, seconds = 3 },
    { clip = "in/two.mp4", status = "failed", message = "it is not a video" },
  } })
  text = report(folder, folder.path .. "/batch")
  check(text)
  for _, part in ipairs { "1 of 2 clips done", ">one.mp4<", "12,345",
    "failed: it is not a video" }
  do
    has(text, part)
  end
end)

test("a page stays below five megabytes", function()
  local folder <close> = harness.folder()
  local epochs, children = {}, {}
  for k = 1, 4096 do epochs[k] = { epoch = k, psnr = 20, loss = 1 / k, seconds = k } end
  for k = 1, 4000 do
    children[k] = { name = ("m"):rep(200) .. k, class = "X", count = 1, tensors = {},
      children = {} }
  end
  local runs = {}
  for k = 1, 3 do
    runs[k] = folder.path .. "/run" .. k
    fit(runs[k], { epochs = epochs, command = ("x"):rep(1e6),
      tree = { name = "", class = "X", count = 4000, tensors = {}, children = children } })
  end
  -- Noise is what PNG can do nothing about.
  lv.seed(5)
  for index = 1, 3 do frame(runs[1], index, 600, 900) end
  local text, page = report(folder, runs)
  assert(page.bytes < 5e6, page.bytes)
  assert(page.bytes > 1e6, page.bytes)
  check(text)
  has(text, "shown at ")
  has(text, "The rest is left out")
end)

test("errors name the wrong argument", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/run"
  fit(path)
  raises(function() lv.report({}, { output = "p.html" }) end, "report: expected at least one run")
  raises(function() lv.report({ 3 }, { output = "p.html" }) end, "report: run 1: expected a path")
  raises(function() lv.report(path) end, "report: expected the option 'output'")
  raises(function() lv.report(path, { ouput = "x" }) end, "unknown option 'ouput'", "'output'")
  raises(function() lv.report(path, { output = path .. "/run.json" }) end, ".html")
  local page, problem = lv.report(folder.path .. "/none", { output = folder.path .. "/p.html" })
  equal({ page, problem.kind }, { nil, "io" })
  native.make_dirs(folder.path .. "/empty")
  page, problem = lv.report(folder.path .. "/empty", { output = folder.path .. "/p.html" })
  equal({ page, problem.kind }, { nil, "data" })
  has(tostring(problem), "is not a run: expected a folder with run.json")
  page = lv.report(path, { output = folder.path .. "/none/p.html" })
  equal(page, nil)
  equal(native.exists(folder.path .. "/p.html"), false)
end)

-- A browser ---------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function browser()
  for _, name in ipairs { "chromium", "chromium-browser", "google-chrome" } do
    local pipe <close> = assert(io.popen("command -v " .. name .. " 2>/dev/null"))
    local path = pipe:read "l"
    if path then return path end
  end
end

-- Shows a page; returns the document after its scripts, what it wrote to the console, and the
-- addresses that it asked for.
local function browse(program, folder, path)
  local log, net = folder.path .. "/log", folder.path .. "/net.json"
  local pipe <close> = assert(io.popen(("timeout 120 %s --headless --no-sandbox --disable-gpu "
    .. "--no-first-run --disable-background-networking --disable-component-update "
    .. "--user-data-dir=%s --log-net-log=%s --enable-logging=stderr --virtual-time-budget=3000 "
    .. "--window-size=900,1200 --dump-dom %s 2>%s"):format(quoted(program),
    quoted(folder.path .. "/profile"), quoted(net), quoted("file://" .. path), quoted(log))))
  local document, said, asked = pipe:read "a", {}, {}
  for line in (native.read_file(log) or ""):gmatch "[^\n]+" do
    if line:find("CONSOLE", 1, true) then said[#said + 1] = line end
  end
  -- What the browser asks for itself comes from no origin.
  for event in assert(native.read_file(net)):gmatch "[^\n]+" do
    local origin = event:match '"initiator":"([^"]*)"'
    local address = event:match '"url":"([^"]*)"'
    if address and origin and origin ~= "not an origin" and not address:match "^data:"
      and not address:match "^file:"
    then
      asked[#asked + 1] = address
    end
  end
  return document, said, asked
end

-- Actions of a reader, and the page's reactions.
local reader <const> = [[<script>
setTimeout(function () {
  var answers = [];
  var chart = document.querySelector(".chart.psnr"), tip = chart.querySelector(".tip");
  function press(key) { chart.dispatchEvent(new KeyboardEvent("keydown", { key: key })); }
  press("End");
  answers.push(!tip.hidden && tip.textContent);
  document.querySelector('[data-training] button[value="seconds"]').click();
  answers.push(chart.querySelector("svg").textContent.includes("seconds of training"));
  press("Home");
  answers.push(tip.textContent);
  press("Escape");
  answers.push(tip.hidden);
  var slider = document.querySelector(".compare input");
  slider.value = 80;
  slider.dispatchEvent(new Event("input"));
  answers.push(slider.parentNode.style.getPropertyValue("--at"), slider.ariaValueText ||
    slider.getAttribute("aria-valuetext"));
  document.querySelector('button[value="errors"]').click();
  answers.push(slider.parentNode.classList.contains("errors"));
  answers.push(document.querySelectorAll(".chart path").length,
    document.documentElement.scrollWidth <= window.innerWidth, window.broken === undefined);
  document.body.setAttribute("data-answers", JSON.stringify(answers));
}, 300);
</script>]]

local function answers_in(document)
  local text = assert(document:match 'data%-answers="([^"]*)"', "the page answered nothing")
  return lv.json.decode((text:gsub("&quot;", '"'):gsub("&lt;", "<"):gsub("&gt;", ">")
    :gsub("&amp;", "&")))
end

local program <const> = browser()
if not program then
  print "skipped: pages in a browser (no chromium or google-chrome is installed)"
  return
end

test("a browser shows a page without an error or a request", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/<script>window.broken=1<"
  fit(path)
  native.make_dirs(folder.path .. "/other")
  fit(folder.path .. "/other", { command = hostile, model = hostile })
  frame(path, 2)
  write(folder.path .. "/curve/curve.json", { curves = { { name = hostile, points = {
    { bpp = 0.1, psnr = 30, bytes = 10 }, { bpp = 0.2, psnr = 32, bytes = 20 } } } } })
  local text = report(folder, { path, folder.path .. "/other", folder.path .. "/curve" })
  local tried = text:gsub("</body>", function() return reader .. "</body>" end)
  write(folder.path .. "/tried.html", tried)
  local document, said, asked = browse(program, folder, folder.path .. "/tried.html")
  equal(said, {})
  equal(asked, {})
  has(document, 'data-ready="true"')
  local got = answers_in(document)
  has(got[1], "epoch 5, 10 s")
  has(got[1], "25.00 dB")
  has(got[3], "epoch 1, 2 s")
  got[1], got[3] = nil, nil
  equal({ got[2], got[4], got[5], got[6], got[7], got[8], got[9], got[10] },
    { true, true, "80%", "80 % source", true, 5, true, true })
end)

test("a browser's errors and requests would be seen", function()
  local folder <close> = harness.folder()
  write(folder.path .. "/bad.html",
    '<html><body><img src="http://127.0.0.1:9/x.png"><script>throw Error("seen")</script>')
  local _, said, asked = browse(program, folder, folder.path .. "/bad.html")
  assert(#said > 0 and #asked > 0, ("%d said, %d asked"):format(#said, #asked))
end)
