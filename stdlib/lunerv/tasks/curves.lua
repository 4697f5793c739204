-- Lines in a plot, as SVG.
local curves <const> = {}

local width <const>, height <const> = 760, 440
local left <const>, right <const>, top <const>, bottom <const> = 64, 620, 24, 388
local colours <const> = { "#2563ae", "#c2762c", "#1f8a5b", "#b8375f", "#7a4fb5", "#3b4350" }

local function escaped(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;" }))
end

-- The range of a coordinate over all points, never empty.
local function range(lines, which)
  local low, high = math.huge, -math.huge
  for _, line in ipairs(lines) do
    for _, point in ipairs(line.points) do
      low, high = math.min(low, point[which]), math.max(high, point[which])
    end
  end
  if high <= low then low, high = low - 0.5, low + 0.5 end
  return low, high
end

-- Round numbers from `low` to `high`: about five of them.
local function ticks(low, high)
  local rough = (high - low) / 5
  local unit = 10 ^ math.floor(math.log(rough, 10))
  for _, factor in ipairs { 1, 2, 5, 10 } do
    if unit * factor >= rough then
      unit = unit * factor
      break
    end
  end
  local list, at = {}, math.ceil(low / unit) * unit
  while at <= high + 1e-9 * unit do
    list[#list + 1] = at
    at = at + unit
  end
  return list
end

-- The picture of `lines`, a list of { name =, points = { { x, y }, … } }; `names` holds what the
-- axes, x and y, show.
function curves.svg(lines, names)
  local x_low, x_high = range(lines, 1)
  local y_low, y_high = range(lines, 2)
  local function x(value) return left + (value - x_low) / (x_high - x_low) * (right - left) end
  local function y(value) return bottom - (value - y_low) / (y_high - y_low) * (bottom - top) end

  local parts = {}
  local function add(text, ...) parts[#parts + 1] = text:format(...) end
  local function label(at_x, at_y, anchor, text, colour)
    add('<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>', at_x, at_y, anchor,
      colour or "#22272e", escaped(text))
  end
  add('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
    .. 'font-family="sans-serif" font-size="13">', width, height, width, height)
  add('<rect width="%d" height="%d" fill="#ffffff"/>', width, height)
  for _, value in ipairs(ticks(x_low, x_high)) do
    add('<path d="M%.1f %dV%d" stroke="#e6e9ed"/>', x(value), top, bottom)
    label(x(value), bottom + 18, "middle", ("%.6g"):format(value))
  end
  for _, value in ipairs(ticks(y_low, y_high)) do
    add('<path d="M%d %.1fH%d" stroke="#e6e9ed"/>', left, y(value), right)
    label(left - 8, y(value) + 4, "end", ("%.6g"):format(value))
  end
  label((left + right) / 2, height - 12, "middle", names.x)
  label(left, top - 8, "middle", names.y)

  for i, line in ipairs(lines) do
    local colour, places = colours[(i - 1) % #colours + 1], {}
    for k, point in ipairs(line.points) do
      places[k] = ("%.1f,%.1f"):format(x(point[1]), y(point[2]))
    end
    add('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>',
      table.concat(places, " "), colour)
    label(right + 16, top + 20 * i, "start", line.name, colour)
  end
  add "</svg>"
  return table.concat(parts, "\n") .. "\n"
end

return curves
