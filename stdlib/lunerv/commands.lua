-- The commands compress, decompress, info and eval: front ends of lv.compress and lv.codec. Each
-- takes its words as a list.
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local pages <const> = require "lunerv.report.write"
local Progress <const> = require "lunerv.progress"
local quoted <const> = require "lunerv.quoted"
local sources <const> = require "lunerv.sources"
local video <const> = require "lunerv.video"

local commands <const> = {}

local function print_json(data) print(native.json_encode(data)) end

local function start(o)
  if o.threads then native.set_threads(o.threads) end
end

-- How an untrusted file is decoded.
local function manner(o)
  return { max_work = o.max_work, max_memory = o.max_memory, confined = not o.unconfined }
end

-- The command line of a command, as it would be typed again.
local function typed(name, words)
  local list = { "lunerv", name }
  for _, word in ipairs(words) do
    local is_plain = word:match "^[%w%+%-%./:=,_@%%]+$"
    list[#list + 1] = is_plain and word or quoted(word)
  end
  return table.concat(list, " ")
end

local videos <const> = {}
for extension in ("mkv mp4 m4v mov avi webm y4m 264 265 rgb raw png"):gmatch "%w+" do
  videos[extension] = true
end

-- Runs `lunerv compress` with parsed options; `say` receives progress, line by line. Returns the
-- figures of the file, plain data, and the file as lv.codec.write returns it.
function commands.compress_file(o, say, words)
  start(o)
  native.seed(o.seed)
  o.out = (o.out or o.output .. ".work"):gsub("(.)/+$", "%1")
  o.command = typed("compress", words)
  sources.keep(o.output, o.clip, o.recipe)
  if videos[(o.output:match "%.(%w+)$" or ""):lower()] then
    errors.fail("usage",
      "output: expected a .lnv file, got '%s' (lunerv decompress makes videos)", o.output)
  end
  if o.out == o.output then
    errors.fail("usage", "out: expected a folder other than the output, got '%s'", o.out)
  end
  errors.must(native.check_writable(o.output))
  -- Only compression needs these modules.
  local compress, request = require "lunerv.compress", require "lunerv.compress.request"
  request.check_effects(o)
  -- In segments, only one segment's frames are in memory.
  local in_segments = require("lunerv.compress.segments").wanted(o)
  local open = in_segments and video.scan or video.open
  local clip <close> = errors.must(video.open_for(o, o.out, open))
  errors.must(native.check_writable(o.output, request.bytes(o, clip)))
  say(tostring(clip))
  local file = errors.must(compress.file(o.output, clip, o, say))
  if not file.elsewhere then pages.next_to(o.out, o.out .. "/report.html") end
  return {
    path = o.output, bytes = file.bytes, bpp = file.bpp, psnr = file.psnr,
    psnr_8bit = file.psnr_8bit, ms_ssim = file.ms_ssim, frames = #clip, seconds = file.seconds,
    sections = file.sections,
  }, file
end

function commands.compress(words)
  local o = options.parse(words, {
    command = "compress_file",
    usage = "lunerv compress CLIP -o FILE.lnv [options]",
    about = "Fits a model to a clip, compresses it, and writes a file, whose quality is measured "
      .. "by decoding it. Set a target with --bpp, --bytes or --psnr.",
    details = "Checkpoints are in FILE.lnv.work, unless --out names another folder; --resume "
      .. "continues from there. --gop and --scene-cuts split a long clip into segments: --bpp, "
      .. "--bytes and --minutes apply to all segments together, --psnr, --size and --params to "
      .. "each one.",
    positional = { "clip" }, required = { "output" },
  })
  if not o then return end
  local is_first <const> = native.ranks() == 0 -- the output of one rank is enough
  local function report(line) if is_first then native.stderr(line .. "\n") end end
  local facts, file = commands.compress_file(o, o.json and report or print, words)
  if o.json then return print_json(facts) end
  print(native.printable(("%s: %s"):format(o.output, file)))
end

function commands.report(words)
  local o = options.parse(words, {
    command = "report",
    usage = "lunerv report RUN… -o PAGE.html [options]",
    about = "Writes a page for a browser about one or several runs: curves, frames, parameters, "
      .. "bytes and commands, in a single file. RUN is a folder that regress, compress, rd_curve "
      .. "or batch wrote, a .lnv file, or a folder of those.",
    positional = { "run" }, rest = "runs", required = { "output" }, any_model = true,
  })
  if not o then return end
  local page = errors.must(pages.page(o.runs, o))
  if o.json then return print_json(page) end
  print(native.printable(("%s: %d run%s, %d bytes"):format(page.path, page.runs,
    page.runs == 1 and "" or "s", page.bytes)))
end

function commands.decompress(words)
  local o = options.parse(words, {
    command = "decompress",
    usage = "lunerv decompress FILE.lnv -o OUT [options]",
    about = "Decodes a file. OUT.mkv (FFV1), a folder of PNGs and '-' (raw RGB on stdout) are "
      .. "exact; OUT.mp4 and OUT.y4m are lossy.",
    positional = { "file" }, required = { "output" },
  })
  if not o then return end
  start(o)
  sources.keep(o.output, o.file)
  local began = native.time()
  local decoded = errors.must(codec.open(o.file, manner(o)))
  local writer <close> = errors.must(native.open_writer(o.output, {
    width = decoded.width, height = decoded.height, fps = decoded.fps,
    timestamps = decoded.timestamps,
  }))
  local printed = video.print_warnings(writer)
  local progress = Progress.new()
  for index = 1, #decoded do
    writer:write(decoded:frame(index))
    if progress:due() then progress:show(("frame %d of %d"):format(index, #decoded)) end
  end
  progress:clear()
  writer:close()
  video.print_warnings(writer, printed)
  local seconds = native.time() - began
  if o.json then
    print_json { path = o.output, frames = #decoded, seconds = seconds }
  elseif o.output ~= "-" then
    print(native.printable(("%s: %d frames of %dx%d in %s"):format(o.output, #decoded,
      decoded.width, decoded.height, Progress.duration(seconds))))
  end
end

-- Sizes, added up by name: there may be many segments.
local function summed(sections)
  local list, by_name = {}, {}
  for _, section in ipairs(sections) do
    local entry = by_name[section.name]
    if not entry then
      entry = { name = section.name, bytes = 0, count = 0 }
      by_name[section.name], list[#list + 1] = entry, entry
    end
    entry.bytes, entry.count = entry.bytes + section.bytes, entry.count + 1
  end
  return list
end

function commands.info(words)
  local o = options.parse(words, {
    command = "info",
    usage = "lunerv info FILE.lnv [options]",
    about = "Shows what a file contains and where its bytes go, without decoding it.",
    positional = { "file" },
  })
  if not o then return end
  local info = errors.must(codec.info(o.file))
  local segments = {}
  for k, segment in ipairs(info.segments) do
    segments[k] = { first = segment.first, last = segment.last, bytes = segment.bytes,
      decoder = native.printable(segment.sections.decoder) }
  end
  if o.json then
    return print_json {
      bytes = info.bytes, bpp = info.bpp, height = info.height, width = info.width,
      frames = info.frames, fps = info.fps, level = info.level, sections = info.sections,
      segments = segments,
      decoder = native.printable(info.decoder), variable_rate = info.timestamps ~= nil,
    }
  end
  print(("%d frames of %dx%d, %.6g per second%s"):format(info.frames, info.width, info.height,
    info.fps, info.timestamps and " on average, with individual times" or ""))
  print(("decoder: %s"):format(native.printable(info.decoder)))
  print(("level of the format: %d"):format(info.level))
  if #segments > 1 then
    print(("%d segments:"):format(#segments))
    for _, segment in ipairs(segments) do
      print(("%12d  frames %d to %d%s"):format(segment.bytes, segment.first, segment.last,
        segment.decoder ~= segments[1].decoder and ", decoder: " .. segment.decoder or ""))
    end
    print "sections:"
  end
  for _, section in ipairs(summed(info.sections)) do
    print(("%12d  %s%s"):format(section.bytes, section.name,
      section.count > 1 and (" (%d)"):format(section.count) or ""))
  end
  print(("%12d  bytes, %.4f bpp"):format(info.bytes, info.bpp))
end

function commands.eval(words)
  local o = options.parse(words, {
    command = "eval",
    usage = "lunerv eval FILE.lnv CLIP [options]",
    about = "Decodes a file and compares it with the clip it was made from.",
    positional = { "file", "clip" },
  })
  if not o then return end
  start(o)
  local decoded = errors.must(codec.open(o.file, manner(o)))
  -- The file's frame size, unless options say how the clip was cropped.
  if not o.resize and not o.crop then o.resize = { decoded.height, decoded.width } end
  if not o.frames then o.frames = { decoded.frames } end
  local clip <close> = errors.must(video.open_for(o, o.file))
  local result = decoded:evaluate(clip)
  if o.json then
    return print_json {
      bytes = decoded.bytes, bpp = decoded.bpp, psnr = result.psnr,
      psnr_8bit = result.psnr_8bit, ms_ssim = result.ms_ssim, frames = #decoded,
    }
  end
  print(("%d bytes, %.4f bpp, %s"):format(decoded.bytes, decoded.bpp, result))
end

return commands
