-- Clips: frames, parts, order, masks, writers.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- Writes a clip of `count` grey frames and opens it.
local function grey_clip(folder, count)
  local path = folder.path .. "/grey.mkv"
  local writer = assert(lv.video.writer(path, { width = 16, height = 8, fps = 25 }))
  for i = 1, count do writer:write(lv.full(i / 255, 1, 3, 8, 16)) end
  writer:close()
  return assert(lv.video.open(path))
end

test("a clip says what it is", function()
  local folder <close> = harness.folder()
  local clip <close> = grey_clip(folder, 3)
  equal({ clip.width, clip.height, #clip }, { 16, 8, 3 })
  local frame = clip:sample(2)
  equal(frame.image.shape, { 1, 3, 8, 16 })
  equal({ frame.t, frame.index }, { 2 / 3, 2 })
end)

test("a file that is not there is no error but nil and a message", function()
  local clip, message = lv.video.open "/no/such/missing.mkv"
  equal(clip, nil)
  equal(message.kind, "io")
  assert(message:find("missing.mkv", 1, true))
end)

-- The widest gap between the frames of `list` in a clip of `count`, whose end meets its beginning.
local function widest_gap(list, count)
  table.sort(list)
  local widest = count - list[#list] + list[1]
  for i = 2, #list do widest = math.max(widest, list[i] - list[i - 1]) end
  return widest
end

test("a spread order visits every frame once an epoch, evenly at any time", function()
  for count = 1, 40 do
    local sequence = lv.video.sequence(count, "spread")
    for _ = 1, 2 do
      local visits = {}
      for i = 1, count do
        visits[i] = sequence:advance()
        local run = table.move(visits, i - 3, i, 1, {})
        if i > 3 then assert(widest_gap(run, count) <= (count + 1) // 2, count) end
      end
      table.sort(visits)
      for i = 1, count do equal(visits[i], i) end
    end
  end
end)

test("batches count steps and visit every frame once an epoch", function()
  local folder <close> = harness.folder()
  local clip <close> = grey_clip(folder, 4)
  for _, shuffle in ipairs { false, true } do
    local steps, visits = 0, { 0, 0, 0, 0 }
    for step, frame in clip:batches { epochs = 3, shuffle = shuffle } do
      steps = steps + 1
      equal(step, steps)
      visits[frame.index] = visits[frame.index] + 1
    end
    equal(steps, 12)
    equal(visits, { 3, 3, 3, 3 })
  end
end)

test("a broken loop lets go of the file, and the clip can be used again", function()
  local folder <close> = harness.folder()
  local clip = grey_clip(folder, 3)
  for step in clip:batches {} do
    if step == 2 then break end
  end
  equal(clip.handle, nil)
  equal(clip:frame(1).shape, { 1, 3, 8, 16 })
  clip:close()
  raises(function() clip:frame(1) end, "closed", "test_video.lua")
end)

test("a frame made ready ahead is the frame", function()
  local folder <close> = harness.folder()
  local clip <close> = grey_clip(folder, 5)
  local plain <close> = assert(lv.video.open(clip.path))
  -- In order, out of order, asked for again, made ready in vain.
  for _, pair in ipairs { { 1, 2 }, { 2, 3 }, { 3, 5 }, { 4, 5 }, { 5, 5 }, { 5, 1 }, { 2, 4 } } do
    local frame = clip:frame(pair[1])
    clip:prefetch(pair[2])
    harness.equal(frame:tolist(), plain:frame(pair[1]):tolist())
  end
  assert(clip.handle.waited > 0)
end)

test("frames made ready ahead take the memory of one, and none once the clip is closed", function()
  local folder <close> = harness.folder()
  local clip = grey_clip(folder, 5)
  collectgarbage()
  local before = lv.stats().live_tensors
  for i = 1, 5 do clip:prefetch(i) end
  equal(lv.stats().live_tensors, before + 1)
  clip:close()
  equal(lv.stats().live_tensors, before)
  raises(function() clip:prefetch(2) end, "closed", "test_video.lua")
end)

test("a frame that cannot be had is an error where it is asked for", function()
  local folder <close> = harness.folder()
  local clip <close> = grey_clip(folder, 2)
  raises(function() clip:prefetch(3) end, "prefetch", "test_video.lua")
  clip:prefetch(2)
  raises(function() clip:frame(3) end, "frame", "test_video.lua")
  equal(clip:frame(2).shape, { 1, 3, 8, 16 })
  local handle = clip.handle
  handle:prefetch(1)
  handle:close()
  handle:prefetch(1)
  raises(function() handle:frame(1) end, "closed")
end)

test("a scope that ends in an error leaves no video of the frames so far", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/half.mkv"
  for _, failure in ipairs { "on purpose", { "a table" } } do
    local ok, message = pcall(function()
      local writer <close> = assert(lv.video.writer(path, { width = 16, height = 8, fps = 25 }))
      writer:write(lv.zeros(1, 3, 8, 16))
      error(failure, 0)
    end)
    equal({ ok, message, lv.exists(path) }, { false, failure, false })
  end
  do
    local writer <close> = assert(lv.video.writer(path, { width = 16, height = 8, fps = 25 }))
    writer:write(lv.zeros(1, 3, 8, 16))
  end
  equal(lv.exists(path), true)
end)

test("timestamps far before 0 are refused", function()
  local folder <close> = harness.folder()
  raises(function()
    lv.video.writer(folder.path .. "/clip.mkv", { width = 16, height = 8,
      timestamps = { -1e13, 0 } })
  end, "timestamps: expected seconds that increase")
end)

test("a writer given a clip takes after it, and does not write over it", function()
  local folder <close> = harness.folder()
  local clip <close> = grey_clip(folder, 3)
  local path = folder.path .. "/copy.mkv"
  do
    local writer <close> = assert(lv.video.writer(path, { clip = clip }))
    for i = 1, #clip do writer:write(clip:frame(i)) end
  end
  local copy <close> = assert(lv.video.open(path))
  equal({ copy.width, copy.height, #copy, copy.fps }, { 16, 8, 3, 25 })
  equal(copy.timestamps, clip.timestamps)
  local before = lv.read_file(clip.source)
  local again = ("%s/../%s/grey.mkv"):format(folder.path, folder.path:match "[^/]+$")
  raises(function() lv.video.writer(again, { clip = clip }) end, "a file other than the source")
  raises(function()
    lv.video.writer(clip.source, { width = 16, height = 8, sources = { path, clip.source } })
  end, "a file other than the source")
  equal(lv.read_file(clip.source), before)
end)
