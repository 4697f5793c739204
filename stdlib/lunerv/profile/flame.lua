-- The flame graph of a profile, a self-contained SVG: modules stand on their parents, operators on
-- the module that called them, and widths are seconds.
local font <const> = require "lunerv.plot.font"
local legend <const> = require "lunerv.plot.legend"
local svg <const> = require "lunerv.plot.svg"

local width <const>, margin <const>, row <const> = 1200, 16, 19
local top <const> = 46
-- Narrower boxes, and text with less room, are left out (pixels).
local least_box <const>, least_text <const> = 0.3, 24

local colours <const> = {
  module = "#dfe4ea", forward = "#7fb8d8", backward = "#eaa673", lua = "#8fcdb4",
}

-- Frames --------------------------------------------------------------------------------------

local function frame(name, kind) return { name = name, kind = kind, seconds = 0, inside = {} } end

local function inside(parent, name, kind)
  local key = kind .. "\0" .. name
  local child = parent.inside[key]
  if not child then
    child = frame(name, kind)
    parent.inside[key] = child
    parent.inside[#parent.inside + 1] = child
  end
  return child
end

local function tree(report)
  local root = frame("all", "module")
  for _, record in ipairs(report.records) do
    local place = root
    root.seconds = root.seconds + record.seconds
    for name in record.path:gmatch "[^.]+" do
      place = inside(place, name, "module")
      place.seconds = place.seconds + record.seconds
    end
    local kind = record.operator == "Lua" and "lua" or record.backward and "backward" or "forward"
    local leaf = inside(place, record.operator, kind)
    leaf.seconds = leaf.seconds + record.seconds
  end
  return root
end

-- Drawing -------------------------------------------------------------------------------------

local function depth(place)
  local most = 0
  for _, child in ipairs(place.inside) do most = math.max(most, depth(child)) end
  return most + 1
end

-- The text, cut to fit `room`.
local function cut(text, room)
  if font.width(text, 11) <= room then return text end
  local length = utf8.len(text) or 0
  while length > 1 do
    length = length - 1
    local part = text:sub(1, utf8.offset(text, length + 1) - 1) .. "…"
    if font.width(part, 11) <= room then return part end
  end
  return nil
end

local function draw(canvas, place, x, y, scale, all)
  local w = place.seconds * scale
  if w < least_box then return end
  canvas:group(("%s%s: %.4f s, %.1f %%"):format(place.name,
    place.kind == "backward" and ", backward" or "", place.seconds, 100 * place.seconds / all))
  canvas:rect(x, y, math.max(w - 0.6, least_box), row - 1, colours[place.kind])
  local words = w >= least_text and cut(place.name, w - 8)
  if words then canvas:text(x + 4, y + 13, words, { size = 11, colour = legend.ink }) end
  canvas:ungroup()
  table.sort(place.inside, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a.kind .. a.name < b.kind .. b.name
  end)
  for _, child in ipairs(place.inside) do
    draw(canvas, child, x, y + row, scale, all)
    x = x + child.seconds * scale
  end
end

return function(report)
  local root = tree(report)
  local canvas = svg(width, top + depth(root) * row + margin)
  canvas:text(margin, 22, ("Where %.4g s went"):format(report.seconds),
    { size = 14, colour = legend.ink, bold = true })
  local x = margin
  for _, entry in ipairs {
    { "module", "module" }, { "operator, forward", "forward" },
    { "operator, backward", "backward" }, { "Lua itself", "lua" },
  } do
    canvas:rect(x, 30, 10, 10, colours[entry[2]])
    canvas:text(x + 14, 39, entry[1], { size = 11, colour = legend.faint })
    x = x + 30 + font.width(entry[1], 11)
  end
  draw(canvas, root, margin, top, (width - 2 * margin) / math.max(root.seconds, 1e-9),
    math.max(root.seconds, 1e-9))
  return canvas:finished()
end
