-- Protects input files from being overwritten.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local sources <const> = {}

-- Whether writing to `path` would replace `source`, or a file in it if it is a folder of images.
local function would_replace(path, source)
  local folder = path:match "^(.*)/[^/]+/*$" or "."
  return native.same_file(path, source)
    or native.exists(path) and native.same_file(folder == "" and "/" or folder, source)
end

-- Raises an error if `path`, an output, is one of the given files or folders (nil and false are
-- ignored), or a file in such a folder, by any spelling or link.
function sources.keep(path, ...)
  for i = 1, select("#", ...) do
    local source = select(i, ...)
    if source and path ~= "-" and would_replace(path, source) then
      errors.fail("usage", "output: expected a file other than the source, got '%s'", path)
    end
  end
end

return sources
