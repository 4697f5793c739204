-- lv.plot: what is in its pictures, as SVG and as pixels, and what it refuses.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local elements <const> = require "svg"

local equal <const>, near <const>, test <const> = harness.equal, harness.near, harness.test

local function named(list, name)
  local found = {}
  for _, element in ipairs(list) do
    if element.name == name then found[#found + 1] = element end
  end
  return found
end

-- The position of the text `words`.
local function at(list, words)
  for _, element in ipairs(list) do
    if element.name == "text" and element.text == words then
      return tonumber(element.x), tonumber(element.y), element
    end
  end
  error(("no text '%s'"):format(words))
end

-- `body` must raise an error that ends in `message`.
local function fails(body, message)
  local ok, got = pcall(body)
  assert(not ok, "an error expected, none came")
  equal(tostring(got):sub(-#message), message)
end

test("lines, points and a legend are in the text, escaped", function()
  local p = lv.plot {
    title = 'a < b & "c"', notes = { "first", "second" }, x = { label = "epoch\0\1" },
    y = { label = "dB" },
  }
  p:line("one & two", { 0, 1, 2 }, { 3, 4, 5 })
  p:points("one & two", { 0, 1, 2 }, { 3, 4, 5 })
  p:line("bad \xff", { 0, 2 }, { 5, 3 }, { dashed = true, colour = "#123456" })
  local svg = p:svg()
  assert(svg:match "^<svg .*</svg>\n$")
  local list = elements(svg)
  equal({ #named(list, "polyline"), #named(list, "circle") }, { 2, 4 }) -- one in the legend
  for _, words in ipairs { "a &lt; b &amp; &quot;c&quot;", "first", "second", "epoch  ", "dB",
    "one &amp; two", "bad ?" } do
    at(list, words)
  end
  equal(select(2, svg:gsub("one &amp; two", "")), 1)
  equal(named(list, "polyline")[2].stroke, "#123456")
  assert(named(list, "polyline")[2]["stroke-dasharray"])
  local _, dB_y, dB = at(list, "dB")
  assert(dB.transform:find("rotate(-90", 1, true) and dB_y > 100)

  local bare = lv.plot { legend = false }
  bare:line("hidden", { 1, 2 }, { 1, 2 })
  assert(not bare:svg():find("hidden", 1, true))
end)

test("equal ratios are equal distances on a logarithmic axis", function()
  local p = lv.plot { x = { log = true }, y = { log = true, from = 1, to = 1e4 } }
  p:line("x", { 0.001, 0.01, 1 }, { 1, 10, 1e4 })
  local list = elements(p:svg())
  local low, middle, high = at(list, "0.001"), at(list, "0.1"), at(list, "1")
  near(middle - low, 2 * (high - middle), 0.3)
  local places = {}
  for number in named(list, "polyline")[1].points:gmatch "[%d.]+" do
    places[#places + 1] = tonumber(number)
  end
  near(places[1], low, 0.1)
  near(places[3] - places[1], (places[5] - places[1]) / 3, 0.2)
  near(places[2] - places[4], (places[2] - places[6]) / 4, 0.2)

  local given = lv.plot { x = { log = true, ticks = { 0.03, 0.3, 7 } } }
  given:line("x", { 0.02, 0.4 }, { 1, 2 })
  list = elements(given:svg())
  assert(at(list, "0.03") < at(list, "0.3"))
  assert(not pcall(at, list, "7")) -- out of the range
end)

test("ticks are round, and distinguish narrow ranges", function()
  local p = lv.plot { y = { from = 0, to = 1 } }
  p:line("x", { 1e6, 1e6 + 0.004 }, { 0, 1 })
  local list = elements(p:svg())
  for _, words in ipairs { "0.2", "0.4", "0.6", "0.8", "1000000.001", "1000000.002" } do
    at(list, words)
  end
  local flat = lv.plot {}
  flat:line("x", { 0, 0 }, { 5, 5 })
  assert(not flat:svg():find "nan")
end)

test("infinite values are gaps", function()
  local nan, inf = 0 / 0, math.huge
  local p = lv.plot {}
  p:line("x", { 1, 2, 3, 4, 5, 6, 7 }, { 1, 2, nan, 4, inf, 6, 7 })
  p:points("y", { 1, 2, -inf }, { 1, nan, 3 })
  local svg = p:svg()
  local list = elements(svg)
  equal(#named(list, "polyline"), 2)
  equal(#named(list, "circle"), 1) -- what stands alone between gaps
  equal(#named(list, "polygon"), 2) -- one in the legend
  assert(not svg:find "nan" and not svg:find "inf")

  local log = lv.plot { y = { log = true } }
  log:line("x", { 1, 2, 3, 4, 5 }, { 1, 2, 0, 3, 4 })
  equal(#named(elements(log:svg()), "polyline"), 2)
  local nothing = lv.plot {}
  nothing:line("x", { 1, 2 }, { nan, nan })
  equal(#named(elements(nothing:svg()), "polyline"), 0)
end)

test("bars begin at 0, grouped by label", function()
  local p = lv.plot { x = { label = "seconds", from = 0, to = 10 } }
  p:bars("a", { "u", "v" }, { 5, 10 }, { texts = { "five", "ten" }, colour = "#aa0000" })
  p:bars("b", { "u", "v" }, { 0 / 0, 2.5 }, { colour = "#00aa00" })
  local list, found = elements(p:svg()), {}
  for _, element in ipairs(named(list, "rect")) do
    local colour = element.fill
    if (colour == "#aa0000" or colour == "#00aa00") and element.height == "13.0" then
      found[#found + 1] = element
    end
  end
  equal(#found, 3)
  near(found[2].width / found[1].width, 2, 0.01)
  near(found[2].width / found[3].width, 4, 0.02)
  equal(found[1].x, found[3].x)
  assert(at(list, "five") < at(list, "ten") and select(2, at(list, "u")) < select(2, at(list, "v")))
end)

test("tags stand for names, and keys explain marks", function()
  local p = lv.plot {}
  p:key "heading"
  p:points("first", { 1, 1 }, { 2, 3 }, { tag = "A", marks = { "square", "triangle" } })
  p:points("first", { 2 }, { 2 }, { tag = "B" })
  p:key("a square", { mark = "square" })
  p:line("roof", { 1, 2 }, { 3, 3 }, { along = true })
  local list = elements(p:svg())
  local count = {}
  for _, element in ipairs(named(list, "text")) do
    count[element.text] = (count[element.text] or 0) + 1
  end
  equal({ count.A, count.B, count.first, count.heading, count["a square"], count.roof },
    { 2, 2, 2, 1, 1, 1 })
end)

test("a long legend makes a picture higher", function()
  local p = lv.plot { height = 200 }
  for i = 1, 30 do p:line("n" .. i, { 0, 1 }, { i, i }) end
  assert(tonumber(elements(p:svg())[1].height) > 500)
end)

test("a PNG file has its size and colours", function()
  local folder <close> = harness.folder()
  local p = lv.plot { width = 300, height = 201, title = "Aé" }
  p:line("a", { 0, 1 }, { 0, 0 }, { colour = "#0000ff", width = 6 })
  p:line("b", { 0, 1 }, { 1, 1 }, { colour = "#ff0000", dashed = true })
  p:points("c", { 0.5 }, { 0.5 }, { colour = "#00ff00", mark = "diamond" })
  local path = folder.path .. "/p.png"
  equal(p:save(path), true)
  equal(lv.list_dir(folder.path), { "p.png" })
  local clip <close> = assert(lv.video.open(path))
  equal({ #clip, clip.width, clip.height }, { 1, 300, 201 })
  local levels = clip:frame_u8(1):tolist()[1]
  local count, dashes = {}, 0
  for y = 1, 201 do
    for x = 1, 300 do
      local colour = ("%02x%02x%02x"):format(levels[1][y][x], levels[2][y][x], levels[3][y][x])
      count[colour] = (count[colour] or 0) + 1
      local left = x > 1 and levels[2][y][x - 1] or 0
      if colour == "ff0000" and left > 0 then dashes = dashes + 1 end
    end
  end
  assert(count["0000ff"] > 500 and count["00ff00"] > 20 and count.ffffff > 40000, count.ffffff)
  assert(dashes > 10, dashes)
  assert((lv.read_file(path)):sub(2, 4) == "PNG")

  equal(p:save(folder.path .. "/p.svg"), true)
  equal(lv.read_file(folder.path .. "/p.svg"), p:svg())
  for _, ending in ipairs { "svg", "png" } do
    local ok, message = p:save(folder.path .. "/none/p." .. ending)
    assert(ok == nil and message:find("none", 1, true), message)
  end
end)

test("every character of ASCII has a glyph", function()
  local font = require "lunerv.plot.font"
  local function shown(character)
    local strokes = {}
    for i, points in ipairs(font.glyphs(character, 12)[1].strokes) do
      strokes[i] = table.concat(points, " ")
    end
    return table.concat(strokes, ";")
  end
  local seen = { [shown "\u{2603}"] = "unknown" }
  for code = 33, 126 do
    local character = string.char(code)
    local strokes = shown(character)
    assert(strokes ~= "" and seen[strokes] ~= "unknown", character)
    seen[strokes] = character
  end
  assert(font.width("wide", 12) > font.width("i", 12) and font.width("a", 24) > font.width("a", 12))
end)

test("mistakes are named", function()
  local p = lv.plot {}
  fails(function() p:svg() end, "plot: expected at least one series, got none")
  fails(function() p:line("x", {}, {}) end,
    "plot: series 'x': expected at least one value, got none")
  fails(function() p:line("x", { 1, 2 }, { 1 }) end, "plot: series 'x': expected 2 values, got 1")
  fails(function() p:line("x", { 1, 2 }, { 1, "2" }) end,
    "plot: series 'x': expected numbers, got string at 2")
  fails(function() p:line("x", 3, { 1 }) end, "plot: series 'x': expected a list, got number")
  fails(function() p:points(nil, { 1 }, { 1 }) end,
    "plot: name of a series: expected text, got nil")
  fails(function() p:bars("x", { 1 }, { 1 }) end,
    "plot: series 'x': expected strings, got number at 1")
  fails(function() p:line("x", { 1 }, { 1 }, { dash = true }) end,
    "unknown option 'dash': did you mean 'dashed'? (known: along, colour, dashed, width)")
  fails(function() p:line("x", { 1 }, { 1 }, { width = 0 }) end,
    "plot: series 'x': width: expected a number above 0, got 0")
  fails(function() p:line("x", { 1 }, { 1 }, { colour = "red" }) end,
    "plot: series 'x': colour: expected one such as #0072b2, got red")
  fails(function() p:points("x", { 1 }, { 1 }, { mark = "star" }) end,
    "plot: series 'x': mark: expected one of circle, diamond, square, triangle, got 'star'")
  fails(function() p:points("x", { 1 }, { 1 }, { marks = { "circle", "square" } }) end,
    "plot: series 'x': marks: expected 1 values, got 2")
  equal(#p.series, 0)

  p:bars("a", { "u" }, { 1 })
  fails(function() p:bars("b", { "v" }, { 1 }) end,
    "plot: series 'b': expected the labels of 'a', got v")
  fails(function() p:bars("b", { "u" }, { 1 }, { texts = {} }) end,
    "plot: series 'b': texts: expected at least one value, got none")
  fails(function() p:line("b", { 1 }, { 1 }) end,
    "plot: series 'b': expected bars in a plot of their own, got line with bars")
  equal(#p.series, 1)
  fails(function() p:save "x.pdf" end,
    "plot: save: expected a path that ends in .svg or .png, got 'x.pdf'")

  fails(function() lv.plot { titel = "x" } end,
    "unknown option 'titel': did you mean 'title'? (known: height, legend, "
      .. "notes, title, width, x, y)")
  fails(function() lv.plot { title = 3 } end, "plot: title: expected a string, got 3")
  fails(function() lv.plot { width = 10 } end,
    "plot: width: expected an integer from 200 to 4096, got 10")
  fails(function() lv.plot { x = { logg = true } } end,
    "unknown option 'logg': did you mean 'log'? (known: from, label, log, ticks, to)")
  fails(function() lv.plot { y = { log = 10 } } end, "plot: y.log: expected true or false, got 10")
  fails(function() lv.plot { y = { log = true, from = 0 } } end,
    "plot: y.from: expected a number above 0 on a logarithmic axis, got 0")
  fails(function() lv.plot { x = { from = 2, to = 1 } } end,
    "plot: x.to: expected a number above 2, got 1")
  fails(function() lv.plot { notes = "x" } end, "plot: notes: expected a list, got string")
  fails(function() lv.plot { notes = { 1 } } end, "plot: notes: expected strings, got number at 1")
end)
