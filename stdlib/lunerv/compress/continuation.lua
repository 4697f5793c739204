-- How a segment starts from the network of the previous one, { settings, parameters }. The camera
-- moves differently in every segment, so the static map gets a path and a size for this one. What
-- the previous map had learned of the same places is kept.
local camera <const> = require "lunerv.compress.camera"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local continuation <const> = {}

-- Whether a map for this path has at most four times the frame's area: the first segment's budget
-- has room for no more.
local function is_near(path, clip)
  for k = 1, #path, 2 do
    if path[k] > clip.height or path[k + 1] > clip.width then return false end
  end
  return true
end

-- The settings of the network for `clip`, the frames of this segment. `follows`: whether a static
-- map follows the camera.
function continuation.settings(start, clip, follows)
  local settings = options.copy(start.settings)
  local has_map = (settings.static_dim or 0) > 0
  local path = follows and has_map and camera.path(clip) or nil
  settings.static_path = path and is_near(path, clip) and path or nil
  return settings
end

-- Knot k of a path, in cells; without a path, the window is at the map's first cell.
local function position(path, k)
  if not path then return { 0, 0 } end
  return { path:select(2, k):select(2, 1):item(), path:select(2, k):select(2, 2):item() }
end

-- The cells of an axis that two maps share, if cell i of the second is cell i + shift of the first:
-- the first and the last one on the second map, or nil.
local function common(old, new, shift)
  local first, last = math.max(1, 1 - shift), math.min(new, old - shift)
  return first <= last and { first, last } or nil
end

-- Puts the static map at `prefix` of `values`, those of the previous segment, into the form of
-- `own`, those of this one.
local function adapt(values, own, prefix)
  local old, new = values[prefix .. "static"], own[prefix .. "static"]
  local old_path, new_path = values[prefix .. "path"], own[prefix .. "path"]
  if not old_path and not new_path then return end
  -- A path begins one frame before its segment: at the last frame of the previous one.
  local from, to = position(old_path, old_path and old_path:size(2)), position(new_path, 1)
  local shift, rest = {}, {}
  for axis = 1, 2 do
    local exact = from[axis] - to[axis]
    shift[axis] = math.floor(exact + 0.5)
    rest[axis] = exact - shift[axis]
  end
  local rows = common(old:size(3), new:size(3), shift[1])
  local columns = common(old:size(4), new:size(4), shift[2])
  local map = new:detach():clone()
  if rows and columns then
    map[{ {}, {}, rows, columns }] = old[{ {}, {}, { rows[1] + shift[1], rows[2] + shift[1] },
      { columns[1] + shift[2], columns[2] + shift[2] } }]
  end
  values[prefix .. "static"] = map
  values[prefix .. "path"] = new_path
    and (new_path:detach() + native.tensor(rest):view(1, 1, 2)):evaluate()
  -- A window that moves is mixed by a larger kernel than one that does not.
  local mix = prefix .. "mix.weight"
  if values[mix]:size(3) ~= own[mix]:size(3) then values[mix] = own[mix] end
end

-- Gives `model`, built of continuation.settings, the parameters of `start`.
function continuation.load(model, start)
  local values, own = {}, {}
  for name, tensor in pairs(start.parameters) do values[name] = tensor end
  for name, tensor in model:named_parameters() do own[name] = tensor end
  for name in pairs(start.parameters) do
    local prefix = name:match "^(.*%.)static$"
    if prefix and own[name] then adapt(values, own, prefix) end
  end
  model:load_state_dict(values)
end

return continuation
