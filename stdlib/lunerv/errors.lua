-- Errors that name the user's line: the innermost frame that is not part of this library.
local errors <const> = {}

-- What every chunk of this library is named by: "@…/lunerv/" from a folder, "=lunerv." embedded.
local home <const> = debug.getinfo(1, "S").source:match "^.*lunerv[./]"

-- The path of the module being computed, or nil; `nn.class` says how it is found.
function errors.module_path() return nil end

local function user_position()
  local level = 3
  while true do
    local frame = debug.getinfo(level, "Sl")
    if not frame then return "" end
    if frame.what ~= "C" and frame.source:sub(1, #home) ~= home then
      return ("%s:%d: "):format(frame.short_src, frame.currentline)
    end
    level = level + 1
  end
end

-- Raises `message` (formatted with what follows it) at the user's line.
function errors.raise(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  local path = errors.module_path()
  error(user_position() .. (path and path .. ": " or "") .. message, 0)
end

-- A list of names for a message: "a, b, c".
function errors.list(names)
  local sorted = table.move(names, 1, #names, 1, {})
  table.sort(sorted, function(a, b) return tostring(a) < tostring(b) end)
  for i, name in ipairs(sorted) do sorted[i] = tostring(name) end
  return table.concat(sorted, ", ")
end

return errors
