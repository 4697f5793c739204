-- Clips in segments: cuts, shared budgets, warm starts, resuming, joining.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local commands <const> = require "lunerv.commands"
local scenes <const> = require "lunerv.compress.scenes"
local segments <const> = require "lunerv.compress.segments"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local width <const>, height <const> = 66, 50
local x <const> = lv.arange(0, width - 1):view(1, 1, 1, width) / width
local y <const> = lv.arange(0, height - 1):view(1, 1, height, 1) / height

local function waves(i)
  return lv.cat({ (x * 5 + i * 0.4):sin() * 0.4 + 0.5 + y * 0, y * 0.9 + x * 0,
    (x * y * 9):cos() * 0.3 + 0.5 }, 2)
end

-- Writes a clip of `frames` frames, each picture(i), and returns its path.
local function clip_in(folder, frames, picture)
  local path = folder.path .. "/clip.mkv"
  local writer = assert(lv.video.writer(path, { width = width, height = height, fps = 25 }))
  for i = 1, frames do writer:write((picture or waves)(i)) end
  writer:close()
  return path
end

local tiny <const> = "--strides 2,2 --fc-dim 6 --enc-dim 4,2 --ch-t 4 --pe-levels 4 "
  .. "--epochs 3 --compress-epochs 2 "

-- The options of `lunerv compress CLIP -o FOLDER/clip.lnv`, and words more.
local function options_of(folder, clip, words)
  local arguments = { clip, "-o", folder.path .. "/clip.lnv" }
  for word in words:gmatch "%S+" do arguments[#arguments + 1] = word end
  local o = lv.options.parse(arguments,
    { command = "compress_file", usage = "", positional = { "clip" } })
  o.out = folder.path .. "/kept"
  return o
end

-- Does what `lunerv compress` does; returns the result and the lines it printed. The run fails when
-- it asks for its `stop_at`-th frame.
local function compress(folder, path, words, stop_at)
  local o, lines, asked = options_of(folder, path, words), {}, 0
  lv.seed(o.seed)
  local clip <close> = assert(lv.video.open_for(o, o.out,
    segments.wanted(o) and lv.video.scan or lv.video.open))
  local class = getmetatable(clip).__index
  local function sample(self, i)
    asked = asked + 1
    if asked == stop_at then error("stopped on purpose", 0) end
    return class.sample(self, i)
  end
  clip.sample = sample
  function clip.part(self, first, last)
    local part = class.part(self, first, last)
    part.sample = sample
    return part
  end
  local ok, file = pcall(lv.compress.file, o.output, clip, o,
    function(line) lines[#lines + 1] = line end)
  if not stop_at then
    assert(ok, file)
    return file, table.concat(lines, "\n"), asked
  end
  equal({ ok, file }, { false, "stopped on purpose" })
end

local function lengths(frames, o)
  local clip = setmetatable({ changes = function() return o.changes end },
    { __len = function() return frames end })
  local list, first = {}, 1
  for i, segment in ipairs(segments.split(clip, o)) do
    equal(segment.first, first)
    list[i], first = segment.last - first + 1, segment.last + 1
  end
  equal(first, frames + 1)
  return list
end

test("segments are of one length, and the last is no runt", function()
  equal(lengths(48, { gop = 16 }), { 16, 16, 16 })
  equal(lengths(47, { gop = 16 }), { 16, 16, 15 })
  equal(lengths(49, { gop = 16 }), { 16, 16, 9, 8 })
  equal(lengths(56, { gop = 16 }), { 16, 16, 16, 8 })
  equal(lengths(4, { gop = 3 }), { 2, 2 })
  equal(lengths(5, { gop = 2 }), { 2, 2, 1 })
  equal(lengths(9, { gop = 9 }), { 9 })
  equal(lengths(9, { gop = 100 }), { 9 })
  equal(lengths(1, { gop = 2 }), { 1 })
  raises(function() lengths(16386, { gop = 2 }) end, "8193 segments", "8192")
  for _, wrong in ipairs { "--gop 0", "--gop 1", "--gop -4", "--gop 2.5", "--scene-threshold 0",
    "--min-gop 0" } do
    raises(function() options_of({ path = "x" }, "clip", wrong) end, wrong:match "^%S+", "expected")
  end
end)

test("chains end where networks do not fit, or after N segments", function()
  local function chains(lengths_, o)
    local list, first, found = {}, 1, {}
    for i, length in ipairs(lengths_) do
      list[i], first = { first = first, last = first + length - 1 }, first + length
    end
    for i, chain in ipairs(segments.chains(list, o)) do
      found[i] = { chain.first, chain.last, chain.frames }
    end
    return found
  end
  equal(chains({ 16, 16, 15, 9 }, { warm_start = true }), { { 1, 3, 47 }, { 4, 4, 9 } })
  equal(chains({ 16, 16, 15, 9 }, { warm_start = false }),
    { { 1, 1, 16 }, { 2, 2, 16 }, { 3, 3, 15 }, { 4, 4, 9 } })
  equal(chains({ 8, 8, 8, 8, 8 }, { warm_start = true, chain = 2 }),
    { { 1, 2, 16 }, { 3, 4, 16 }, { 5, 5, 8 } })
  -- By the length that the first network of a chain was sized for.
  equal(chains({ 8, 10, 12, 10 }, { warm_start = true }), { { 1, 2, 18 }, { 3, 4, 22 } })
end)

test("scenes end at cuts, not at flashes, fades or in motion", function()
  local folder <close> = harness.folder()
  local function picture(i)
    local image = waves(i)
    if i >= 13 then image = 1 - image end -- a cut
    if i == 19 then return lv.ones(1, 3, height, width) end -- a flash
    if i >= 25 then image = image * math.max(0, 1 - (i - 24) / 12) end -- a fade to black
    if i >= 37 then image = waves(2 * i) end -- a cut
    return image
  end
  local clip <close> = assert(lv.video.scan(clip_in(folder, 48, picture)))
  equal({ #clip, clip.width, clip.height, clip.handle }, { 48, width, height })
  local cuts = scenes.cuts(clip:changes(), 10, 8)
  equal(cuts, { 13, 37 })
  equal(scenes.cuts(clip:changes(), 10, 13), {})
  equal(scenes.cuts(clip:changes(), 10, 12), { 13, 37 })
  equal(scenes.cuts(clip:changes(), 200, 1), {})
  equal(lengths(48, { scene_cuts = true, scene_threshold = 10, min_gop = 8, gop = 10,
    changes = clip:changes() }), { 6, 6, 10, 7, 7, 6, 6 })
end)

test("parts of a clip, also of one that can be read only once", function()
  local folder <close> = harness.folder()
  local path, pipe = clip_in(folder, 7), folder.path .. "/pipe"
  local clip <close> = assert(lv.video.open(path, { first = 2 }))
  local part <close> = clip:part(3, 5)
  equal({ #part, part.handle ~= nil }, { 3, true })
  for i = 1, 3 do
    equal(part:frame_u8(i):tolist(), clip:frame_u8(i + 2):tolist())
    near(part.timestamps[i], (i - 1) / 25, 1e-3)
  end
  near(part:sample(3).t, 1, 0)
  raises(function() clip:part(3, 7) end, "part", "1 to 6")
  os.execute(("mkfifo '%s' && cat '%s' > '%s' &"):format(pipe, path, pipe))
  for _ = 1, 1000 do
    if lv.exists(pipe) then break end
    native.sleep(0.01)
  end
  local streamed <close> = assert(lv.video.scan(pipe))
  local changes = assert(lv.video.scan(path)):changes()
  equal(streamed:changes(), changes)
  local view <close> = streamed:part(4, 6)
  equal(#view, 3)
  equal(view:frame(1):tolist(), part:frame(1):tolist())
  equal(view:sample(2).index, 2)
end)

test("a file in segments is decoded segment by segment, in any order", function()
  local folder <close> = harness.folder()
  local source = clip_in(folder, 5)
  local file, said = compress(folder, source, tiny .. "--gop 2")
  assert(said:find("segment 3 of 3: frames 5 to 5", 1, true), said)
  local path = folder.path .. "/clip.lnv"
  local info = assert(lv.codec.info(path))
  local sum, weights = 0, {}
  for _, section in ipairs(info.sections) do
    sum = sum + section.bytes
    if section.name == "weights" then weights[#weights + 1] = section.segment end
  end
  equal({ sum, info.bytes, #assert(lv.read_file(path)) }, { file.bytes, file.bytes, file.bytes })
  equal(weights, { 1, 2, 3 })
  local ranges = {}
  for k, segment in ipairs(info.segments) do ranges[k] = { segment.first, segment.last } end
  equal(ranges, { { 1, 2 }, { 3, 4 }, { 5, 5 } })

  -- Each segment is what its own file is: time starts at 0 in it.
  local video = assert(lv.codec.open(path))
  for _, index in ipairs { 5, 1, 4, 2, 3, 3 } do
    local k = (index + 1) // 2
    local own = assert(lv.codec.open(("%s/kept/segment-%03d.lnv"):format(folder.path, k)))
    equal(video:frame(index):tolist(), own:frame(index - 2 * k + 2):tolist())
    equal(video:segment_of(index), k)
  end
  raises(function() video:frame(6) end, "1 to 5")
  local clip <close> = assert(lv.video.open(source))
  local quality = video:evaluate(clip)
  for _, name in ipairs { "psnr", "psnr_8bit", "ms_ssim" } do
    near(quality[name], file[name], 1e-9)
  end

  local shown, show <const> = {}, print
  local _ <close> = setmetatable({}, { __close = function() _G.print = show end })
  function _G.print(text) shown[#shown + 1] = text end
  commands.decompress { path, "-o", folder.path .. "/out.mkv" }
  local out <close> = assert(lv.video.open(folder.path .. "/out.mkv"))
  equal(out.timestamps, clip.timestamps)
  for i = 1, 5 do
    local levels = (video:frame(i) * 255):round():clamp { min = 0, max = 255 }
    equal((levels - out:frame_u8(i):to "f32"):abs():amax():item(), 0)
  end
  shown = {}
  commands.info { path }
  local text = table.concat(shown, "\n")
  assert(text:find("frames 3 to 4", 1, true) and text:find("weights (3)", 1, true), text)
  commands.info { path, "--json" }
  equal(#lv.json.decode(shown[#shown]).segments, 3)
end)

test("a budget is shared by the segments, and kept", function()
  local folder <close> = harness.folder()
  local source = clip_in(folder, 7)
  local words = "--strides 2,2 --epochs 3 --compress-epochs 3 --gop 3 --bytes 9000 "
  for _, more in ipairs { "", "--no-warm-start --method three_step" } do
    local file = compress(folder, source, words .. more)
    equal(file.bytes, #assert(lv.read_file(folder.path .. "/clip.lnv")))
    assert(file.bytes <= 9000 and file.bytes >= 0.97 * 9000, file.bytes)
    equal(#file.segments, 3)
  end
  raises(function() compress(folder, source, words .. "--bytes 300") end, "segment 1 of 3",
    "too few")
end)

test("a run whose clip is one segment resumes too", function()
  for _, words in ipairs { tiny .. "--gop 8", tiny .. "--gop 8 --bytes 7000" } do
    local folder <close> = harness.folder()
    local source = clip_in(folder, 4)
    local _, _, asked = compress(folder, source, words)
    local whole = assert(lv.read_file(folder.path .. "/clip.lnv"))
    compress(folder, source, words, asked // 2)
    local _, said, rest = compress(folder, source, words .. " --resume")
    assert(said:find("one segment", 1, true), said)
    assert(rest < asked * 3 // 4, rest)
    equal(lv.read_file(folder.path .. "/clip.lnv") == whole, true)
    for _, other in ipairs { "--gop 9", "" } do
      raises(function()
        compress(folder, source, words:gsub("%-%-gop 8", other) .. " --resume")
      end, "cannot resume", "'gop' is 8")
    end
  end
end)

test("a run in segments resumes", function()
  for _, words in ipairs { tiny .. "--gop 3", tiny .. "--gop 3 --no-warm-start --bytes 7000" } do
    local folder <close> = harness.folder()
    local source = clip_in(folder, 8)
    local _, _, asked = compress(folder, source, words)
    local whole = assert(lv.read_file(folder.path .. "/clip.lnv"))
    os.execute(("rm -r '%s/kept'"):format(folder.path))
    os.remove(folder.path .. "/clip.lnv")
    -- In the second segment, and once more.
    compress(folder, source, words, asked * 4 // 10)
    equal(lv.exists(folder.path .. "/clip.lnv"), false)
    equal(lv.exists(folder.path .. "/kept/segment-001.lnv"), true)
    compress(folder, source, words .. " --resume", asked // 5)
    local _, said, rest = compress(folder, source, words .. " --resume")
    assert(said:find("segment 1 of 3: already done", 1, true), said)
    assert(rest < asked * 2 // 3, rest)
    equal(lv.read_file(folder.path .. "/clip.lnv") == whole, true)
    raises(function() compress(folder, source, words .. " --resume --gop 4") end, "cannot resume",
      "'gop' is 3")
    raises(function() compress(folder, source, words:gsub("%-%-gop 3", "") .. " --resume") end,
      "cannot resume", "'gop' is 3")
    -- Checkpoints of finished segments are removed.
    for _, name in ipairs(lv.list_dir(folder.path .. "/kept/segment-002/small")) do
      equal(name:match "^checkpoint", nil)
    end
  end
end)

test("files are joined as they are", function()
  local folder <close> = harness.folder()
  local paths = {}
  for k, frames in ipairs { 2, 1, 3 } do
    local clip <close> = assert(lv.video.open(clip_in(folder, frames)))
    lv.seed(k)
    local model = lv.models.hnerv_boost { clip = clip, fc_dim = 5 + k // 3, enc_dim = { 4, 2 },
      strides = { 2, 2 }, ch_t = 4, pe_levels = 4 }
    paths[k] = ("%s/%d.lnv"):format(folder.path, k)
    assert(lv.codec.write(paths[k], lv.compress.cem(model), { clip = clip, verify = false }))
  end
  local pair, out = folder.path .. "/pair.lnv", folder.path .. "/joined.lnv"
  assert(lv.codec.join(pair, { paths[2], paths[1] }))
  -- What is joined may be joined again, to another name; equal decoders are stored once.
  assert(lv.codec.join(out, { pair, paths[3] }))
  raises(function() lv.codec.join(out, { out, paths[3] }) end, "a file other than the source")
  local video, decoders = assert(lv.codec.open(out)), 0
  for _, section in ipairs(video.sections) do
    if section.name == "decoder" then decoders = decoders + 1 end
  end
  equal({ #video, #video.segments, decoders, video.timestamps }, { 6, 3, 2 })
  local order <const> = { { 2, 1 }, { 1, 1 }, { 1, 2 }, { 3, 1 }, { 3, 2 }, { 3, 3 } }
  for i, from in ipairs(order) do
    equal(video:frame(i):tolist(), assert(lv.codec.open(paths[from[1]])):frame(from[2]):tolist())
  end
  assert(lv.codec.join(out, { paths[1] }))
  equal(lv.read_file(out) == lv.read_file(paths[1]), true)
  for _, missing in ipairs { { paths[1], "missing.lnv" }, { "missing.lnv", paths[1] } } do
    local _, message = lv.codec.join(out, missing)
    assert(message:find("missing.lnv", 1, true), message)
  end
  -- One file that becomes unreadable at any time is not left out.
  local read, count = native.read_file, 0
  function native.read_file(path)
    count = count + 1
    if count == 2 then return nil, path .. ": Input/output error" end
    return read(path)
  end
  local joined, message = lv.codec.join(out, { paths[1], paths[2], paths[3] })
  native.read_file = read
  equal(joined, nil)
  assert(tostring(message):find("2.lnv: Input/output error", 1, true), message)
  raises(function() lv.codec.join(out, {}) end, "join")
  -- A few bytes that claim millions of frames, whose times would have to be written one by one.
  local names, payloads = native.lnv_unpack(assert(lv.read_file(paths[2])))
  payloads[1] = native.lnv_clip(height, width, 1 << 24, 24, {})
  assert(lv.write_file(pair, native.lnv_pack(names, payloads)))
  local _, refused = lv.codec.join(out, { pair, paths[1] })
  assert(tostring(refused):find("16777218 frames have no common rate", 1, true), refused)
end)

test("corrupt tables of segments are refused by name", function()
  local folder <close> = harness.folder()
  local source = clip_in(folder, 4)
  compress(folder, source, tiny .. "--gop 2 --families gaussian")
  local names, payloads = native.lnv_unpack(assert(lv.read_file(folder.path .. "/clip.lnv")))
  equal(names, { "clip", "segments", "decoder", "weights", "embeddings", "weights", "embeddings" })
  local function with(text, table_, drop, extra)
    local n, p = {}, {}
    for i, name in ipairs(names) do
      if i ~= drop then
        n[#n + 1], p[#p + 1] = name, name == "segments" and table_ or payloads[i]
      end
    end
    if extra then n[#n + 1], p[#p + 1] = extra, "" end
    assert(lv.write_file(folder.path .. "/bad.lnv", native.lnv_pack(n, p)))
    local video, message = lv.codec.open(folder.path .. "/bad.lnv")
    if video then
      local ok
      ok, message = pcall(function() for i = 1, #video do video:frame(i) end end)
      equal(ok, false)
    end
    assert(tostring(message):find(text, 1, true), tostring(message) .. ", not " .. text)
    assert(tostring(message):find("bad.lnv", 1, true), tostring(message))
  end
  with("section 'segments': frames 4 to 4 are in no segment", "\2\2\5\1\4")
  with("section 'segments': the segments have 5 frames, but the clip has 4", "\2\2\5\3\4")
  with("section 'segments': there are no segments", "\0")
  with("section 'segments': segment 2 has no frames", "\2\4\5\0\4")
  with("section 'segments': the number of segments", ("\x80"):rep(9) .. "\1")
  with("section 'segments': the frames of segment 1", "\2" .. ("\x80"):rep(9) .. "\1\5\2\4")
  with("section 'segments': it ends too early", "\2\2\5\2")
  with("section 'decoder' of segment 2 is missing", "\2\2\5\2\5")
  with("section 'buffers' of segment 1 is missing", "\2\2\7\2\4")
  with("section 'embeddings' occurs more often", "\2\2\5\2\0")
  with("section 'weights' of segment 2 is missing", nil, 6)
  with("section 'weights' occurs more often", nil, nil, "weights")
  with("section 'weights' occurs twice", nil, 2)
  with("section 'segments' occurs twice", nil, nil, "segments")
  -- What only the second segment has wrong is found when it is asked for.
  payloads[6] = "\xff" .. payloads[6]
  with "segment 2, section 'weights'"
end)
