-- lv.plot { title =, x = { label = }, … }: lines, points and bars as a picture, SVG or PNG.
--
--   local p = lv.plot { x = { label = "bits per pixel", log = true }, y = { label = "PSNR, dB" } }
--   p:line("lunerv", bpp, psnr)
--   p:points("lunerv", bpp, psnr)
--   assert(p:save "curve.svg")
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

-- Colours that colour-blind people tell apart too (Okabe and Ito), without their yellow, which
-- white swallows.
local colours <const> = {
  "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
}
local marks <const> = { "circle", "square", "triangle", "diamond" }

-- Checking ----------------------------------------------------------------------------------

local function refuse(what, expected, got)
  errors.raise("plot: %s: expected %s, got %s", what, expected, got)
end

-- Options and what they must be.
local kinds <const> = {
  title = { type = "string" }, label = { type = "string" }, tag = { type = "string" },
  width = { type = "number", above = 0 }, log = { type = "boolean" },
  from = { type = "number" }, to = { type = "number" }, ticks = { type = "list" },
  dashed = { type = "boolean" }, along = { type = "boolean" }, legend = { type = "boolean" },
  mark = { type = "choice", choices = marks },
}

-- A copy of options that hold nothing but `names`, each of its kind. `what` names whose they are.
local function checked(what, given, names)
  local o = options(given, {}, names)
  for name, value in pairs(o) do
    local wanted = kinds[name] and values.wanted(kinds[name], value)
    if wanted then refuse(what .. name, wanted, values.show(value)) end
  end
  if o.colour and not tostring(o.colour):match "^#%x%x%x%x%x%x$" then
    refuse(what .. "colour", "one such as #0072b2", tostring(o.colour))
  end
  return o
end

-- Raises an error unless `given` is a list of `count` items (any number above 0, where nil) of
-- type `kind`.
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

-- A plot. Options: title; notes, a list of lines below it; x and y, each { label =, log =, from =,
-- to =, ticks = }, where log makes the axis logarithmic, from and to are its ends and ticks its
-- numbers, else chosen; legend = false for none; width, height in pixels (720 × 440, bars as high
-- as they need), which a long legend makes higher. Unknown options are errors.
local function new(_, given)
  local o = checked("", given, { "title", "notes", "x", "y", "legend", "width", "height" })
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

-- The colour and mark of what is called `name`: series of one name (and tag) look alike and share
-- a row of the legend.
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

-- Adds a series; `check`, where given, gets what it is called in messages and its options, and may
-- refuse them.
local function add(plot, kind, name, xs, ys, given, names, check)
  if type(name) ~= "string" then refuse("name of a series", "text", type(name)) end
  local what, first = ("series '%s'"):format(name), plot.series[1]
  check_items(what, xs, kind == "bars" and "string" or "number")
  check_items(what, ys, "number", #xs)
  local o = checked(what .. ": ", given, names)
  if first and (first.kind == "bars") ~= (kind == "bars") then
    refuse(what, "bars in a plot of their own", kind .. " beside " .. first.kind)
  end
  if check then check(what, o, first) end
  local style = style_of(plot, name, o.tag)
  style.colour, style.hidden = o.colour or style.colour, o.along or style.hidden
  local series = { kind = kind, name = name, xs = xs, ys = ys, o = o, style = style }
  plot.series[#plot.series + 1], style[#style + 1] = series, series
end

-- A line through the points (xs[i], ys[i]), two lists of numbers. What an axis cannot show (nan,
-- infinities, what is not above 0 on a logarithmic axis) is a gap. Options: dashed, width in
-- pixels (2), colour ("#rrggbb"), along = true to write the name of a straight line along it, where
-- no points are, not in the legend.
function Plot:line(name, xs, ys, given)
  add(self, "line", name, xs, ys, given, { "dashed", "width", "colour", "along" })
end

-- Marks at the points (xs[i], ys[i]), gaps as for lines. Options: mark (circle, square, triangle,
-- diamond), marks, a list with one for each point, colour, tag, a short text beside the points that
-- stands for the name in the picture; those that have one are joined by a pale line.
function Plot:points(name, xs, ys, given)
  local function check(what, o)
    if not o.marks then return end
    check_items(what .. ": marks", o.marks, "string", #xs)
    for _, mark in ipairs(o.marks) do checked(what .. ": ", { mark = mark }, { "mark" }) end
  end
  add(self, "points", name, xs, ys, given, { "mark", "marks", "colour", "tag" }, check)
end

-- Horizontal bars from 0, one for each of `labels`; series side by side where there are more, all
-- with the same labels. Options: colour, texts, a list of what to write at the bars' ends.
function Plot:bars(name, labels, numbers, given)
  local function check(what, o, first)
    if first and table.concat(labels, "\0") ~= table.concat(first.xs, "\0") then
      refuse(what, ("the labels of '%s'"):format(first.name), table.concat(labels, ", "))
    end
    if o.texts then check_items(what .. ": texts", o.texts, "string", #labels) end
  end
  add(self, "bars", name, labels, numbers, given, { "colour", "texts" }, check)
end

-- A row of the legend that belongs to no series: what a mark means, or, without a mark, a heading.
function Plot:key(text, given)
  if type(text) ~= "string" then refuse("key", "text", type(text)) end
  local o = checked(("key '%s': "):format(text), given, { "mark", "colour" })
  self.rows[#self.rows + 1] = { name = text, colour = o.colour or legend.faint, key = o.mark or "" }
end

-- Output ------------------------------------------------------------------------------------

local function drawn(plot, canvas)
  if #plot.series == 0 then errors.raise "plot: expected at least one series, got none" end
  return draw.plot(plot, require(canvas)):finished()
end

-- The picture as the text of an SVG file.
function Plot:svg() return drawn(self, "lunerv.plot.svg") end

-- The picture as an image, (1, 3, height, width), from 0 to 1.
function Plot:image() return drawn(self, "lunerv.plot.raster") end

-- Writes the picture to `path`, which ends in .svg or .png, whole or not at all. Returns true, or
-- nil and a message; another ending is an error.
function Plot:save(path)
  local ending = tostring(path):match "%.(%w+)$"
  if ending == "svg" then return native.write_file(path, self:svg()) end
  if ending == "png" then return require "lunerv.video".write_image(path, self:image()) end
  refuse("save", "a path that ends in .svg or .png", ("'%s'"):format(tostring(path)))
end

return setmetatable({}, { __call = new })
