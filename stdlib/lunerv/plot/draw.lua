-- Lays a plot out and draws it on a canvas, plot/svg.lua or plot/raster.lua. Lengths are pixels.
local axis <const> = require "lunerv.plot.axis"
local font <const> = require "lunerv.plot.font"
local legend <const> = require "lunerv.plot.legend"

local draw <const> = {}

local faint <const>, grid <const>, pale <const> = legend.faint, "#e3e6ea", "#b9c0c9"
local small <const>, text <const> = legend.size, legend.text
local bar <const>, between_bars <const> = 15, 12

local function widest(words, size)
  local width = 0
  for _, word in ipairs(words) do width = math.max(width, font.width(word, size)) end
  return width
end

local function texts_of(scale)
  local list = {}
  for i, value in ipairs(scale.ticks) do list[i] = scale:text(value) end
  return list
end

-- Series ------------------------------------------------------------------------------------

-- The parts of a line between its gaps, in pixels.
local function stretches(series, x, y)
  local list, current = {}, nil
  for i, value in ipairs(series.xs) do
    if axis.shows(x, value) and axis.shows(y, series.ys[i]) then
      if not current then
        current = {}
        list[#list + 1] = current
      end
      current[#current + 1], current[#current + 2] = x:at(value), y:at(series.ys[i])
    else
      current = nil
    end
  end
  return list
end

local function draw_lines(canvas, plot, x, y)
  for _, series in ipairs(plot.series) do
    local o, colour = series.o, series.style.colour
    for _, points in ipairs(series.kind == "line" and stretches(series, x, y) or {}) do
      if #points > 2 then
        canvas:line(points, colour, o.width or 2, o.dashed)
      else
        canvas:circle(points[1], points[2], o.width or 2, colour)
      end
    end
  end
end

-- Writes the name of a straight line along it, above it and inside the frame, where it covers the
-- fewest items of `taken`, a list of occupied centres { x, y }.
local function draw_along(canvas, series, x, y, frame, taken)
  local points = stretches(series, x, y)[1]
  if not points or #points < 4 then return end
  local x1, y1, x2, y2 = points[1], points[2], points[#points - 1], points[#points]
  local angle, half = math.atan(y2 - y1, x2 - x1), font.width(series.name, small) / 2
  local cos, sin = math.cos(angle), math.sin(angle)
  local function covered(at, height)
    local count = 0
    for from = -half, half, 8 do
      for _, other in ipairs(taken) do
        local is_near = math.abs(other[1] - at - from * cos) < 13
          and math.abs(other[2] - height - from * sin) < 13
        count = count + (is_near and 1 or 0)
      end
    end
    local wide, high = half * math.abs(cos) + 4, half * math.abs(sin) + 4
    local is_inside = at - wide >= frame.left and at + wide <= frame.right
      and height - high >= frame.top and height + high <= frame.bottom
    return is_inside and count or 1000 + count
  end
  local least, best_at, best_height = math.huge, nil, nil
  for share = 0, 1, 0.01 do
    local at, height = x1 + share * (x2 - x1) + 7 * sin, y1 + share * (y2 - y1) - 7 * cos
    local count = covered(at, height)
    if count < least then least, best_at, best_height = count, at, height end
  end
  text(canvas, best_at, best_height, series.name, frame.right - frame.left,
    { anchor = "middle", turn = angle ~= 0 and math.deg(angle) or nil })
end

-- The next height from `height` on, upwards or downwards (`step`), where a tag covers nothing in
-- `taken`, a list of occupied centres { x, y }.
local function free_height(taken, at, height, step)
  local is_free
  repeat
    is_free = true
    for _, other in ipairs(taken) do
      if math.abs(other[1] - at) < 13 and math.abs(other[2] - height) < 11 then
        is_free, height = false, other[2] + step
      end
    end
  until is_free
  return height
end

-- Draws marks, then their tags. Returns the centres of all.
local function draw_points(canvas, plot, x, y)
  local taken, tagged = {}, {}
  for _, series in ipairs(plot.series) do
    local places, highest, lowest = {}, math.huge, -math.huge
    for i, value in ipairs(series.kind == "points" and series.xs or {}) do
      if x:holds(value) and y:holds(series.ys[i]) then
        local across, down = x:at(value), y:at(series.ys[i])
        highest, lowest = math.min(highest, down), math.max(lowest, down)
        places[#places + 1] = { across, down, series.o.marks and series.o.marks[i] }
        taken[#taken + 1] = places[#places]
      end
    end
    if series.o.tag and #places > 0 then
      canvas:rect(places[1][1] - 0.75, highest, 1.5, lowest - highest, pale)
      tagged[#tagged + 1] = { series.o.tag, places[1][1], highest, lowest, series.style.colour }
    end
    for _, place in ipairs(places) do
      legend.mark(canvas, place[3] or series.o.mark or series.style.mark, place[1], place[2],
        series.style.colour)
    end
  end
  -- Tags are above their points, or below if that is nearer.
  for _, tag in ipairs(tagged) do
    local words, at, highest, lowest, colour = table.unpack(tag)
    local above = free_height(taken, at, highest - 13, -11.5)
    local below = free_height(taken, at, lowest + 13, 11.5)
    local height = below - lowest < 0.6 * (highest - above) and below or above
    taken[#taken + 1] = { at, height }
    canvas:text(at, height + 4, words, { anchor = "middle", size = 11, bold = true,
      colour = colour })
  end
  return taken
end

local function draw_bars(canvas, plot, x, frame, group)
  for k, series in ipairs(plot.series) do
    for i, value in ipairs(series.ys) do
      if axis.shows(x, value) then
        local top = frame.top + group * (i - 0.5) + bar * (k - 1 - #plot.series / 2)
        local from = x:at(math.max(x.low, math.min(x.high, x.log and x.low or 0)))
        local to = x:at(math.max(x.low, math.min(x.high, value)))
        canvas:rect(math.min(from, to), top + 1, math.abs(to - from), bar - 2,
          series.style.colour)
        if series.o.texts then
          canvas:text(math.max(from, to) + 6, top + 12, series.o.texts[i], { size = 11,
            colour = faint })
        end
      end
    end
  end
end

-- Layout ------------------------------------------------------------------------------------

-- All numbers of one side, "xs" or "ys".
local function numbers(plot, side)
  local list = {}
  for _, series in ipairs(plot.series) do
    for _, value in ipairs(series[side]) do list[#list + 1] = value end
  end
  return list
end

local function draw_x(canvas, scale, frame, label)
  local last = -math.huge
  for _, value in ipairs(scale.ticks) do
    local at, words = scale:at(value), scale:text(value)
    local half = font.width(words, small) / 2
    canvas:rect(math.floor(at), frame.top, 1, frame.bottom - frame.top, grid)
    if at - half > last then
      canvas:text(at, frame.bottom + 18, words, { size = small, colour = faint,
        anchor = "middle" })
      last = at + half + 6
    end
  end
  if label then
    text(canvas, (frame.left + frame.right) / 2, frame.bottom + 40, label,
      frame.right - frame.left, { anchor = "middle" })
  end
end

local function draw_y(canvas, scale, frame)
  for _, value in ipairs(scale.ticks) do
    local at = scale:at(value)
    canvas:rect(frame.left, math.floor(at), frame.right - frame.left, 1, grid)
    canvas:text(frame.left - 8, at + 4, scale:text(value), { size = small, colour = faint,
      anchor = "end" })
  end
end

-- Draws `plot` on a canvas made by `new`, and returns the canvas.
function draw.plot(plot, new)
  local o, rows, first = plot.o, legend.rows(plot), plot.series[1]
  local is_bars = first.kind == "bars"
  local width = o.width or 720
  local top = (o.title and 34 or 12) + 16 * #(o.notes or {}) + (o.notes and 12 or 0)
  local foot = o.x.label and 52 or 30
  local group = bar * #plot.series + between_bars -- the height of one label's bars
  local height = o.height or is_bars and top + group * #first.xs + foot or 440
  height = math.max(height, top + legend.row * #rows + 12, top + foot + 60)

  local frame = { top = top, bottom = height - foot }
  local y, names
  if is_bars then
    names = first.xs
  else
    y = axis.new(o.y, numbers(plot, "ys"), math.max(2, (frame.bottom - top) // 50))
    y:place(frame.bottom, top)
    names = texts_of(y)
  end
  local names_width = math.min(widest(names, small), 0.35 * width)
  frame.left = names_width + 16 + (o.y.label and 26 or 0)

  local legend_names, legend_width = {}, 0
  for i, style in ipairs(rows) do legend_names[i] = style.name end
  if #rows > 0 then legend_width = math.min(widest(legend_names, small) + 28, 0.4 * width) end
  frame.right = width - 16 - (#rows > 0 and legend_width + 14 or 0)

  local across = numbers(plot, is_bars and "ys" or "xs")
  if is_bars and not o.x.log then across[#across + 1] = 0 end
  local x = axis.new(o.x, across, math.max(2, (frame.right - frame.left) // 60))
  local edge = frame.right
  for _, series in ipairs(is_bars and plot.series or {}) do
    -- Texts at the ends of bars stay in front of the legend.
    x:place(0, 1)
    for i, words in ipairs(series.o.texts or {}) do
      local value = series.ys[i]
      local share = axis.shows(x, value) and math.min(1, math.max(x:at(value), 0)) or 0
      local room = edge - frame.left - 8 - font.width(words, 11)
      if share > 0 and room > 0 then
        frame.right = math.min(frame.right, frame.left + room / share)
      end
    end
  end
  x:place(frame.left, frame.right)

  local canvas = new(width, height)
  if o.title then text(canvas, 16, 26, o.title, width - 32, { size = 16, bold = true }) end
  for i, note in ipairs(o.notes or {}) do
    text(canvas, 16, top - 12 - 16 * (#o.notes - i), note, width - 32, { colour = faint })
  end
  draw_x(canvas, x, frame, o.x.label)
  if o.y.label then
    text(canvas, 20, (top + frame.bottom) / 2, o.y.label, frame.bottom - top,
      { anchor = "middle", turn = -90 })
  end
  if is_bars then
    group = (frame.bottom - top) / #names
    for i, name in ipairs(names) do
      text(canvas, frame.left - 8, frame.top + group * (i - 0.5) + 4, name, names_width,
        { anchor = "end" })
    end
    draw_bars(canvas, plot, x, frame, group)
  else
    draw_y(canvas, y, frame)
    canvas:clip(frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top)
    draw_lines(canvas, plot, x, y)
    canvas:unclip()
    local taken = draw_points(canvas, plot, x, y)
    for _, series in ipairs(plot.series) do
      if series.o.along then draw_along(canvas, series, x, y, frame, taken) end
    end
  end
  legend.draw(canvas, rows, edge + 14, frame.top, legend_width)
  return canvas
end

return draw
