-- Small files that a run reads again when it is resumed. An existing file that cannot be read is an
-- error: if it counted as absent, the run would start over and replace its own work.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local saved <const> = {}

-- The bytes of a file; nil if there is none.
function saved.bytes(path)
  if not native.exists(path) then return nil end
  local bytes, problem = native.read_file(path)
  -- Another process may have removed it meanwhile.
  if not bytes and native.exists(path) then errors.must(nil, problem) end
  return bytes
end

-- The table in a JSON file; nil if there is none, or if it holds anything else.
function saved.any_table(path)
  local ok, data = pcall(native.json_decode, saved.bytes(path) or "")
  return ok and type(data) == "table" and data or nil
end

-- The same, but a file that holds anything else is an error.
function saved.table(path)
  local data = saved.any_table(path)
  if not data and native.exists(path) then
    errors.data("%s is damaged: omit --resume to start a new run", path)
  end
  return data
end

function saved.write(path, data)
  errors.must(native.write_file(path, native.json_encode(data) .. "\n"))
end

return saved
