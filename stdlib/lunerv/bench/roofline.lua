-- A roofline plot: operations per byte against effective GFLOP/s, for every convolution and for the
-- phases of training steps, under the two roofs measured in the same run: the processor's
-- multiply-adds, and memory bandwidth.
local kernels <const> = require "lunerv.bench.kernels"
local plot <const> = require "lunerv.plot"

local roofline <const> = {}

local ink <const>, phase_colour <const>, other_colour <const> = "#22272e", "#3b4350", "#7c6f64"
local families <const> = {
  ["3×3"] = "#0072b2", ["5×5"] = "#cc79a7", ["1×1"] = "#009e73", strided = "#d55e00",
  depthwise = "#e69f00",
}

local function colour_of(c)
  local name = ("%s×%s"):format(c.kernel, c.kernel)
  if c.groups > 1 then
    name = "depthwise"
  elseif c.stride ~= 1 then
    name = "strided"
  end
  return families[name] or other_colour
end

-- Contents -----------------------------------------------------------------------------------

local marks <const> = { forward = "circle", data_gradient = "square", weight_gradient = "triangle" }

-- Columns of points, one for each convolution: { name, colour, x, points = { { y, mark } } }.
local function columns_of(result)
  local list = {}
  for _, c in ipairs(result.kernels and result.kernels.kernels or {}) do
    local column = {
      name = kernels.name(c), colour = colour_of(c), x = c.intensity, points = {},
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
local most_cases <const> = 3 -- more would overlap

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

-- Drawing -----------------------------------------------------------------------------------

-- The ends of a logarithmic axis, powers of two around all values, and the powers between.
local function powers(values)
  local low, high, list = math.huge, -math.huge, {}
  for _, value in ipairs(values) do
    low, high = math.min(low, math.log(value, 2)), math.max(high, math.log(value, 2))
  end
  for power = math.floor(low - 0.05), math.ceil(high + 0.05) do list[#list + 1] = 2.0 ^ power end
  return { log = true, from = list[1], to = list[#list], ticks = list }
end

local apart <const> = 1 / 65 -- of the axis, between columns that would overlap

-- Adds the columns of `list`, tagged by `tag_of`, next to each other where they would overlap.
local function add_columns(picture, list, tag_of, x)
  local step, last = (x.to / x.from) ^ apart, 0
  for i, column in ipairs(list) do
    local xs, ys, own = {}, {}, {}
    last = math.max(column.x, last * step)
    for k, point in ipairs(column.points) do xs[k], ys[k], own[k] = last, point[1], point[2] end
    picture:points(column.name, xs, ys, { tag = tag_of(i), marks = own, colour = column.colour })
  end
end

-- The slope of memory and the flat line of multiply-adds; only Winograd exceeds the latter.
local function add_roofs(picture, result, x, y)
  local roof, memory = result.roof_gflops, result.memory_gbs
  local ridge, start = roof / memory, math.max(x.from, y.from / memory)
  picture:line(("memory: %.1f GB/s"):format(memory), { start, ridge }, { start * memory, roof },
    { along = true, colour = ink })
  local flat = ("multiply-adds: %.0f GFLOP/s; only Winograd exceeds this"):format(roof)
  picture:line(flat, { ridge, x.to }, { roof, roof }, { colour = ink })
  picture:line(flat, { x.from, x.to }, { roof, roof }, { along = true, dashed = true, width = 1 })
end

-- The plot of a result of bench.run, as the text of an SVG file.
function roofline.svg(result)
  local columns, phases = columns_of(result), phases_of(result)
  local xs, ys = { 1, 256 }, { result.roof_gflops * 2, result.roof_gflops / 20 }
  for _, list in ipairs { columns, phases } do
    for _, column in ipairs(list) do
      xs[#xs + 1] = column.x
      for _, point in ipairs(column.points) do ys[#ys + 1] = point[1] end
    end
  end
  local x, y = powers(xs), powers(ys)
  x.label, y.label = "arithmetic intensity, operations per byte", "effective GFLOP/s"
  local picture = plot {
    title = "Convolutions and training steps under the machine's roofs",
    notes = { ("%s, %d threads"):format(result.machine.processor, result.machine.threads) },
    x = x, y = y, width = 1080, height = 640,
  }
  add_roofs(picture, result, x, y)
  if #columns > 0 then
    picture:key "convolution"
    add_columns(picture, columns, function(i) return tostring(i) end, x)
    for i, product in ipairs { "forward", "data gradient", "weight gradient" } do
      picture:key(product, { mark = marks[kernels.products[i]] })
    end
  end
  if #phases > 0 then
    picture:key "phase of a training step"
    add_columns(picture, phases, function(i) return string.char(96 + i) end, x)
  end
  return picture:svg()
end

return roofline
