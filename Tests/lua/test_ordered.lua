-- Decoders whose frames depend on each other, in files.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local workshop <const> = require "workshop"

local equal <const>, raises <const> = harness.equal, harness.raises
local test <const> = harness.test

-- Each frame is the previous one in its group, shifted and mixed with the output of a network of
-- time. The library hands the previous one in, or the decoder keeps it.
local function source(kept)
  return ([[
local lv <const> = require "lunerv"
local Chain = lv.nn.class "Chain"
function Chain:init(height, width, group)
  self.cells, self.group = { height // 4, width // 4 }, group
  self.stem = lv.nn.Linear(1, 4 * self.cells[1] * self.cells[2])
  self.head = lv.nn.Conv2d(4, 48, { kernel = 3, padding = 1 })
end
function Chain:fresh(t)
  local x = self.stem(lv.full(t, 1, 1)):view(1, 4, self.cells[1], self.cells[2])
  return lv.nn.out_image(self.head(x):pixel_shuffle(4))
end
%s
return Chain
]]):format(kept)
end

local references <const> = source [[
function Chain:references(i)
  if (i - 1) % self.group == 0 then return {} end
  return { i - 1 }
end
function Chain:forward(t, i, images)
  local image, before = self:fresh(t), images and images[1]
  if before then image = image * 0.5 + before:roll(1, 4) * 0.5 end
  return image
end]]

local state <const> = source [[
function Chain:restart() self.before = nil end
function Chain:forward(t, i)
  local image = self:fresh(t)
  if self.before then image = image * 0.5 + self.before:roll(1, 4) * 0.5 end
  self.before = image
  return image
end]]

-- From both sides of the middle of a group, as B frames are.
local pyramid <const> = source [[
function Chain:references(i)
  local at = (i - 1) % self.group
  if at == 0 then return {} end
  if at == 1 then return { i - 1, i + 1 } end
  return { i - 2 }
end
function Chain:forward(t, i, images)
  local image = self:fresh(t)
  for _, other in ipairs(images or {}) do image = image * 0.5 + other * 0.5 end
  return image
end]]

-- A clip of this many frames, 20 by 12.
local function clip_of(folder, count)
  local path = folder.path .. "/long.mkv"
  local writer = assert(lv.video.writer(path, { width = 20, height = 12, fps = 25 }))
  for i = 1, count do writer:write(lv.full(0.1 * i, 1, 3, 12, 20)) end
  writer:close()
  return assert(lv.video.open(path))
end

local function small_of(clip, name, group)
  lv.seed(4)
  local model = require(name)(clip.height, clip.width, group)
  return lv.compress.cem(model, { clip = clip }), model
end

local function written(folder, text, frames, group)
  local clip <close> = clip_of(folder, frames)
  local small = small_of(clip, "chain", group)
  local path = folder.path .. "/chain.lnv"
  return path, assert(lv.codec.write(path, small, { clip = clip })), text
end

for name, text in pairs { references = references, state = state, pyramid = pyramid } do
  test("a decoder with " .. name .. " of other frames is stored in its file", function()
    local folder <close> = workshop.modules { chain = text }
    local path, file = written(folder, text, 7, 3)
    equal({ file.segments[1].kinds.decoder, assert(lv.read_file(path)):byte(6) },
      { "ordered decoder", 4 })
    folder.clear()
    assert(os.remove(folder.path .. "/chain.lua"))
    local video = assert(lv.codec.open(path))
    local frames = {}
    for i = 1, 7 do frames[i] = video:frame(i):tolist() end
    assert(frames[1] ~= frames[2])
    -- Any order gives the same frames; so does a process that has seen no other.
    for _, i in ipairs { 7, 3, 2, 2, 6, 1, 5, 4, 7 } do
      equal(video:frame(i):tolist(), frames[i])
    end
    for _, i in ipairs { 3, 5 } do
      equal(assert(lv.codec.open(path)):frame(i):tolist(), frames[i])
    end
    local text_, code = workshop.lunerv(("decompress '%s' -o out"):format(path), folder.path)
    equal({ code, text_:match "7 frames of 20x12" }, { 0, "7 frames of 20x12" })
  end)
end

-- What forges a file, and the names and sources of its decoder's modules.
local function program_of(path)
  local forge, names, payloads = workshop.forger(path)
  local sections = {}
  for i, name in ipairs(names) do sections[name] = payloads[i] end
  return forge, native.lnv_read_program(sections["decoder program"])
end

test("frames of other groups are not needed for a frame", function()
  local folder <close> = workshop.modules { chain = references }
  local path = written(folder, references, 7, 3)
  -- The same program, which fails at every frame of the first group.
  local forge, modules, sources = program_of(path)
  sources[1] = sources[1]:gsub("function Chain:forward%(t, i, images%)",
    "%0 if i < 4 then error 'touched' end")
  assert(lv.write_file(path, forge { ["decoder program"] = native.lnv_program(modules, sources) }))
  local video = assert(lv.codec.open(path))
  equal(video:frame(5).shape, { 1, 3, 12, 20 })
  raises(function() video:frame(2) end, "touched")
end)

test("references that lead nowhere are errors", function()
  local folder <close> = workshop.modules { chain = references }
  local path = written(folder, references, 7, 3)
  local forge, modules, sources = program_of(path)
  local cases <const> = {
    { "return { i + 6 }", "frame 1: expected other frames of its group, 1 to 3, got 7" },
    { "return { i }", "references of frame 1: expected other frames" },
    { "return { 1.5 }", "got 1.5" }, { "return 3", "expected a list of numbers, got number" },
    { "return { i == 1 and 2 or 1 }", "it depends on itself" },
    { "return setmetatable({}, { __index = function() return 2 ^ 60 end })", nil },
  }
  for _, case in ipairs(cases) do
    local changed = sources[1]:gsub("function Chain:references%(i%)", "%0 do " .. case[1] .. " end")
    local program = native.lnv_program(modules, { changed })
    assert(lv.write_file(path, forge { ["decoder program"] = program }))
    local opened = assert(lv.codec.open(path))
    if case[2] then
      raises(function() opened:frame(1) end, case[2])
    else
      equal(opened:frame(1).shape, { 1, 3, 12, 20 })
    end
  end
end)

test("a group is stored in the file, and a false one is rejected", function()
  local folder <close> = workshop.modules { chain = state }
  local path, file = written(folder, state, 4, 2)
  assert(file.decoder:find('"group":2', 1, true), file.decoder)
  local forge = workshop.forger(path)
  for text, message in pairs { ['"group":0'] = "frames in a group", ['"group":1.5'] = "in a group",
    ['"group":"x"'] = "in a group", ['"embeddin":2'] = "an ordered decoder" }
  do
    local changed = file.decoder:gsub('"group":2', (text:gsub("%%", "%%%%")))
    workshop.harmless(path, forge { ["ordered decoder"] = changed }, message)
  end
  local clip <close> = clip_of(folder, 4)
  local small, model = small_of(clip, "chain", 2)
  model.group = 0
  raises(function() lv.codec.write(path, small, { clip = clip }) end,
    "Chain.group: expected an integer of at least 1, got 0")
end)
