-- lunerv run scripts/rd_curve.lua CLIP --out DIR …: rate–distortion curves of lunerv, x264 and
-- x265.
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local Progress <const> = require "lunerv.progress"
local checkpoint <const> = require "lunerv.checkpoint"
local pages <const> = require "lunerv.report.write"
local request <const> = require "lunerv.compress.request"
local segment_files <const> = require "lunerv.compress.segment_files"

local o <const> = lv.options.parse(arg, {
  command = "rd_curve",
  usage = "lunerv run scripts/rd_curve.lua CLIP --out DIR [options]",
  about = "Compresses a clip at several rates, with lunerv, x264 and x265, and draws their "
    .. "rate–distortion curves.",
  details = "x264 and x265 (4:2:0, tuned for PSNR, one group of pictures, bytes of the bare "
    .. "stream) also get lower rates, until the curves overlap in PSNR. Writes the files, "
    .. "curve.csv, curve.svg, curve.json with BD-rates, and a page, report.html. --minutes "
    .. "applies to each point; --resume keeps the points that are finished.",
  positional = { "clip" }, required = { "out" },
})
if not o then return end

if o.threads then lv.set_threads(o.threads) end
o.out = o.out:gsub("(.)/+$", "%1")
request.check_effects(o)
local clip <close> = assert(lv.video.open_for(o, o.out))
print(clip)
native.work_folder(o.out)
table.sort(o.rates)

-- Points -------------------------------------------------------------------------------------

-- What points depend on; that of x264 and x265 on the preset as well.
local asked <const> = request.facts(o, clip)
asked.rates, asked.x26x_preset = nil, nil
asked.minutes = o.minutes
local asked_of_reference <const> = { clip_frames = #clip, clip_height = clip.height,
  clip_width = clip.width, first_frame = asked.first_frame, frames = asked.frames,
  crop = asked.crop,
  deinterlace = asked.deinterlace, preset = o.x26x_preset }

-- A later run that resumes this one must not take over points of an earlier one.
if not o.resume then
  for _, name in ipairs(lv.list_dir(o.out)) do
    if name:match "^point%-[%d.e+-]+%.work$" then segment_files.forget(o.out .. "/" .. name) end
    if name:match "^point%-[%d.e+-]+%.json$" or name:match "^x26[45]%-[%d.e+-]+%.json$" then
      native.remove(o.out .. "/" .. name)
    end
  end
end

-- An earlier result under a name, or that of measure(), which is then stored.
local function remembered(name, facts, measure)
  local path = ("%s/%s.json"):format(o.out, name)
  local text = o.resume and lv.read_file(path)
  local point = text and lv.json.decode(text)
  if point then
    -- Older runs did not record what was asked for.
    checkpoint.compare("rd_curve", path, point.asked or facts, facts)
  else
    point = measure()
    point.asked = facts
    assert(lv.write_file(path, lv.json.encode(point) .. "\n"))
  end
  point.asked = nil
  return point
end

-- Each curve is { name, points = { { bytes, bpp, psnr, seconds } … } }, psnr of 8 bits.
local curves <const> = { { name = "lunerv", points = {} } }

for _, rate in ipairs(o.rates) do
  local name = ("point-%g"):format(rate)
  local point = remembered(name, asked, function()
    local options = lv.options.copy(o)
    options.rates, options.x26x_preset = nil, nil -- others may follow later
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

-- At most this many rates below ours, each half of the previous one.
local most_lower <const> = 4

for _, codec in ipairs(lv.reference.codecs) do
  local curve = { name = codec .. " " .. o.x26x_preset, points = {} }
  curves[#curves + 1] = curve
  local function add(rate)
    local point = remembered(("%s-%g"):format(codec, rate), asked_of_reference, function()
      local wanted = rate * #clip * clip.height * clip.width / 8
      local r = lv.reference.at_bytes(clip, wanted, { codec = codec, preset = o.x26x_preset })
      return { bytes = r.bytes, bpp = r.bpp, psnr = r.psnr_8bit, seconds = r.seconds }
    end)
    table.insert(curve.points, point)
    print(("%s: %.4f bpp, %.2f dB"):format(codec, point.bpp, point.psnr))
  end
  for _, rate in ipairs(o.rates) do add(rate) end
  -- Lower rates, until the quality is as low as our worst point: a BD-rate is defined only over
  -- decibels that both curves cover.
  for k = 1, most_lower do
    if worst_of(curve.points) <= worst_of(curves[1].points) then break end
    add(o.rates[1] / 2 ^ k)
  end
  table.sort(curve.points, function(p, q) return p.bpp < q.bpp end)
end

-- BD-rates -----------------------------------------------------------------------------------

local notes <const> = {
  ("%s, %dx%d, %d frames"):format(clip.source:match "([^/]*)/*$", clip.width, clip.height, #clip),
  ("%s, recipe %s: %s; seed %d"):format(o.model, o.recipe, o.minutes
    and ("%g minutes for each point"):format(o.minutes)
    or ("%d epochs, then %d of %s"):format(o.epochs, o.compress_epochs, o.method), o.seed),
}
local bd_rates <const> = {}
-- The range in decibels that curves must share.
local enough <const> = 4
for k = 2, #curves do
  local name = curves[k].name
  local percent, shared = lv.bd_rate(curves[k].points, curves[1].points)
  bd_rates[name] = lv.json.null
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

local picture <const> = lv.plot {
  notes = notes, height = 540, y = { label = "8-bit RGB PSNR, dB" },
  x = { label = "bits per pixel, the whole file", log = true, ticks = o.rates },
}
for _, curve in ipairs(curves) do
  local bpp, psnr = {}, {}
  for i, p in ipairs(curve.points) do bpp[i], psnr[i] = p.bpp, p.psnr end
  picture:line(curve.name, bpp, psnr)
  picture:points(curve.name, bpp, psnr)
end
assert(picture:save(o.out .. "/curve.svg"))
pages.next_to(o.out, o.out .. "/report.html")

for _, note in ipairs(notes) do print(note) end
print(("%s/curve.svg, curve.csv and curve.json hold the curves"):format(o.out))
