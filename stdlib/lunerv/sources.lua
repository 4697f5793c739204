-- What is read is not written over.
local bridge <const> = require "lunerv.bridge"
local native <const> = require "lunerv.native"

local sources <const> = {}

-- Fails where `path`, which is to be written, names one of the files or folders that follow (nil
-- and false are none), by whatever spelling or link.
function sources.keep(path, ...)
  for i = 1, select("#", ...) do
    local source = select(i, ...)
    if source and path ~= "-" and native.same_file(path, source) then
      bridge.fail("usage", ("output: expected another file than the source, got '%s'"):format(path))
    end
  end
end

return sources
