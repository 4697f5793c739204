-- Lines, points and bars as a picture, SVG or PNG.
--
--     local p = lv.plot { x = { label = "bits per pixel", log = true }, y = { label = "PSNR" } }
--     p:line("lunerv", bpp, psnr)
--     assert(p:save "curve.svg")
local axis <const> = require "lunerv.plot.axis"
local draw <const> = require "lunerv.plot.draw"
local errors <const> = require "lunerv.errors"
local legend <const> = require "lunerv.plot.legend"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local values <const> = require "lunerv.options.values"

local Plot <const> = {}
Plot.__index = Plot
Plot.__name = "plot"

-- Colours that remain distinct for colour-blind readers (Okabe and Ito), without their yellow,
-- which is invisible on white.
local colours <const> = {
  "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
}
local marks <const> = { "circle", "square", "triangle", "diamond" }

-- Checking ----------------------------------------------------------------------------------

local function refuse(what, expected, got)
  errors.raise("plot: %s: expected %s, got %s", what, expected, got)
end

-- Options and their expected types.
local kinds <const> = {
  title = { type = "string" }, label = { type = "string" }, tag = { type = "string" },
  width = { type = "number", above = 0 }, log = { type = "boolean" },
  from = { type = "number" }, to = { type = "number" }, ticks = { type = "list" },
  dashed = { type = "boolean" }, along = { type = "boolean" }, legend = { type = "boolean" },
  mark = { type = "choice", choices = marks },
}

-- Copies options after checking that each name is in `names` and has its type. `what` names the
-- owner.
local function checked(what, given, names)
  local o = options(given, {}, names, "plot")
  for name, value in pairs(o) do
    local wanted = kinds[name] and values.wanted(kinds[name], value)
    if wanted then refuse(what .. name, wanted, values.quoted(value)) end
  end
  if o.colour and not tostring(o.colour):match "^#%x%x%x%x%x%x$" then
    refuse(what .. "colour", "one such as #0072b2", tostring(o.colour))
  end
  return o
end

-- Raises an error unless `given` is a list of `count` items (nil: at least one) of type `kind`.
local function check_items(what, given, kind, count)
  errors.check_list("plot: " .. what, given)
  if #given == 0 then refuse(what, "at least one value", "none") end
  if count and #given ~= count then refuse(what, ("%d values"):format(count), #given) end
  for i, item in ipairs(given) do
    if type(item) ~= kind then refuse(what, kind .. "s", ("%s at %d"):format(type(item), i)) end
  end
end

-- Making ------------------------------------------------------------------------------------

local axis_options <const> = { "label", "log", "from", "to", "ticks" }

-- Options are declared for help and checked here: messages name the series.
local takes <const> = {
  plot = options.takes("plot", {
    { "title", nil, "the title above the picture", type = "string" },
    { "notes", nil, "lines of text below it", type = "string[]" },
    { "x", nil, "the horizontal axis: { label =, log =, from =, to =, ticks = }", type = "table" },
    { "y", nil, "the vertical axis, the same way", type = "table" },
    { "legend", true, "false: without a legend" },
    { "width", 720, "width in pixels, from 200 to 4096", type = "integer" },
    { "height", nil, "height in pixels (440; bars: as needed), more for a long legend",
      type = "integer" },
  }),
  line = options.takes("plot.Plot:line", {
    { "dashed", false, "whether the line is dashed" },
    { "width", 2, "width of the line in pixels" },
    { "colour", nil, "such as #0072b2 (one for each name)", type = "string" },
    { "along", false, "write the name along a straight line instead of in the legend" },
  }),
  points = options.takes("plot.Plot:points", {
    { "mark", nil, "circle, square, triangle or diamond (one for each name)", type = "string" },
    { "marks", nil, "a list with a mark for each point", type = "string[]" },
    { "colour", nil, "such as #0072b2 (one for each name)", type = "string" },
    { "tag", nil, "a short text next to the points instead of the name; a line joins them",
      type = "string" },
  }),
  bars = options.takes("plot.Plot:bars", {
    { "colour", nil, "such as #0072b2 (one for each name)", type = "string" },
    { "texts", nil, "a list of texts at the ends of the bars", type = "string[]" },
  }),
  key = options.takes("plot.Plot:key", {
    { "mark", nil, "circle, square, triangle or diamond; without one the row is a heading",
      type = "string" },
    { "colour", nil, "such as #0072b2 (a pale one)", type = "string" },
  }),
}

--- An empty plot, for lines and points or for bars.
--- An axis is { label =, log =, from =, to =, ticks = }: log makes it logarithmic, from and to are
--- its ends, and ticks its numbers. Fields that are not given are chosen.
---
---     local p = lv.plot { x = { label = "bits per pixel", log = true }, y = { label = "PSNR" } }
---     p:line("lunerv", { 0.1, 0.2 }, { 30, 33 })
---     assert(p:save "curve.svg")
---
---@param given? lunerv.plot.Options
---@return lunerv.plot.Plot
local function new(_, given)
  local o = checked("", given, takes.plot.known)
  for _, name in ipairs { "x", "y" } do
    o[name] = checked(name .. ".", o[name], axis_options)
    axis.check(o[name], name)
  end
  for _, name in ipairs { "width", "height" } do
    local size = o[name] or 200
    if math.type(size) ~= "integer" or size < 200 or size > 4096 then
      refuse(name, "an integer from 200 to 4096", tostring(size))
    end
  end
  if o.notes then check_items("notes", o.notes, "string") end
  return setmetatable({ o = o, series = {}, styles = {}, rows = {} }, Plot)
end

-- The colour and mark of a name: series with the same name (and tag) look the same and share a row
-- of the legend.
local function style_of(plot, name, tag)
  local id = (tag or "") .. "\0" .. name
  local style = plot.styles[id]
  if not style then
    local n = #plot.rows
    style = { name = name, tag = tag, colour = colours[n % #colours + 1],
      mark = marks[n % #marks + 1] }
    plot.styles[id], plot.rows[n + 1] = style, style
  end
  return style
end

-- Adds a series. `check`, where given, receives the name used in messages and the options, and may
-- raise an error.
local function add(plot, kind, name, xs, ys, given, names, check)
  if type(name) ~= "string" then refuse("name of a series", "text", type(name)) end
  local what, first = ("series '%s'"):format(name), plot.series[1]
  check_items(what, xs, kind == "bars" and "string" or "number")
  check_items(what, ys, "number", #xs)
  local o = checked(what .. ": ", given, names)
  if first and (first.kind == "bars") ~= (kind == "bars") then
    refuse(what, "bars in a plot of their own", kind .. " with " .. first.kind)
  end
  if check then check(what, o, first) end
  local style = style_of(plot, name, o.tag)
  style.colour, style.hidden = o.colour or style.colour, o.along or style.hidden
  local series = { kind = kind, name = name, xs = xs, ys = ys, o = o, style = style }
  plot.series[#plot.series + 1], style[#style + 1] = series, series
end

--- Draws a line through points.
--- Values that an axis cannot show (nan, infinities, numbers up to 0 on a logarithmic axis) leave a
--- gap.
---
---     p:line("x265", bpp, psnr, { dashed = true })
---
---@param name string  the name in the legend; series with the same name look the same
---@param xs number[]  horizontal positions
---@param ys number[]  vertical positions, one for each of xs
---@param given? lunerv.plot.Plot.line.Options
function Plot:line(name, xs, ys, given)
  add(self, "line", name, xs, ys, given, takes.line.known)
end

--- Draws a mark at each point; gaps are as for lines.
---
---     p:points("x265", bpp, psnr, { mark = "square" })
---
---@param name string  the name in the legend; series with the same name look the same
---@param xs number[]  horizontal positions
---@param ys number[]  vertical positions, one for each of xs
---@param given? lunerv.plot.Plot.points.Options
function Plot:points(name, xs, ys, given)
  local function check(what, o)
    if not o.marks then return end
    check_items(what .. ": marks", o.marks, "string", #xs)
    for _, mark in ipairs(o.marks) do checked(what .. ": ", { mark = mark }, { "mark" }) end
  end
  add(self, "points", name, xs, ys, given, takes.points.known, check)
end

--- Draws horizontal bars from 0, one for each label.
--- Several series stand side by side; all have the same labels.
---
---     p:bars("seconds", { "encoder", "decoder" }, { 1.5, 0.2 })
---
---@param name string  the name in the legend
---@param labels string[]  the text next to each bar
---@param numbers number[]  lengths of the bars
---@param given? lunerv.plot.Plot.bars.Options
function Plot:bars(name, labels, numbers, given)
  local function check(what, o, first)
    if first and table.concat(labels, "\0") ~= table.concat(first.xs, "\0") then
      refuse(what, ("the labels of '%s'"):format(first.name), table.concat(labels, ", "))
    end
    if o.texts then check_items(what .. ": texts", o.texts, "string", #labels) end
  end
  add(self, "bars", name, labels, numbers, given, takes.bars.known, check)
end

--- Adds a row to the legend that belongs to no series: what a mark means, or a heading.
---
---     p:key("keyframes", { mark = "diamond" })
---
---@param text string  the text of the row
---@param given? lunerv.plot.Plot.key.Options
function Plot:key(text, given)
  if type(text) ~= "string" then refuse("key", "text", type(text)) end
  local o = checked(("key '%s': "):format(text), given, takes.key.known)
  self.rows[#self.rows + 1] = { name = text, colour = o.colour or legend.faint, key = o.mark or "" }
end

-- Output ------------------------------------------------------------------------------------

local function drawn(plot, canvas)
  if #plot.series == 0 then errors.raise "plot: expected at least one series, got none" end
  return draw.plot(plot, require(canvas)):finished()
end

--- The picture as the text of an SVG file.
---
---@return string
function Plot:svg() return drawn(self, "lunerv.plot.svg") end

--- The picture as an image, (1, 3, height, width), from 0 to 1.
---
---@return lunerv.Tensor
function Plot:image() return drawn(self, "lunerv.plot.raster") end

--- Writes the picture to a file, whole or not at all.
---
---     assert(p:save "curve.png")
---
---@param path string  ends in .svg or .png
---@return boolean?  true, or nil where it could not be written
---@return lunerv.Error?
function Plot:save(path)
  local ending = tostring(path):match "%.(%w+)$"
  if ending == "svg" then return native.write_file(path, self:svg()) end
  if ending == "png" then return require "lunerv.video".write_image(path, self:image()) end
  refuse("save", "a path that ends in .svg or .png", ("'%s'"):format(tostring(path)))
end

return setmetatable({ Plot = Plot }, { __call = new })
