-- The roofline as a picture: operations a byte against effective GFLOP/s, for every convolution
-- and for the phases of training steps, under the two roofs measured in the same run: what the
-- processor can multiply and add, and what memory can deliver.
local kernels <const> = require "lunerv.bench.kernels"

local roofline <const> = {}

-- The page and the plot on it, in pixels.
local page <const> = { width = 1080, least_height = 640 }
local plot <const> = { left = 64, right = 740, top = 64, bottom = 580 }
local legend_left <const> = 764

local ink <const>, faint <const>, grid <const> = "#22272e", "#6b7480", "#e6e9ed"
local families <const> = {
  { "3×3", "#2563ae" }, { "5×5", "#7a4fb5" }, { "1×1", "#1f8a5b" }, { "strided", "#c2762c" },
  { "depthwise", "#b8375f" },
}
local phase_colour <const> = "#3b4350"

local function family_of(c)
  local name = ("%d×%d"):format(c.kernel, c.kernel)
  if c.groups > 1 then
    name = "depthwise"
  elseif c.stride > 1 then
    name = "strided"
  end
  for _, family in ipairs(families) do
    if family[1] == name then return family end
  end
  return { name, "#7c6f64" }
end

local function escaped(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;" }))
end

-- What is shown -----------------------------------------------------------------------------

local marks <const> = { forward = "circle", data_gradient = "square", weight_gradient = "triangle" }

-- Columns of points, one for each convolution: { name, colour, x, points = { { y, mark } } }.
local function columns_of(result)
  local list = {}
  for _, c in ipairs(result.kernels and result.kernels.kernels or {}) do
    local column = {
      name = kernels.name(c), colour = family_of(c)[2], x = c.intensity, points = {},
    }
    for _, product in ipairs(kernels.products) do
      column.points[#column.points + 1] = { c[product .. "_gflops"], marks[product] }
    end
    list[#list + 1] = column
  end
  table.sort(list, function(a, b)
    if a.x ~= b.x then return a.x < b.x end
    return a.name < b.name
  end)
  return list
end

local phase_order <const> = { "encode", "decode", "loss", "backward", "optimiser" }
local most_cases <const> = 3 -- more would hide each other

-- The same for the phases of the first training steps.
local function phases_of(result)
  local list, taken = {}, 0
  for _, s in ipairs(result.cases) do
    if s.mode == "train" and not s.failed and taken < most_cases then
      taken = taken + 1
      for _, name in ipairs(phase_order) do
        local work, seconds = s.lunerv.work[name], s.lunerv.phases[name]
        if work and seconds and work.gflop > 0 then
          list[#list + 1] = {
            name = ("%s %s: %s"):format(s.model, s.size, name), colour = phase_colour,
            x = work.gflop / work.gbytes, points = { { work.gflop / seconds, "diamond" } },
          }
        end
      end
    end
  end
  table.sort(list, function(a, b) return a.x < b.x or a.x == b.x and a.name < b.name end)
  return list
end

-- Scales ------------------------------------------------------------------------------------

-- A logarithmic scale over powers of `base` that holds all values: from value to pixel, and its
-- ticks.
local function scale(values, base, first, last)
  local low, high = math.huge, -math.huge
  for _, value in ipairs(values) do
    low, high = math.min(low, math.log(value, base)), math.max(high, math.log(value, base))
  end
  low, high = math.floor(low - 0.05), math.ceil(high + 0.05)
  local ticks = {}
  for power = low, high do ticks[#ticks + 1] = base ^ power end
  return function(value)
    return first + (math.log(value, base) - low) / (high - low) * (last - first)
  end, ticks
end

-- Drawing -----------------------------------------------------------------------------------

local Canvas <const> = {}
Canvas.__index = Canvas

function Canvas:add(text, ...) self[#self + 1] = text:format(...) end

function Canvas:text(x, y, text, given)
  local o = given or {}
  self:add('<text x="%.1f" y="%.1f" font-size="%g" fill="%s" text-anchor="%s"%s%s>%s</text>', x, y,
    o.size or 12, o.colour or ink, o.anchor or "start", o.bold and ' font-weight="600"' or "",
    o.turn and (' transform="rotate(%.2f %.1f %.1f)"'):format(o.turn, x, y) or "", escaped(text))
end

function Canvas:line(x1, y1, x2, y2, colour, width)
  self:add('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%g"/>', x1, y1,
    x2, y2, colour, width or 1)
end

function Canvas:mark(kind, x, y, colour)
  local style = ('fill="%s" stroke="white" stroke-width="0.8"'):format(colour)
  if kind == "circle" then
    self:add('<circle cx="%.1f" cy="%.1f" r="4.5" %s/>', x, y, style)
  elseif kind == "square" then
    self:add('<rect x="%.1f" y="%.1f" width="8" height="8" %s/>', x - 4, y - 4, style)
  elseif kind == "triangle" then
    self:add('<path d="M%.1f %.1fl5 9h-10z" %s/>', x, y - 5.5, style)
  else
    self:add('<path d="M%.1f %.1fl5.5 5.5l-5.5 5.5l-5.5 -5.5z" %s/>', x, y - 5.5, style)
  end
end

local function number_text(value)
  if value < 1 then return ("1/%.0f"):format(1 / value) end
  return ("%d"):format(value // 1)
end

local function draw_axes(canvas, result, x, y, x_ticks, y_ticks)
  for _, value in ipairs(x_ticks) do
    canvas:line(x(value), plot.top, x(value), plot.bottom, grid)
    canvas:text(x(value), plot.bottom + 18, number_text(value),
      { anchor = "middle", colour = faint })
  end
  for _, value in ipairs(y_ticks) do
    canvas:line(plot.left, y(value), plot.right, y(value), grid)
    canvas:text(plot.left - 8, y(value) + 4, number_text(value), { anchor = "end", colour = faint })
  end
  canvas:text((plot.left + plot.right) / 2, plot.bottom + 42,
    "operations for each byte that must be moved", { anchor = "middle" })
  canvas:text(18, (plot.top + plot.bottom) / 2, "effective GFLOP/s", { anchor = "middle",
    turn = -90 })
  canvas:text(plot.left, 28, "Convolutions and training steps under the machine's roofs",
    { size = 17, bold = true })
  canvas:text(plot.left, 47, ("%s, %d threads"):format(result.machine.processor,
    result.machine.threads), { colour = faint })
end

-- The slope of memory and the flat of multiply-adds; what is above the latter is Winograd's.
local function draw_roofs(canvas, result, x, y, x_ticks, y_ticks)
  local roof, memory = result.roof_gflops, result.memory_gbs
  local x_first, x_last = x_ticks[1], x_ticks[#x_ticks]
  local ridge = roof / memory
  local start = math.max(x_first, y_ticks[1] / memory)
  canvas:add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#2563ae" '
    .. 'fill-opacity="0.05"/>', plot.left, plot.top, plot.right - plot.left, y(roof) - plot.top)
  canvas:add('<path d="M%.1f %.1fL%.1f %.1fL%.1f %.1f" fill="none" stroke="%s" '
    .. 'stroke-width="2.2" stroke-linejoin="round"/>', x(start), y(start * memory), x(ridge),
    y(roof), x(x_last), y(roof), ink)
  canvas:text(plot.left + 8, y(roof) - 7, ("multiply-adds: %.0f GFLOP/s; above it only Winograd's "
    .. "saving reaches"):format(roof), { colour = ink })
  local middle = math.sqrt(start * ridge)
  local angle = math.deg(math.atan(y(ridge * memory) - y(start * memory), x(ridge) - x(start)))
  canvas:text(x(middle) - 4, y(middle * memory) - 9, ("memory: %.1f GB/s"):format(memory),
    { anchor = "middle", turn = angle })
end

-- One row of the legend; returns where the next one goes.
local function legend_row(canvas, top, tag, text, colour)
  canvas:text(legend_left + 16, top, tag, { size = 11, bold = true, colour = colour,
    anchor = "end" })
  canvas:text(legend_left + 24, top, text, { size = 11 })
  return top + 16
end

-- Where the columns stand: those that would hide each other stand side by side.
local function places_of(list, x)
  local places, last = {}, -math.huge
  for i, column in ipairs(list) do
    places[i] = math.max(x(column.x), last + 10)
    last = places[i]
  end
  return places
end

-- The next height from `height` on, upwards or downwards (`step`), where a tag covers nothing of
-- `taken`, the middles { x, y } of what is there.
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

-- Where the tag of a column goes: above it, or below where that is nearer.
local function tag_height(taken, at, highest, lowest)
  local above = free_height(taken, at, highest - 13, -11.5)
  local below = free_height(taken, at, lowest + 13, 11.5)
  local height = below - lowest < 0.6 * (highest - above) and below or above
  taken[#taken + 1] = { at, height }
  return height
end

local function draw_points(canvas, list, x, y, tag_of, taken)
  local places = places_of(list, x)
  for i, column in ipairs(list) do
    local highest, lowest = math.huge, -math.huge
    for _, point in ipairs(column.points) do
      local height = y(point[1])
      highest, lowest = math.min(highest, height), math.max(lowest, height)
      taken[#taken + 1] = { places[i], height }
    end
    canvas:add('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.35" '
      .. 'stroke-width="1.5"/>', places[i], highest, places[i], lowest, column.colour)
    column.highest, column.lowest = highest, lowest
  end
  for i, column in ipairs(list) do
    for _, point in ipairs(column.points) do
      canvas:mark(point[2], places[i], y(point[1]), column.colour)
    end
    local height = tag_height(taken, places[i], column.highest, column.lowest)
    canvas:text(places[i], height + 4, tag_of(i), { anchor = "middle", size = 11, bold = true,
      colour = column.colour })
  end
end

-- The picture of what bench.run returned, as the text of an SVG file.
function roofline.svg(result)
  local columns, phases = columns_of(result), phases_of(result)
  local xs, ys = { 1, 256 }, { result.roof_gflops * 2, result.roof_gflops / 20 }
  for _, list in ipairs { columns, phases } do
    for _, column in ipairs(list) do
      xs[#xs + 1] = column.x
      for _, point in ipairs(column.points) do ys[#ys + 1] = point[1] end
    end
  end
  local x, x_ticks = scale(xs, 2, plot.left, plot.right)
  local y, y_ticks = scale(ys, 2, plot.bottom, plot.top)

  -- Eight rows are headings, marks and margins of the legend.
  local height = math.max(page.least_height, plot.top + 16 * (#columns + #phases + 8))
  local canvas = setmetatable({}, Canvas)
  canvas:add('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
    .. "font-family=\"'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">", page.width,
    height, page.width, height)
  canvas:add('<rect width="%d" height="%d" fill="white"/>', page.width, height)
  draw_axes(canvas, result, x, y, x_ticks, y_ticks)
  draw_roofs(canvas, result, x, y, x_ticks, y_ticks)
  local function number(i) return tostring(i) end
  local function letter(i) return string.char(96 + i) end
  local taken = {}
  draw_points(canvas, columns, x, y, number, taken)
  draw_points(canvas, phases, x, y, letter, taken)

  local top = plot.top
  local function heading(text)
    canvas:text(legend_left, top, text, { bold = true })
    top = top + 18
  end
  if #columns > 0 then
    heading "convolution"
    for i, column in ipairs(columns) do
      top = legend_row(canvas, top, number(i), column.name, column.colour)
    end
    top = top + 4
    for i, product in ipairs { "forward", "gradient by data", "gradient by weight" } do
      canvas:mark(marks[kernels.products[i]], legend_left + 12, top - 4, faint)
      canvas:text(legend_left + 24, top, product, { size = 11, colour = faint })
      top = top + 16
    end
    top = top + 12
  end
  if #phases > 0 then
    heading "phase of a training step"
    for i, phase in ipairs(phases) do
      top = legend_row(canvas, top, letter(i), phase.name, phase.colour)
    end
  end
  canvas:add "</svg>"
  return table.concat(canvas, "\n") .. "\n"
end

return roofline
