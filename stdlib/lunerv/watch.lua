-- In a run of `lunerv run --watch`: lists the files that the script reads, one per line, for the
-- watching process (Sources/LunervCommand/Watch.swift): "code" or "data", a stamp of the content,
-- and the path.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"

local watch <const> = {}

-- From now on, appends the files that the script reads to the file `list`.
function watch.report(list)
  local out <const> = assert(io.open(list, "a"))
  out:setvbuf "line"
  local listed = {}

  local function note(kind, path)
    if type(path) ~= "string" or path:find "[\n\t]" or listed[path] then return end
    local stamp = native.file_stamp(path)
    if not stamp then return end
    listed[path] = true
    out:write(kind, "\t", stamp, "\t", path, "\n")
  end

  -- Runs before all other searchers and finds nothing, so that a file with an error is also listed.
  table.insert(package.searchers, 2, function(name)
    note("code", bridge.file_of_module(name) or package.searchpath(name, package.path))
  end)

  local function noting(t, name, kind)
    local f = t[name]
    if not f then return end
    t[name] = function(path, ...)
      note(kind, path)
      return f(path, ...)
    end
  end
  noting(_G, "dofile", "code")
  noting(_G, "loadfile", "code")
  noting(io, "lines", "data")
  local open <const> = io.open
  rawset(io, "open", function(path, mode)
    if mode == nil or type(mode) == "string" and mode:find "^rb?$" then note("data", path) end
    return open(path, mode)
  end)
  for _, name in ipairs { "read_file", "load_safetensors", "open_video", "scan_video" } do
    noting(native, name, "data")
  end
end

return watch
