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

-- A function that gives the bytes of a good file in which some sections are others, under sound
-- checksums; the names of its sections, and what is in them.
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
  assert(lv.time() - began < 60, message)
end

return workshop
