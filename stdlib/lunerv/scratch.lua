-- Temporary files and folders.
--
--   local file <close> = scratch.file ".png"
--   write(file.path)
--
-- Ctrl-C skips the closing of a variable: code that runs for seconds uses bridge.on_error as well.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local Scratch <const> = {}
Scratch.__index = Scratch

local scratch <const> = {}

-- The path of a new, empty file, which no other process uses.
local function reserved()
  local ok, path = pcall(os.tmpname)
  if not ok then errors.fail("io", "a temporary file cannot be created: %s", path) end
  return path
end

-- A path for a temporary file whose name ends in `extension`.
function scratch.file(extension)
  local stem = reserved()
  return setmetatable({ path = stem .. extension, stem = stem }, Scratch)
end

-- A new, empty temporary folder. `remove` removes the files in it, too.
function scratch.folder()
  local path = reserved()
  os.remove(path)
  native.make_dirs(path)
  return setmetatable({ path = path, stem = path, is_folder = true }, Scratch)
end

local function empty(folder)
  local ok, names = pcall(native.list_dir, folder)
  for _, name in ipairs(ok and names or {}) do
    local path = folder .. "/" .. name
    if not os.remove(path) then
      empty(path)
      os.remove(path)
    end
  end
end

-- Removes it; harmless when called twice.
function Scratch:remove()
  if self.is_folder then empty(self.path) end
  os.remove(self.path)
  os.remove(self.stem)
end

Scratch.__close = Scratch.remove

return scratch
