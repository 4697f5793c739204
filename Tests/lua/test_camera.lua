-- Where the frames of a clip lie on a picture that the camera moves over.
local camera <const> = require "lunerv.compress.camera"
local continuation <const> = require "lunerv.compress.continuation"
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, near <const>, test <const> = harness.equal, harness.near, harness.test

local height <const>, width <const>, frames <const> = 72, 96, 24

-- The picture: detail of every size, like a photograph's.
local rows <const>, columns <const> = 240, 320
local whole <const> = (function()
  lv.seed(5)
  local sum = lv.zeros(1, 3, rows, columns)
  for _, scale in ipairs { 1, 2, 4, 8, 16 } do
    local part = lv.randn(1, 3, rows // scale, columns // scale)
    part = part:interpolate { size = { rows, columns }, mode = "bilinear" }
    sum = sum + part * (0.03 * scale ^ 0.5)
  end
  return (sum + 0.5):clamp(0, 1):evaluate()
end)()

-- What a frame shows if its first pixel is at this row and column, also between pixels.
local function picture(top, left)
  local function places(first, count, size)
    return (lv.arange(0, count - 1) + first) * (2 / (size - 1)) - 1
  end
  local y = places(60 + top, height, rows):view(1, height, 1):expand(1, height, width)
  local x = places(60 + left, width, columns):view(1, 1, width):expand(1, height, width)
  return whole:grid_sample(lv.stack({ x, y }, 4), { align_corners = true })
end

-- A clip whose frame i, of `count`, is frame(i).
local function clip_of(folder, frame, count)
  local path = folder.path .. "/clip.mkv"
  local writer = assert(lv.video.writer(path, { width = width, height = height, fps = 25 }))
  for i = 1, count or frames do writer:write(frame(i)) end
  writer:close()
  return assert(lv.video.open(path))
end

-- The position at `time` on a path of straight lines.
local function at(path, time)
  local knots = #path // 2
  local place = 1 + time * (knots - 1)
  local i = math.min(math.floor(place), knots - 1)
  local f = place - i
  local function value(axis)
    return path[2 * i - 2 + axis] * (1 - f) + path[2 * i + axis] * f
  end
  return value(1), value(2)
end

-- Checks the path of a clip against positions(i), which may differ by a constant.
local function follows(positions, most_knots)
  local folder <close> = harness.folder()
  local clip <close> = clip_of(folder, function(i) return picture(positions(i)) end)
  local path = assert(camera.path(clip))
  assert(#path // 2 <= most_knots, #path // 2)
  local top, left = positions(1)
  local first_top, first_left = at(path, 1 / frames)
  for i = 1, frames do
    local y, x = positions(i)
    local path_y, path_x = at(path, i / frames)
    near(path_y - first_top, y - top, 0.5)
    near(path_x - first_left, x - left, 0.5)
  end
  for axis = 1, 2 do
    local least = math.huge
    for k = axis, #path, 2 do least = math.min(least, path[k]) end
    equal(least, 0.0)
  end
end

test("a camera that moves evenly needs few knots", function()
  follows(function(i) return 0.4 * i, -0.7 * i end, 3)
end)

test("a camera that accelerates and turns is followed", function()
  follows(function(i) return 0.02 * i ^ 2, 6 * math.sin(i / 6) end, 9)
end)

test("a long clip, of which only some frames are compared, is followed to its end", function()
  local folder <close> = harness.folder()
  local count <const> = 600
  local clip <close> = clip_of(folder, function(i) return picture(0, 0.2 * i) end, count)
  local path = assert(camera.path(clip))
  local _, first = at(path, 1 / count)
  local _, last = at(path, 1)
  near(last - first, 0.2 * (count - 1), 0.3)
end)

test("a camera that leaves the first picture is followed", function()
  follows(function(i) return 0, 4 * i end, 3)
end)

test("a camera that rests, and pictures without a common motion, have no path", function()
  local folder <close> = harness.folder()
  local function path(frame, count)
    local clip <close> = clip_of(folder, frame, count)
    return camera.path(clip)
  end
  equal(path(function() return picture(0, 0) end), nil)
  equal(path(function() return lv.rand(1, 3, height, width) end), nil)
  equal(path(function() return lv.full(0.5, 1, 3, height, width) end), nil)
  equal(path(function(i) return picture(i, 0) end, 3), nil)
end)

-- Options of the command for small networks in `folder`.
local function options_of(folder, ...)
  return lv.options.parse({ folder.path .. "/clip.mkv", "-o", folder.path .. "/clip.lnv",
    "--out", folder.path .. "/work", "--strides", "3,2,2", "--epochs", "1", "--compress-epochs",
    "1", ... }, { command = "compress_file", usage = "", positional = { "clip" } })
end

-- What a model adds to the map at time t.
local function window(model, t)
  for _, stage in ipairs(model.stages) do
    local inner = stage
    while inner and inner.class_name ~= "StaticMap" do inner = inner.up or inner.block end
    if inner then
      return lv.nn.StaticMap.forward({ up = function() return 0 end, mix = inner.mix,
        static = inner.static, path = inner.path, window = inner.window }, 0, t)
    end
  end
end

-- A copy of a model's parameters, as a file holds them.
local function parameters_of(model)
  local parameters = {}
  for _, entry in ipairs(model:state_dict()) do parameters[entry[1]] = entry[2]:detach():clone() end
  return parameters
end

test("a segment keeps the map of places that the previous one has seen", function()
  lv.seed(3)
  local common = { height = height, width = width, frames = frames, strides = { 3, 2, 2 },
    fc_dim = 8, static_dim = 2 }
  local function model(path)
    local o = { static_path = path }
    for name, value in pairs(common) do o[name] = value end
    return lv.models.hnerv_boost(o)
  end
  -- Cells are 2 pixels here. The camera moves on by 13 rows, and back by 7 columns.
  local first, second = model { 0, 8, 14, 0 }, model { 0, 7, 13, 0 }
  continuation.load(second, { parameters = parameters_of(first) })
  local last, next = window(first, 1), window(second, 0)
  equal(last.shape, next.shape)
  -- Close to the border, the kernel also reaches cells that only one of them has.
  local margin = 8
  local function inner(x)
    return x:slice(3, 1 + margin, x:size(3) - margin):slice(4, 1 + margin, x:size(4) - margin)
  end
  near((inner(last) - inner(next)):abs():amax():item(), 0, 0.02)
  assert((inner(last) - inner(window(second, 1))):abs():amax():item() > 0.05)
  -- To and from a window that does not move.
  for _, pair in ipairs { { model(), first }, { first, model() }, { model(), model() } } do
    continuation.load(pair[2], { parameters = parameters_of(pair[1]) })
    equal(pair[2].head.weight:tolist(), pair[1].head.weight:tolist())
  end
end)

test("segments follow the camera, one after another", function()
  local folder <close> = harness.folder()
  local clip <close> = clip_of(folder, function(i)
    return picture(i <= 12 and 1.5 * i or 18, i > 12 and 2 * (i - 12) or 0)
  end)
  local path = folder.path .. "/clip.lnv"
  for _, budget in ipairs { { "--bytes", "24000" }, { "--fc-dim", "6", "--static-dim", "2" } } do
    local o = options_of(folder, "--gop", "12", table.unpack(budget))
    local said = {}
    assert(lv.compress.file(path, clip, o, function(line) said[#said + 1] = line end))
    assert(table.concat(said, "\n"):find("starting from the previous network", 1, true))
    local video <close> = assert(lv.codec.open(path))
    if o.bytes then assert(assert(lv.codec.info(path)).bytes <= o.bytes) end
    equal(#video.segments, 2)
    equal(#video, frames)
    for i = 1, frames do assert(video:frame(i):is_finite()) end
  end
end)

test("a run whose map follows the camera can be diagnosed", function()
  local folder <close> = harness.folder()
  local clip <close> = clip_of(folder, function(i) return picture(0.5 * i, 0) end)
  local o = options_of(folder, "--fc-dim", "6", "--static-dim", "2")
  assert(lv.compress.file(folder.path .. "/clip.lnv", clip, o, function() end))
  local model = lv.diagnose.load(o.out .. "/fit")
  assert(model.config.static_knots >= 2)
end)

test("a compressed film follows the camera, unless it should not", function()
  local folder <close> = harness.folder()
  local clip <close> = clip_of(folder, function(i) return picture(0.5 * i, 0) end)
  local function decoder(...)
    local path = folder.path .. "/clip.lnv"
    local o = options_of(folder, ...)
    assert(lv.compress.file(path, clip, o, function() end))
    assert(lv.codec.open(path)):frame(frames)
    return assert(lv.codec.info(path)).decoder
  end
  for _, budget in ipairs { { "--bytes", "8000" }, { "--fc-dim", "6", "--static-dim", "2" } } do
    local here = decoder(table.unpack(budget))
    equal(here:match '^hnerv_boost@(%d+)', "4")
    local down, right = here:match '"static_reach":%[(%d+),(%d+)%]'
    assert(tonumber(down) >= 5 and tonumber(down) <= 7 and tonumber(right) <= 1, here)
    budget[#budget + 1] = "--no-follow-camera"
    equal(decoder(table.unpack(budget)):match '^hnerv_boost@(%d+)', "3")
  end
end)
