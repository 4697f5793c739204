-- lunerv run scripts/rd_curve.lua CLIP --out DIR …: rate against quality, beside x264 and x265.
local lv <const> = require "lunerv"
local Progress <const> = require "lunerv.progress"

local o <const> = lv.options.parse(arg, {
  command = "rd_curve",
  usage = "lunerv run scripts/rd_curve.lua CLIP --out DIR [options]",
  about = "Compresses a clip to several rates, and with x264 and x265 (4:2:0, tuned for PSNR, one\n"
    .. "group of pictures, bytes of the bare stream) to the same and to lower ones, until the\n"
    .. "curves share their decibels. Writes the files, curve.csv, curve.svg and curve.json with\n"
    .. "BD-rates. --minutes is the time for each point; --resume keeps points that are done.",
  positional = { "clip" }, required = { "out" },
})
if not o then return end

if o.threads then lv.set_threads(o.threads) end
o.out = o.out:gsub("(.)/+$", "%1")
local clip <close> = assert(lv.video.open_for(o, o.out))
print(clip)
lv.work_folder(o.out)
table.sort(o.rates)

-- Points -------------------------------------------------------------------------------------

-- What was measured before under a name, or else measure(), kept for another time.
local function remembered(name, measure)
  local path = ("%s/%s.json"):format(o.out, name)
  local text = o.resume and lv.read_file(path)
  if text then return lv.json.decode(text) end
  local point = measure()
  assert(lv.write_file(path, lv.json.encode(point) .. "\n"))
  return point
end

-- Each curve is { name, color, points = { { bytes, bpp, psnr, seconds } … } }, psnr of 8 bits.
local curves <const> = { { name = "lunerv", color = "#c2185b", points = {} } }

for _, rate in ipairs(o.rates) do
  local name = ("point-%g"):format(rate)
  local point = remembered(name, function()
    local options = {}
    for key, value in pairs(o) do options[key] = value end
    options.bpp, options.out = rate, ("%s/%s.work"):format(o.out, name)
    local path = ("%s/%s.lnv"):format(o.out, name)
    local file = assert(lv.compress.file(path, clip, options, print))
    return { bytes = file.bytes, bpp = file.bpp, psnr = file.psnr_8bit, seconds = file.seconds }
  end)
  table.insert(curves[1].points, point)
  print(("lunerv: %.4f bpp, %.2f dB, in %s"):format(point.bpp, point.psnr,
    Progress.duration(point.seconds)))
end

local function worst_of(points)
  local worst = math.huge
  for _, point in ipairs(points) do worst = math.min(worst, point.psnr) end
  return worst
end

-- Rates below ours at most, each half of the one before.
local most_lower <const> = 4

local colors <const> = { x264 = "#1565c0", x265 = "#2e7d32" }
for _, codec in ipairs(lv.reference.codecs) do
  local curve = { name = codec .. " " .. o.x26x_preset, color = colors[codec], points = {} }
  curves[#curves + 1] = curve
  local function add(rate)
    local point = remembered(("%s-%g"):format(codec, rate), function()
      local began = lv.time()
      local wanted = rate * #clip * clip.height * clip.width / 8
      local r = lv.reference.at_bytes(clip, wanted, { codec = codec, preset = o.x26x_preset })
      return { bytes = r.bytes, bpp = r.bpp, psnr = r.psnr_8bit, seconds = lv.time() - began }
    end)
    table.insert(curve.points, point)
    print(("%s: %.4f bpp, %.2f dB"):format(codec, point.bpp, point.psnr))
  end
  for _, rate in ipairs(o.rates) do add(rate) end
  -- Lower ones, until it is as bad as our worst point: a BD-rate says something of decibels that
  -- both curves have.
  for k = 1, most_lower do
    if worst_of(curve.points) <= worst_of(curves[1].points) then break end
    add(o.rates[1] / 2 ^ k)
  end
  table.sort(curve.points, function(p, q) return p.bpp < q.bpp end)
end

-- BD-rates -----------------------------------------------------------------------------------

local notes <const> = {
  ("%s, %dx%d, %d frames"):format(clip.source:match "[^/]*$", clip.width, clip.height, #clip),
  ("%s, recipe %s: %s; seed %d"):format(o.model, o.recipe, o.minutes
    and ("%g minutes for each point"):format(o.minutes)
    or ("%d epochs, then %d of %s"):format(o.epochs, o.compress_epochs, o.method), o.seed),
}
local bd_rates <const> = {}
-- Decibels that curves must share.
local enough <const> = 4
for k = 2, #curves do
  local name = curves[k].name
  local percent, shared = lv.bd_rate(curves[k].points, curves[1].points)
  bd_rates[name] = lv.json_null
  if not percent then
    notes[#notes + 1] = ("BD-rate against %s: none, %s"):format(name, shared)
  elseif shared < enough then
    notes[#notes + 1] = ("BD-rate against %s: none, the curves share %.1f dB of %g"):format(name,
      shared, enough)
  else
    bd_rates[name] = percent
    notes[#notes + 1] = ("BD-rate against %s: %+.1f %% (over %.1f dB)"):format(name, percent,
      shared)
  end
end

-- Files --------------------------------------------------------------------------------------

local lines <const> = { "codec,bytes,bpp,psnr_8bit,seconds" }
for _, curve in ipairs(curves) do
  for _, p in ipairs(curve.points) do
    lines[#lines + 1] = ("%s,%d,%.6f,%.4f,%.2f"):format(curve.name, p.bytes, p.bpp, p.psnr,
      p.seconds)
  end
end
assert(lv.write_file(o.out .. "/curve.csv", table.concat(lines, "\n") .. "\n"))
assert(lv.write_file(o.out .. "/curve.json",
  lv.json.encode { curves = curves, bd_rates = bd_rates, notes = notes } .. "\n"))

-- The picture: bits per pixel on a logarithmic axis, decibels on the other.
local width <const>, height <const>, left <const> = 720, 540, 64
local top <const> = 22 + 16 * #notes
local right <const>, bottom <const> = width - 24, height - 56

local function escape(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;" }))
end

local function picture()
  local x0, x1, y0, y1 = math.huge, -math.huge, math.huge, -math.huge
  for _, curve in ipairs(curves) do
    for _, p in ipairs(curve.points) do
      x0, x1 = math.min(x0, p.bpp), math.max(x1, p.bpp)
      y0, y1 = math.min(y0, p.psnr), math.max(y1, p.psnr)
    end
  end
  x0, x1, y0, y1 = x0 / 1.15, x1 * 1.15, math.floor(y0 - 0.5), math.ceil(y1 + 0.5)
  local function across(bpp)
    return left + math.log(bpp / x0) / math.log(x1 / x0) * (right - left)
  end
  local function down(psnr) return bottom - (psnr - y0) / (y1 - y0) * (bottom - top) end

  local head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
    .. 'font-family="sans-serif" font-size="13">'
  local svg = { head:format(width, height),
    ('<rect width="%d" height="%d" fill="white"/>'):format(width, height) }
  local function add(text, ...) svg[#svg + 1] = text:format(...) end
  local function line(xa, ya, xb, yb)
    add('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>', xa, ya, xb, yb)
  end
  for _, rate in ipairs(o.rates) do
    line(across(rate), top, across(rate), bottom)
    add('<text x="%.1f" y="%d" text-anchor="middle">%g</text>', across(rate), bottom + 18, rate)
  end
  local step = math.max(1, (y1 - y0) // 8)
  for psnr = y0, y1, step do
    line(left, down(psnr), right, down(psnr))
    add('<text x="%d" y="%.1f" text-anchor="end">%d</text>', left - 8, down(psnr) + 4, psnr)
  end
  add('<text x="%d" y="%d" text-anchor="middle">bits per pixel, the whole file</text>',
    (left + right) // 2, height - 14)
  add('<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">'
    .. '8-bit RGB PSNR, dB</text>', (top + bottom) // 2)
  for k, curve in ipairs(curves) do
    local places = {}
    for i, p in ipairs(curve.points) do
      places[i] = ("%.1f,%.1f"):format(across(p.bpp), down(p.psnr))
      add('<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>', across(p.bpp), down(p.psnr), curve.color)
    end
    add('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>',
      table.concat(places, " "), curve.color)
    add('<text x="%d" y="%d" fill="%s" font-weight="bold">%s</text>', left + 12, top + 18 * k,
      curve.color, escape(curve.name))
  end
  for k, note in ipairs(notes) do
    add('<text x="%d" y="%d" fill="#444" font-size="12">%s</text>', left, 2 + 16 * k, escape(note))
  end
  svg[#svg + 1] = "</svg>\n"
  return table.concat(svg, "\n")
end

assert(lv.write_file(o.out .. "/curve.svg", picture()))
for _, note in ipairs(notes) do print(note) end
print(("%s/curve.svg, curve.csv and curve.json hold the curves"):format(o.out))
