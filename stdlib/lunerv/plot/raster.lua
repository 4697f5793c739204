-- A canvas that draws into an image tensor. It has the same methods as plot/svg.lua.
--
-- A shape first computes its coverage of each pixel, from 0 to 1, and is then painted at once. So
-- the strokes of a line do not darken each other's edges where they meet.
local font <const> = require "lunerv.plot.font"
local native <const> = require "lunerv.native"

local floor <const>, max <const>, min <const> = math.floor, math.max, math.min

local Raster <const> = {}
Raster.__index = Raster

local function new(width, height)
  local canvas = setmetatable({ width = width, height = height, pixels = {} }, Raster)
  for i = 1, 3 * width * height do canvas.pixels[i] = 1 end
  canvas:unclip()
  return canvas
end

function Raster:clip(x, y, width, height)
  self.left, self.top = max(0, floor(x)), max(0, floor(y))
  self.right = min(self.width, math.ceil(x + width)) - 1
  self.bottom = min(self.height, math.ceil(y + height)) - 1
end

function Raster:unclip() self:clip(0, 0, self.width, self.height) end

-- The rows and columns to draw on for a range of coordinates.
function Raster:rows(from, to) return max(self.top, floor(from)), min(self.bottom, floor(to)) end
function Raster:columns(from, to) return max(self.left, floor(from)), min(self.right, floor(to)) end

-- Paints the pixels that `mask`, a coverage per pixel, covers.
function Raster:paint(mask, colour)
  local plane, pixels = self.width * self.height, self.pixels
  for channel = 0, 2 do
    local ink = tonumber(colour:sub(2 * channel + 2, 2 * channel + 3), 16) / 255
    for place, covered in next, mask do
      local at = channel * plane + place
      pixels[at] = pixels[at] + (ink - pixels[at]) * min(covered, 1)
    end
  end
end

-- Adds to `mask` the pixels within half of `width` of the stroke between two points.
function Raster:stroke(mask, x1, y1, x2, y2, width)
  local dx, dy, reach = x2 - x1, y2 - y1, width / 2 + 0.5
  local square = dx * dx + dy * dy
  local first, last = self:rows(min(y1, y2) - reach, max(y1, y2) + reach)
  for row = first, last do
    local y, from, to = row + 0.5 - y1, min(x1, x2) - reach, max(x1, x2) + reach
    if dy ~= 0 then -- only what is near the stroke in this row
      local middle, aside = x1 + y * dx / dy, reach * square ^ 0.5 / math.abs(dy)
      from, to = max(from, middle - aside), min(to, middle + aside)
    end
    local start, stop = self:columns(from, to)
    for column = start, stop do
      local x = column + 0.5 - x1
      local along = square > 0 and max(0, min(1, (x * dx + y * dy) / square)) or 0
      local covered = reach - ((x - along * dx) ^ 2 + (y - along * dy) ^ 2) ^ 0.5
      local place = row * self.width + column + 1
      if covered > (mask[place] or 0) then mask[place] = covered end
    end
  end
end

-- Paints the pixels of a rectangle by their coverage: inside(x, y), a function of a pixel's centre.
function Raster:fill(x1, y1, x2, y2, colour, inside)
  local mask, first, last = {}, self:rows(y1, y2)
  local start, stop = self:columns(x1, x2)
  for row = first, last do
    for column = start, stop do
      local covered = inside(column + 0.5, row + 0.5)
      if covered > 0 then mask[row * self.width + column + 1] = covered end
    end
  end
  self:paint(mask, colour)
end

function Raster:rect(x, y, width, height, colour)
  -- How much of the pixel around `at` lies between two coordinates.
  local function share(at, from, to)
    return max(0, min(at + 0.5, to) - max(at - 0.5, from))
  end
  self:fill(x, y, x + width, y + height, colour, function(column, row)
    return share(column, x, x + width) * share(row, y, y + height)
  end)
end

-- The strokes of a dashed line: 5 pixels drawn, 6 pixels free.
local on <const>, period <const> = 5, 11

function Raster:line(points, colour, width, dashed)
  local mask, gone = {}, 0
  for i = 1, #points - 3, 2 do
    local x1, y1, x2, y2 = table.unpack(points, i, i + 3)
    local length = ((x2 - x1) ^ 2 + (y2 - y1) ^ 2) ^ 0.5
    local function between(from, to)
      local a, b = from / length, to / length
      self:stroke(mask, x1 + a * (x2 - x1), y1 + a * (y2 - y1), x1 + b * (x2 - x1),
        y1 + b * (y2 - y1), width)
    end
    if not dashed then
      self:stroke(mask, x1, y1, x2, y2, width)
    elseif length > 0 then
      local from = -(gone % period)
      while from < length do
        if from + on > 0 then between(max(from, 0), min(from + on, length)) end
        from = from + period
      end
    end
    gone = gone + length
  end
  self:paint(mask, colour)
end

function Raster:circle(x, y, radius, colour)
  for _, disc in ipairs { { radius + 0.8, "#ffffff" }, { radius, colour } } do
    local reach = disc[1] + 0.5
    self:fill(x - reach, y - reach, x + reach, y + reach, disc[2], function(column, row)
      return reach - ((column - x) ^ 2 + (row - y) ^ 2) ^ 0.5
    end)
  end
end

-- Works for corners in either order.
function Raster:polygon(points, colour)
  local edges, n, area = {}, #points, 0
  local x1, y1, x2, y2 = math.huge, math.huge, -math.huge, -math.huge
  for i = 1, n, 2 do
    local x, y = points[i], points[i + 1]
    local next_x, next_y = points[(i + 1) % n + 1], points[(i + 2) % n + 1]
    edges[#edges + 1] = { x, y, next_x - x, next_y - y }
    area = area + x * next_y - next_x * y
    x1, y1, x2, y2 = min(x1, x), min(y1, y), max(x2, x), max(y2, y)
  end
  for _, rim in ipairs { { 0.8, "#ffffff" }, { 0, colour } } do
    self:fill(x1 - 2, y1 - 2, x2 + 2, y2 + 2, rim[2], function(column, row)
      local depth = math.huge
      for _, e in ipairs(edges) do
        local across = e[3] * (row - e[2]) - e[4] * (column - e[1])
        depth = min(depth, (area < 0 and -across or across) / (e[3] ^ 2 + e[4] ^ 2) ^ 0.5)
      end
      return depth + 0.5 + rim[1]
    end)
  end
end

function Raster:text(x, y, text, o)
  local upright = (o.turn or 0) % 90 == 0
  local glyphs, width = font.glyphs(text, o.size, upright)
  local angle, mask = math.rad(o.turn or 0), {}
  local cos, sin = math.cos(angle), math.sin(angle)
  local pen = o.anchor == "middle" and -width / 2 or o.anchor == "end" and -width or 0
  -- Strokes at the centre of pixels are sharp.
  if upright then x, y, pen = floor(x) + 0.5, floor(y) - 0.5, floor(pen) end
  for _, glyph in ipairs(glyphs) do
    for _, points in ipairs(glyph.strokes) do
      local placed = {}
      for i = 1, #points, 2 do
        local right, down = pen + points[i], -points[i + 1]
        placed[i], placed[i + 1] = x + right * cos - down * sin, y + right * sin + down * cos
      end
      for i = 1, #placed - 3, 2 do
        self:stroke(mask, placed[i], placed[i + 1], placed[i + 2], placed[i + 3],
          o.size * (o.bold and 0.15 or 0.1))
      end
    end
    pen = pen + glyph.width
  end
  self:paint(mask, o.colour)
end

-- The image, (1, 3, height, width), from 0 to 1.
function Raster:finished()
  return native.tensor(self.pixels):view(1, 3, self.height, self.width)
end

return new
