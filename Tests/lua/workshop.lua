-- What tests of programs inside files share: modules that `require` finds, a clip, the program from
-- outside, and forged files.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"

local workshop <const> = {}

-- A folder with these modules, found by `require` while the variable lives.
function workshop.modules(modules)
  local folder <const> = harness.folder()
  local before <const> = package.path
  package.path = folder.path .. "/?.lua;" .. before
  for name, text in pairs(modules) do
    local path = folder.path .. "/" .. name:gsub("%.", "/") .. ".lua"
    lv.make_dirs((path:match "^(.*)/"))
    assert(lv.write_file(path, text))
  end
  local guard <const> = { path = folder.path }
  function guard.clear()
    for name in pairs(modules) do package.loaded[name] = nil end
  end
  return setmetatable(guard, {
    __close = function()
      package.path = before
      guard.clear()
      local _ <close> = folder
    end,
  })
end

-- A clip of three frames, 20 by 12, in a folder.
function workshop.clip(folder)
  local path = folder.path .. "/clip.mkv"
  local writer = assert(lv.video.writer(path, { width = 20, height = 12, fps = 25 }))
  local x, y = lv.arange(1, 20):view(1, 1, 1, 20), lv.arange(1, 12):view(1, 1, 12, 1)
  local tints = lv.tensor({ 0, 1, 2 }):view(1, 3, 1, 1)
  for i = 1, 3 do writer:write((x * 0.3 + y * 0.2 + tints + i * 0.3):sin() * 0.4 + 0.5) end
  writer:close()
  return assert(lv.video.open(path))
end

-- Runs the program in a folder, the root if none is named, with the library inside it; what it
-- said, and its exit code.
function workshop.lunerv(words, folder)
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  local line = ("cd '%s' && env -u LUNERV_STDLIB '%s' %s 2>&1"):format(folder or "/", pipe:read "l",
    words)
  local output = assert(io.popen(line))
  local text = output:read "a"
  local _, _, code = output:close()
  return text, code
end

-- A function that returns the bytes of the file with some sections replaced, under sound checksums;
-- the names of its sections, and their content.
function workshop.forger(path)
  local names, payloads = native.lnv_unpack(assert(lv.read_file(path)))
  return function(changes)
    local kinds, changed = {}, {}
    for i, name in ipairs(names) do
      -- Weights are given in their first form.
      kinds[i] = changes.weights and name == "seeded weights" and "weights" or name
      changed[i] = changes[kinds[i]] or payloads[i]
    end
    return native.lnv_pack(kinds, changed)
  end, names, payloads
end

-- The file must be an error that names a section.
function workshop.harmless(path, bytes, expected)
  assert(lv.write_file(path, bytes))
  local began = lv.time()
  local video, message = lv.codec.open(path, { max_work = 1e8, max_memory = 1 << 28 })
  if video then
    local ok, problem = pcall(function() return video:frame(1) end)
    if ok then error "a frame came" end
    message = tostring(problem)
  end
  assert(message:find("section '", 1, true), message)
  assert(message:find(expected, 1, true), ("expected '%s', got '%s'"):format(expected, message))
  assert(lv.time() - began < 60 * harness.patience, message)
end

-- A decoder of two modules -----------------------------------------------------------------------

-- The part has indentation and a comment, which a file does not store.
workshop.part = [[
local lv <const> = require "lunerv"
-- Doubles the map.
local Part = lv.nn.class "Part"
function Part:init(c_in, c_out)
  self.up = lv.nn.Conv2d(c_in, 4 * c_out, { kernel = 3, padding = 1 })
end
function Part:forward(x) return self.up(x):pixel_shuffle(2):sin() end
return Part
]]

-- A decoder of time: PALETTE is a constant that the trainer does not know.
workshop.own = [[
local lv <const> = require "lunerv"
local Part <const> = require "inner.part"
local Own = lv.nn.class "Own"
function Own:init(height, width, given)
  local o = lv.options(given, { widths = { 6, 5 }, bias = 0.5 }, { "note" })
  self.bias, self.note = o.bias, o.note
  self.rows, self.columns = height // 4, width // 4
  self.palette = lv.tensor { 0.1, 0.2, 0.3 }:view(1, 3, 1, 1)
  self.when = lv.nn.PositionEncoding { levels = 3 }
  self.stem = lv.nn.Linear(6, o.widths[1] * self.rows * self.columns)
  self.body = lv.nn.List {}
  local c = o.widths[1]
  for _, width in ipairs { o.widths[2], 4 } do
    self.body:append(Part(c, width))
    c = width
  end
  self.head = lv.nn.Conv2d(c, 3, { kernel = 1 })
end
function Own:forward(t)
  local x = self.stem(self.when(t)):view(1, -1, self.rows, self.columns)
  for _, part in ipairs(self.body) do x = part(x) end
  return lv.nn.out_image(self.head(x) + self.palette, self.bias)
end
return Own
]]

-- Compresses the decoder above, and writes it to a file. Returns its path, the file and the model.
function workshop.own_file(folder, clip, given)
  lv.seed(4)
  local model = require "own"(clip.height, clip.width, given)
  local small = lv.compress.cem(model, { clip = clip })
  lv.train { model = small, clip = clip, epochs = 2 }
  local path = folder.path .. "/own.lnv"
  return path, assert(lv.codec.write(path, small, { clip = clip })), small
end

return workshop
