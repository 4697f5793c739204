-- Rate control: bytes, quality and time asked for, and what comes of them.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local commands <const> = require "lunerv.commands"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test
local patience <const> = harness.patience

local function clip_in(folder, width, height, frames)
  local path = folder.path .. "/clip.mkv"
  local writer = assert(lv.video.writer(path, { width = width, height = height, fps = 25 }))
  local x = lv.arange(0, width - 1):view(1, 1, 1, width) / width
  local y = lv.arange(0, height - 1):view(1, 1, height, 1) / height
  for i = 1, frames do
    local r, g = (x * 5 + i * 0.4):sin() * 0.4 + 0.5 + y * 0, y * 0.9 + x * 0
    writer:write(lv.cat({ r, g, (x * y * 9):cos() * 0.3 + 0.5 }, 2))
  end
  writer:close()
  return path
end

local runs = 0

-- Runs `lunerv compress` on a small clip; returns the file's bytes, bpp and psnr_8bit.
local function compress(folder, words, frames)
  local path, source = folder.path .. "/clip.lnv", clip_in(folder, 66, 50, frames or 3)
  runs = runs + 1
  local arguments = { source, "-o", path, "--out", folder.path .. "/work" .. runs, "--strides",
    "2,2", "--epochs", "4", "--compress-epochs", "4" }
  for word in words:gmatch "%S+" do arguments[#arguments + 1] = word end
  local show <const>, said = print, ""
  do
    local _ <close> = setmetatable({}, { __close = function() _G.print = show end })
    function _G.print(text) said = text end
    commands.compress(arguments)
  end
  local clip <close> = assert(lv.video.open(source))
  local video = assert(lv.codec.open(path))
  local result = video:evaluate(clip)
  result.bytes, result.bpp, result.decoder = video.bytes, video.bpp, lv.codec.info(path).decoder
  -- What is said last is true of the file.
  local claim = ("%d bytes, %.4f bpp, psnr_8bit %.2f dB"):format(video.bytes, video.bpp,
    result.psnr_8bit)
  assert(said:find(claim, 1, true), said .. ", not " .. claim)
  return result
end

test("BD-rate is the piecewise cubic's", function()
  local a = { { bpp = 0.1, psnr = 30 }, { bpp = 0.4, psnr = 36.5 }, { bpp = 0.2, psnr = 33 },
    { bpp = 0.8, psnr = 39 } }
  local b = { { bpp = 0.12, psnr = 30.5 }, { bpp = 0.21, psnr = 33.3 },
    { bpp = 0.44, psnr = 36.1 }, { bpp = 0.9, psnr = 39.9 } }
  near(lv.bd_rate(a, b), 7.236736370279551, 1e-9) -- SciPy's PchipInterpolator, integrated
  local cheaper = {}
  for i, point in ipairs(a) do cheaper[i] = { bpp = 0.8 * point.bpp, psnr = point.psnr } end
  near(lv.bd_rate(a, cheaper), -20, 1e-9)
  local far = { { bpp = 1, psnr = 50 }, { bpp = 2, psnr = 60 } }
  equal(lv.bd_rate(a, far), nil)
  equal(lv.bd_rate(a, { a[1] }), nil)
end)

test("x264 and x265 to compare with", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 67, 51, 4)))
  for _, codec in ipairs(lv.reference.codecs) do
    local function at(crf)
      return lv.reference.encode(clip, { codec = codec, crf = crf, preset = "fast" })
    end
    local fine, coarse = at(15), at(40)
    assert(fine.bytes > coarse.bytes and fine.psnr_8bit > coarse.psnr_8bit + 3,
      ("%s: %d bytes, %g dB; %d bytes, %g dB"):format(codec, fine.bytes, fine.psnr_8bit,
        coarse.bytes, coarse.psnr_8bit))
    near(fine.bpp, 8 * fine.bytes / (4 * 67 * 51), 1e-12)
    local wanted = (fine.bytes + coarse.bytes) // 2
    local found = lv.reference.at_bytes(clip, wanted, { codec = codec, preset = "fast" })
    near(found.bytes / wanted, 1, 0.1)
  end
  equal(lv.list_dir(folder.path), { "clip.mkv" })
  raises(function() lv.reference.encode(clip, { codec = "vp9" }) end, "codec: expected", "x265")
  -- A bare stream holds pictures alone, without x264's note about itself.
  local path = folder.path .. "/bare.264"
  local writer = assert(lv.video.writer(path, { width = 64, height = 48, one_group = true }))
  for _ = 1, 3 do writer:write(lv.zeros(1, 3, 48, 64)) end
  writer:close()
  local bytes = assert(lv.read_file(path))
  equal(bytes:find("x264", 1, true), nil)
  assert(#bytes < 400, #bytes .. " bytes")
  raises(function() assert(lv.video.writer(folder.path .. "/bare.265", { width = 64, height = 48,
    format = "x264" })) end, ".264")
end)

test("a file takes the bytes asked for, and not one more", function()
  local folder <close> = harness.folder()
  for _, bytes in ipairs { 3000, 6000 } do
    local file = compress(folder, "--bytes " .. bytes)
    assert(file.bytes <= bytes and file.bytes >= 0.97 * bytes, file.bytes)
  end
  local file = compress(folder, "--bpp 4 --model hnerv --bytes 1G")
  near(file.bpp, 4, 0.12)
  assert(file.bpp <= 4, file.bpp)
  -- The other compression method is controlled by its step sizes alone.
  file = compress(folder, "--bytes 5000 --method three_step")
  assert(file.bytes <= 5000, file.bytes)
  raises(function() compress(folder, "--bytes 100") end, "100 bytes are too few", "at least")
end)

test("a budget of bytes includes a map that all frames share", function()
  local folder <close> = harness.folder()
  local function channels(words)
    local decoder = compress(folder, words .. " --epochs 1 --compress-epochs 1").decoder
    return math.tointeger(decoder:match '"static_dim":(%d+)') or 0
  end
  -- The map must leave room for a trunk.
  equal(channels "--bytes 1500", 0)
  equal(channels "--bytes 6000", 3)
  equal(channels "--bytes 6000 --static-dim 0", 0)
  equal(channels "--bytes 6000 --static-dim 5", 5)
  equal(channels "--bytes 60000 --params 60000", 0)
end)

test("a plan keeps options that were typed, even at their defaults", function()
  local folder <close> = harness.folder()
  local function widths(words)
    local decoder = compress(folder, words .. " --epochs 1 --compress-epochs 1").decoder
    return decoder:match '"ch_t":(%d+)', decoder:match '"dec_blks":(%b[])'
  end
  -- A file does not name options that are at their defaults.
  assert(tonumber((widths "--bytes 12000")) < 32)
  equal((widths "--bytes 12000 --ch-t 32"), nil)
  equal(select(2, widths "--bytes 12000 --head-scale 2"), "[2]")
  equal(select(2, widths "--bytes 12000 --head-scale 2 --dec-blks 1,1,2"), nil)
end)

test("trained step sizes are kept if the bytes allow it", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 3)))
  local model = lv.models.hnerv_boost { clip = clip, fc_dim = 8, enc_dim = { 8, 4 },
    strides = { 2, 2 }, ch_t = 4, pe_levels = 8 }
  local small = lv.compress.cem(model, { target_bpp = 1 })
  lv.train { model = small, clip = clip, epochs = 20, lr = 3e-3 }
  local path = folder.path .. "/clip.lnv"
  local allowed = {}
  local trained = require("lunerv.compress.candidates").open(path, clip, allowed,
    { out = folder.path }, function() end)
  local size = trained:size(small)
  allowed.bytes = size * 5 // 4
  local file = trained:offer(small, 2, true)
  equal(file.size, size)
  near(file.psnr_8bit, lv.metrics.evaluate(small, clip).psnr_8bit, 0.01)
end)

test("a file is as good as asked for, and no larger than that takes", function()
  local folder <close> = harness.folder()
  local best = compress(folder, "--bytes 8000")
  local file = compress(folder, ("--bytes 8000 --psnr %.2f"):format(best.psnr_8bit - 1.5))
  assert(file.psnr_8bit >= best.psnr_8bit - 1.5 and file.bytes < 0.97 * best.bytes,
    ("%d bytes, %g dB"):format(file.bytes, file.psnr_8bit))
end)

test("frames that stand for all are evenly spread", function()
  equal(lv.metrics.spread(10, 5), { 2, 4, 6, 8, 10 })
  equal(lv.metrics.spread(3, 16), { 1, 2, 3 })
  equal(lv.metrics.spread(250, 1), { 126 })
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 4)))
  local seen = {}
  local model = { reconstruct = function(_, frame)
    seen[#seen + 1] = frame.index
    return frame.image + (frame.index == 2 and 0.1 or 0.2)
  end }
  near(lv.metrics.evaluate(model, clip, nil, { 2 }).psnr, 20, 1e-3)
  equal(seen, { 2 })
end)

test("a file is done in time", function()
  local folder <close> = harness.folder()
  local began = lv.time()
  local file = compress(folder, "--minutes 0.1 --params 65k --epochs 9999999", 6)
  local took = lv.time() - began
  assert(took < 9 * patience, ("%g s"):format(took))
  assert(file.bytes > 0)
end)

test("a valid file exists from the first evaluation on", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 3)))
  local o = lv.options.parse({ clip.path, "-o", folder.path .. "/clip.lnv", "--bytes", "5000",
    "--strides", "2,2", "--epochs", "9" },
    { command = "compress_file", usage = "", positional = { "clip" } })
  o.out = folder.path .. "/work"
  raises(function()
    lv.compress.file(o.output, clip, o, function(line)
      if line:find("bpp", 1, true) then error("stopped on purpose", 0) end
    end)
  end, "stopped on purpose")
  local video = assert(lv.codec.open(o.output))
  equal(#video, 3)
  assert(video.bytes <= 5000)
end)

-- Options of `lunerv compress` for a clip, and words more.
local function options_of(folder, clip, words)
  local arguments = { clip.path, "-o", folder.path .. "/clip.lnv", "--strides", "2,2", "--epochs",
    "5", "--compress-epochs", "5" }
  for word in words:gmatch "%S+" do arguments[#arguments + 1] = word end
  local o = lv.options.parse(arguments,
    { command = "compress_file", usage = "", positional = { "clip" } })
  o.out = folder.path .. "/work"
  return o
end

-- Runs, and stops where frame number `stop_at` of the run is asked for.
local function run_until(stop_at, clip, o)
  local asked, lines, class = 0, {}, getmetatable(clip).__index
  function clip.sample(self, i)
    asked = asked + 1
    if asked == stop_at then error("stopped on purpose", 0) end
    return class.sample(self, i)
  end
  lv.seed(o.seed)
  local ok, file = pcall(lv.compress.file, o.output, clip, o,
    function(line) lines[#lines + 1] = line end)
  clip.sample = nil
  assert(ok or file == "stopped on purpose", file)
  return ok and file or nil, table.concat(lines, "\n"), asked
end

-- Stopped while fitting, in an evaluation, during compression and near the end.
test("a resumed run towards a rate, or a quality, equals one that never stopped", function()
  for _, words in ipairs { "--bpp 4", "--psnr 12.6 --enc-dim 4,2 --recipe published" } do
    local folder <close> = harness.folder()
    local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 3)))
    local o = options_of(folder, clip, words)
    local whole, _, frames = run_until(nil, clip, o)
    local bytes = assert(lv.read_file(o.output))
    os.execute(("rm -r '%s/work' '%s'"):format(folder.path, o.output))
    local resumed
    for attempt, share in ipairs { 0.15, 0.1, 0.3, 0.25 } do
      o.resume = attempt > 1
      resumed = run_until(math.floor(share * frames), clip, o)
      equal(resumed, nil)
      assert(lv.codec.open(o.output))
    end
    resumed = run_until(nil, clip, o)
    equal(lv.read_file(o.output) == bytes, true)
    equal({ resumed.bytes, resumed.psnr_8bit }, { whole.bytes, whole.psnr_8bit })
    -- Once more: it is done, and says the same.
    equal(run_until(nil, clip, o).psnr_8bit, whole.psnr_8bit)
    equal(lv.read_file(o.output) == bytes, true)
    o.bpp, o.psnr = 5, nil
    raises(function() lv.compress.file(o.output, clip, o, print) end, "cannot resume", "'bpp'")
  end
end)

test("a better file from before the stop is not lost", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 3)))
  local o = options_of(folder, clip, "--bytes 6000")
  run_until(60, clip, o)
  -- As if the file there were better than all to come.
  local note = o.out .. "/best.json"
  local best = lv.json.decode(assert(lv.read_file(note)))
  best.psnr_8bit = 99
  assert(lv.write_file(note, lv.json.encode(best)))
  local before = lv.read_file(o.output)
  o.resume = true
  run_until(nil, clip, o)
  equal(lv.read_file(o.output) == before, true)
  -- A new run does not use it.
  o.resume = false
  assert(run_until(nil, clip, o).psnr_8bit < 99)
end)

test("a network too small for the quality asked for grows, also where it was stopped", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 3)))
  local o = options_of(folder, clip, "--psnr 12.6 --enc-dim 4,2 --recipe published")
  local _, said, frames = run_until(nil, clip, o)
  local sizes = {}
  for size in said:gmatch "(%d+) stored parameters" do sizes[#sizes + 1] = tonumber(size) end
  equal(#sizes, 2)
  near(sizes[2], 2 * sizes[1], 0.1 * sizes[1])
  assert(not run_until(frames * 2 // 3, clip, o))
  o.resume = true
  local _, again = run_until(nil, clip, o)
  equal(tonumber(again:match "(%d+) stored parameters"), sizes[2])
  -- One whose size was asked for does not.
  o = options_of(folder, clip, "--psnr 45 --enc-dim 4,2 --fc-dim 2 --epochs 1")
  _, said = run_until(nil, clip, o)
  equal(select(2, said:gsub("stored parameters", "")), 1)
  assert(said:find("this is the best result", 1, true), said)
end)

test("a run that missed its quality within its minutes is resumed, and does not grow", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 3)))
  local o = options_of(folder, clip, ("--psnr 79 --minutes %g"):format(0.05 * patience))
  for _ = 1, 2 do
    local file, said = run_until(nil, clip, o)
    assert(file, said)
    equal(select(2, said:gsub("stored parameters", "")), 1)
    o.resume = true
  end
end)

test("within a number of minutes there is a file from the first evaluation on", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(clip_in(folder, 66, 50, 3)))
  local o = options_of(folder, clip, ("--minutes %g --params 65k"):format(0.05 * patience))
  o.epochs = 9999999
  raises(function()
    lv.compress.file(o.output, clip, o, function(line)
      if line:find("bpp", 1, true) then error("stopped on purpose", 0) end
    end)
  end, "stopped on purpose")
  local first = assert(lv.codec.open(o.output)):evaluate(clip)
  o.resume = true
  local file, _ = run_until(nil, clip, o)
  assert(file.psnr_8bit > first.psnr_8bit)
end)
