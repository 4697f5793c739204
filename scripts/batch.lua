-- lunerv run scripts/batch.lua INPUT --out DIR [--jobs N] [--resume] [options of lunerv compress]
--
-- Compresses many clips, each in a process of its own, N at once. INPUT is a folder of clips
-- (files, or folders of images), a pattern ('clips/*.mp4'), or a text file with a path per line.
-- DIR gets a .lnv and a .log for each clip, and manifest.csv and manifest.json. A clip that fails
-- is reported and skipped; the exit code is then 1. With --resume, finished clips are kept and
-- interrupted ones continue.
local commands <const> = require "lunerv.commands"
local errors <const> = require "lunerv.errors"
local lv <const> = require "lunerv"
local options <const> = require "lunerv.options"
local request <const> = require "lunerv.compress.request"
local saved <const> = require "lunerv.saved"
local segment_files <const> = require "lunerv.compress.segment_files"
local printable <const> = require("lunerv.native").printable
local say_aside <const> = require("lunerv.native").stderr

local usage_error <const> = errors.usage

-- The command line ---------------------------------------------------------------------------

local own <const> = {
  { name = "out", type = "string", placeholder = "DIR", group = "Input and output",
    doc = "folder for a .lnv and a .log of each clip, and manifests" },
  { name = "resume", type = "boolean", default = false, group = "Input and output",
    doc = "skip finished clips, continue interrupted ones" },
  { name = "jobs", type = "integer", most = 256, default = 1, group = "Batch",
    doc = "number of clips at the same time" },
  { name = "retries", type = "integer", least = 0, most = 256, default = 0, group = "Batch",
    common = false, doc = "how often a clip that fails is tried again" },
  { name = "share", type = "boolean", group = "Batch", common = false,
    doc = "share DIR with other processes: each takes clips that no other has" },
  { name = "part", type = "string", placeholder = "K/N", group = "Batch", common = false,
    doc = "every N-th clip from the K-th; --merge joins the parts" },
  { name = "merge", type = "boolean", default = false, group = "Batch", common = false,
    doc = "write the manifest of all parts" },
  { name = "deadline", type = "number", above = 0, most = 1e9, default = 60, group = "Batch",
    common = false,
    doc = "seconds after which a process that makes no progress loses its clip" },
}
local compress_spec <const> = { command = "compress_file", usage = "", positional = { "clip" } }

local function read()
  for _, word in ipairs(arg) do
    local name = word:match "^[^=]+"
    if name == "-o" or name == "--output" or name == "--json" then
      usage_error("%s is not an option of batch.lua: it writes DIR/NAME.lnv", name)
    end
  end
  local o, typed = lv.options.parse(arg, {
    command = "compress_file", without = { "output", "json" }, options = own,
    usage = "lunerv run scripts/batch.lua INPUT --out DIR [options]",
    about = "Compresses many clips, each in a process of its own, with the options of lunerv "
      .. "compress. INPUT is a folder, a pattern such as 'clips/*.mp4', or a text file with a path "
      .. "per line.",
    positional = { "input" }, required = { "out" },
  })
  if not o then return nil end
  if o.part then
    local k, n = o.part:match "^(%d+)/(%d+)$"
    o.part = { math.tointeger(tonumber(k)) or 0, math.tointeger(tonumber(n)) or 0 }
    if o.part[1] < 1 or o.part[1] > o.part[2] then
      usage_error("--part: expected K/N, K from 1 to N")
    end
  end
  if (o.share and 1 or 0) + (o.part and 1 or 0) + (o.merge and 1 or 0) > 1 then
    usage_error("expected one of --share, --part and --merge, got several")
  end
  local is_own, passed = {}, {}
  for _, option in ipairs(own) do is_own[option.name] = true end
  for _, words in ipairs(typed) do
    if not is_own[words.name] then table.move(words, 1, #words, #passed + 1, passed) end
  end
  return o, passed
end

-- The paths in a text file; anything else is lv.batch's to understand.
local function clips_of(input)
  local is_folder = pcall(lv.list_dir, input)
  if is_folder or input:find "[*?]" and not lv.exists(input) then return input end
  local text, list = errors.must(lv.read_file(input)), {}
  if text:find("\0", 1, true) then
    error(("%s: expected a folder, or a text file with a path in each line"):format(input), 0)
  end
  for line in text:gmatch "[^\r\n]+" do
    if line:match "%S" then list[#list + 1] = line end
  end
  return list
end

-- The work -----------------------------------------------------------------------------------

local o <const>, passed <const> = read()
if not o then return end

-- The options of compress for a clip, and the words that give them.
local function options_of(clip, output)
  local words = table.move(passed, 1, #passed, 1, { nil })
  table.move({ "--output=" .. output, "--", clip }, 1, 3, #words + 1, words)
  return (lv.options.parse(words, compress_spec)), words
end
local example <const> = options_of("clip", "clip.lnv")
local threads <const> = example.threads

-- The options on which the files depend.
local asked <const> = request.facts(example, {})
asked.minutes = example.minutes

-- Names of files and messages of other programs must not control the terminal.
local function say(text, ...) print(printable(text:format(...))) end

local function print_start(batch)
  local left_out <const> = batch.left_out
  if #left_out > 0 then
    say_aside(("note: skipped, their names are not those of videos: %s%s\n"):format(
      table.concat(left_out, ", ", 1, math.min(#left_out, 5)),
      #left_out > 5 and (" and %d more"):format(#left_out - 5) or ""))
  end
  for _, name in ipairs(batch.unreadable) do
    say_aside(("%s/%s: failed: the name is not UTF-8; rename it\n"):format(o.input, name))
  end
  for _, row in ipairs(batch.done) do say("%s: already done", row.clip) end
  print(("%d clips to compress, %d at once"):format(batch.waiting, o.jobs))
end

-- Whether the finished clip starts over: something else is asked for. With --resume, that is an
-- error later, except for --minutes, which a finished clip has used up.
local function is_outdated(out)
  local result = saved.any_table(out .. ".json")
  local earlier = result and result.asked
  if type(earlier) ~= "table" or options.same(earlier, asked) then return false end
  if not o.resume then return true end
  earlier.minutes = asked.minutes
  return options.same(earlier, asked)
end

local result <const> = lv.batch {
  clips = clips_of(o.input), out = o.out, jobs = o.jobs, retries = o.retries, resume = o.resume,
  threads = threads, suffix = ".lnv", on_start = print_start, share = o.share, part = o.part,
  merge = o.merge or false, deadline = o.deadline,
  columns = { "clip", "file", "status", "bytes", "bpp", "psnr", "psnr_8bit", "ms_ssim", "frames",
    "seconds", "message" },
  each = function(clip, out)
    local given, words = options_of(clip, out .. ".lnv")
    if is_outdated(out) then
      segment_files.forget(out .. ".lnv.work")
      os.remove(out .. ".json")
    end
    -- A clip whose process failed or died is resumed; a new batch has removed what was before it.
    given.resume = true
    local facts = commands.compress_file(given, function(line) say_aside(line .. "\n") end, words)
    facts.asked = asked
    return facts
  end,
  done = function(row, out)
    local info = lv.codec.info(out .. ".lnv")
    -- Older batches did not record what was asked for.
    if not info or info.bytes ~= row.bytes then return false end
    -- A merge does no work, and does not know how it was done.
    return o.merge or options.same(row.asked or asked, asked)
  end,
  clear = function(out) segment_files.forget(out .. ".lnv.work") end,
  on_clip = function(row)
    if row.status == "done" then
      say("%s: %d bytes, %.4f bpp, psnr_8bit %.2f dB", row.clip, row.bytes, row.bpp, row.psnr_8bit)
    else
      say("%s: failed: %s", row.clip, row.message)
    end
  end,
}
local all <const> = result.done + result.failed
print(("%d of %d clips are in %s"):format(result.done, all, o.out))
if result.failed > 0 then error(("%d of %d clips failed"):format(result.failed, all), 0) end
