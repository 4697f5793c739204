-- What is read is not written over.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local sources <const> = {}

-- Whether writing `path` would replace `source`, or a file in it, where it is a folder of images.
local function would_replace(path, source)
  local folder = path:match "^(.*)/[^/]+/*$" or "."
  return native.same_file(path, source)
    or native.exists(path) and native.same_file(folder == "" and "/" or folder, source)
end

-- Fails where `path`, which is to be written, names one of the files or folders that follow (nil
-- and false are none), or a file in such a folder, by whatever spelling or link.
function sources.keep(path, ...)
  for i = 1, select("#", ...) do
    local source = select(i, ...)
    if source and path ~= "-" and would_replace(path, source) then
      errors.fail("usage", "output: expected another file than the source, got '%s'", path)
    end
  end
end

return sources
