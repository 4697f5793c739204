-- The building blocks of plots: marks, fitted text, and the legend. Lengths are pixels.
local font <const> = require "lunerv.plot.font"

local legend <const> = {
  ink = "#22272e", faint = "#5b6470", row = 17,
  size = 12, -- of the font
}

-- Text no wider than `room`; the font shrinks if it must.
function legend.text(canvas, x, y, words, room, given)
  local o = { size = legend.size, colour = legend.ink }
  for key, value in pairs(given or {}) do o[key] = value end
  o.size = math.max(6, math.min(o.size, o.size * room / font.width(words, o.size)))
  canvas:text(x, y, words, o)
end

-- A mark around a point: circle, square, triangle or diamond.
function legend.mark(canvas, mark, x, y, colour)
  if mark == "circle" then
    canvas:circle(x, y, 4.2, colour)
  elseif mark == "square" then
    canvas:polygon({ x - 4, y - 4, x + 4, y - 4, x + 4, y + 4, x - 4, y + 4 }, colour)
  elseif mark == "triangle" then
    canvas:polygon({ x, y - 5.2, x + 5, y + 3.8, x - 5, y + 3.8 }, colour)
  else
    canvas:polygon({ x, y - 5.5, x + 5.5, y, x, y + 5.5, x - 5.5, y }, colour)
  end
end

-- The styles of a plot that have a row.
function legend.rows(plot)
  local rows = {}
  for _, style in ipairs(plot.o.legend ~= false and plot.rows or {}) do
    if not style.hidden then rows[#rows + 1] = style end
  end
  return rows
end

-- Draws `rows` one below the other, with `room` for a mark and a name.
function legend.draw(canvas, rows, left, top, room)
  for i, style in ipairs(rows) do
    local y = top + legend.row * (i - 0.5)
    local is_heading = style.key == ""
    if style.tag then
      canvas:text(left + 20, y + 4, style.tag, { size = legend.size, bold = true, anchor = "end",
        colour = style.colour })
    elseif style.key and not is_heading then
      legend.mark(canvas, style.key, left + 11, y, style.colour)
    end
    for _, series in ipairs(not style.tag and style or {}) do
      if series.kind == "points" then
        legend.mark(canvas, series.o.mark or style.mark, left + 11, y, style.colour)
      elseif series.kind == "bars" then
        canvas:rect(left + 6, y - 5, 11, 11, style.colour)
      else
        for x = 1, 17, 8 do -- three dashes, or strokes that meet
          canvas:rect(left + x, y - 1, series.o.dashed and x < 17 and 5 or 22 - x, 2, style.colour)
        end
      end
    end
    legend.text(canvas, is_heading and left or left + 28, y + 4, style.name, room - 28,
      { bold = is_heading, colour = style.key and not is_heading and legend.faint or legend.ink })
  end
end

return legend
