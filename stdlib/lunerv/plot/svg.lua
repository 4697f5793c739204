-- A canvas that writes an SVG file as text. It has the same methods as plot/raster.lua.
local Svg <const> = {}
Svg.__index = Svg

local markup <const> = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

-- XML allows no control characters, and no bytes that are not UTF-8.
local function escaped(text)
  if not utf8.len(text) then text = text:gsub("[\x80-\xff]", "?") end
  return (text:gsub("[%c\x7f]", " "):gsub("[&<>\"]", markup))
end

local function new(width, height)
  local canvas = setmetatable({}, Svg)
  canvas:add('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
    .. "viewBox=\"0 0 %d %d\" font-family=\"'Helvetica Neue', Arial, 'DejaVu Sans', "
    .. 'sans-serif">', width, height, width, height)
  canvas:rect(0, 0, width, height, "#ffffff")
  return canvas
end

function Svg:add(text, ...) self[#self + 1] = text:format(...) end

-- Draws only inside a rectangle until `unclip`.
function Svg:clip(x, y, width, height)
  self:add('<svg x="%.1f" y="%.1f" width="%.1f" height="%.1f" viewBox="%.1f %.1f %.1f %.1f">',
    x, y, width, height, x, y, width, height)
end

function Svg:unclip() self:add "</svg>" end

function Svg:rect(x, y, width, height, colour)
  self:add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>', x, y, width, height,
    colour)
end

local function places(points)
  local list = {}
  for i = 1, #points, 2 do list[#list + 1] = ("%.1f,%.1f"):format(points[i], points[i + 1]) end
  return table.concat(list, " ")
end

-- Lines from point to point of { x, y, x, y, … }.
function Svg:line(points, colour, width, dashed)
  self:add('<polyline points="%s" fill="none" stroke="%s" stroke-width="%g" '
    .. 'stroke-linejoin="round" stroke-linecap="round"%s/>', places(points), colour, width,
    dashed and ' stroke-dasharray="5 6"' or "")
end

-- A convex polygon, and a circle; each with a white rim, so that overlapping ones stay distinct.
function Svg:polygon(points, colour)
  self:add('<polygon points="%s" fill="%s" stroke="#ffffff" stroke-width="0.8"/>', places(points),
    colour)
end

function Svg:circle(x, y, radius, colour)
  self:add('<circle cx="%.1f" cy="%.1f" r="%g" fill="%s" stroke="#ffffff" stroke-width="0.8"/>',
    x, y, radius, colour)
end

-- Text at its baseline; o.size, o.colour, o.anchor (start, middle, end), o.bold, o.turn in degrees.
function Svg:text(x, y, text, o)
  self:add('<text x="%.1f" y="%.1f" font-size="%.3g" fill="%s" text-anchor="%s"%s%s>%s</text>',
    x, y, o.size, o.colour, o.anchor or "start", o.bold and ' font-weight="600"' or "",
    o.turn and (' transform="rotate(%.2f %.1f %.1f)"'):format(o.turn, x, y) or "", escaped(text))
end

-- Groups what is drawn until `ungroup`. A viewer shows the group's name under the pointer.
function Svg:group(name) self:add("<g><title>%s</title>", escaped(name)) end

function Svg:ungroup() self:add "</g>" end

-- The text of the file.
function Svg:finished()
  self:add "</svg>"
  return table.concat(self, "\n") .. "\n"
end

return new
