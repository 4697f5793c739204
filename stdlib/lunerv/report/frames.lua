-- Saves a few frames of a run, as source and as decoded: PNG files in OUT/frames.
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local sources <const> = require "lunerv.sources"
local video <const> = require "lunerv.video"

local frames <const> = { count = 3 }

local Frames <const> = {}
Frames.__index = Frames

-- Frames for the folder `out` of a run on `clip`; `source` is another input file.
function frames.of(out, clip, source)
  local wanted = {}
  -- The frames of a view have the indices of its clip.
  local indices = type(clip) == "table" and rawget(clip, "indices")
  for _, i in ipairs(metrics.spread(#clip, frames.count)) do
    wanted[indices and indices[i] or i] = true
  end
  return setmetatable({ folder = out .. "/frames", wanted = wanted,
    read = { clip.source or false, source or false } }, Frames)
end

local function path_of(folder, index, kind)
  return ("%s/%06d-%s.png"):format(folder, index, kind)
end

-- Writes into a folder that contains nothing except the files of an earlier run.
local function begin(self)
  if self.begun then return end
  native.work_folder(self.folder)
  for _, name in ipairs(native.list_dir(self.folder)) do
    if name:match "^%d%d%d%d%d%d+%-source%.png$" or name:match "^%d%d%d%d%d%d+%-decoded%.png$" then
      sources.keep(self.folder .. "/" .. name, table.unpack(self.read))
      native.remove(self.folder .. "/" .. name)
    end
  end
  self.begun = true
end

local function write(self, index, source, decoded)
  begin(self)
  for kind, image in pairs { source = source, decoded = decoded } do
    local path = path_of(self.folder, index, kind)
    sources.keep(path, table.unpack(self.read))
    errors.must(video.write_image(path, image))
  end
end

-- Saves frame `index` if it is one of the few. They are only for the page: if they cannot be
-- written, a warning says so once.
function Frames:add(index, source, decoded)
  if not self.wanted[index] or self.failed then return end
  local ok, problem = errors.attempt(write, self, index, source, decoded)
  if ok then return end
  self.failed = true
  native.stderr(("warning: frames for the page could not be written: %s\n"):format(
    errors.reason(problem)))
end

-- Warns that a page leaves out the file at `path`.
function frames.left_out(path, problem)
  native.stderr(("warning: the page leaves out %s: %s\n"):format(native.printable(path),
    errors.reason(problem)))
end

-- The frames kept in the folder of a run: a list of { index, source, decoded }, paths, by index.
function frames.list(out)
  local folder, list = out .. "/frames", {}
  if not native.exists(folder) then return list end
  local ok, names = errors.attempt(native.list_dir, folder)
  if not ok then frames.left_out(folder, names) end
  for _, name in ipairs(ok and names or {}) do
    local index = name:match "^(%d+)%-source%.png$"
    local decoded = index and ("%s/%s-decoded.png"):format(folder, index)
    if decoded and native.exists(decoded) then
      list[#list + 1] = { index = math.tointeger(tonumber(index)), source = folder .. "/" .. name,
        decoded = decoded }
    end
  end
  table.sort(list, function(a, b) return a.index < b.index end)
  return list
end

return frames
