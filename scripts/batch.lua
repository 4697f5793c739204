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
local printable <const> = require("lunerv.native").printable
local say_aside <const> = require("lunerv.native").stderr

local usage <const> = "lunerv run scripts/batch.lua INPUT --out DIR [--jobs N] [--retries N] "
  .. "[--resume] [options of lunerv compress]"
local about <const> = [[
Compresses the clips of a folder, of a pattern such as 'clips/*.mp4', or of a text file with a
path in each line, each in a process of its own.

  --out DIR                     gets a .lnv and a .log for each clip, manifest.csv and .json
  --jobs N                      how many clips at once [1]
  --retries N                   how many times a clip that fails is tried again [0]
  --resume                      leaves clips that are done, goes on with interrupted ones
  --share                       other processes are given DIR too: each takes what nobody has
  --part K/N                    every N-th clip from the K-th on; --merge makes them one batch
  --merge                       writes the manifest of what the parts have made
  --deadline S                  seconds after which a process that stands still has lost its clip
                                [60]

Options of lunerv compress, for every clip:]]

local usage_error <const> = errors.usage

-- The command line ---------------------------------------------------------------------------

local spec <const> = { command = "compress_file", usage = usage, about = about,
  positional = { "clip" } }

-- What compress says of itself, but for what is the batch's own to say.
local function help()
  local shown = true
  for line in lv.options.help(spec):gmatch "([^\n]*)\n" do
    if line:match "^  %-" and not about:find(line, 1, true) then
      local name = line:match "%-%-%[?([%w%-]+)"
      shown = not (line:find("--output", 1, true) or name == "out" or name == "json"
        or line:find("--[no-]json", 1, true) or line:find("--[no-]resume", 1, true))
    end
    if shown then print(line) end
  end
end

-- Whether a word follows that belongs to this option.
local function takes_value(word)
  local wanted = word:gsub("^%-+", ""):gsub("-", "_")
  for _, option in ipairs(lv.options.catalogue) do
    if option.name == wanted then return option.type ~= "boolean" end
  end
  return false
end

local function read()
  local o, passed = { jobs = "1", retries = "0", deadline = "60", resume = false }, {}
  local i = 1
  while i <= #arg do
    local word = arg[i]
    local name, value = word:match "^(%-%-?[%w-]+)=(.*)$"
    name = name or word
    if name == "--help" or name == "-h" then
      return nil
    elseif name == "--out" or name == "--jobs" or name == "--retries" or name == "--part"
      or name == "--deadline"
    then
      if not value then
        value = arg[i + 1] or usage_error("%s needs a value", name)
        i = i + 1
      end
      o[name:sub(3)] = value
    elseif name == "--resume" or name == "--share" or name == "--merge" then
      o[name:sub(3)] = true
    elseif name == "-o" or name == "--output" or name == "--json" then
      usage_error("%s is batch.lua's own to say: files are DIR/NAME.lnv", name)
    elseif word:match "^%-" then
      passed[#passed + 1] = word
      if not value and takes_value(word) and arg[i + 1] then
        passed[#passed + 1] = arg[i + 1]
        i = i + 1
      end
    elseif not o.input then
      o.input = word
    else
      usage_error("unexpected argument '%s'", word)
    end
    i = i + 1
  end
  if not o.input then usage_error("INPUT is missing: %s", usage) end
  if not o.out then usage_error "--out is missing" end
  if o.part then
    local k, n = o.part:match "^(%d+)/(%d+)$"
    o.part = { math.tointeger(tonumber(k)) or 0, math.tointeger(tonumber(n)) or 0 }
    if o.part[1] < 1 or o.part[1] > o.part[2] then
      usage_error("--part: expected K/N, K from 1 to N")
    end
  end
  o.deadline = tonumber(o.deadline)
  if not o.deadline or not (o.deadline > 0 and o.deadline < math.huge) then
    usage_error("--deadline: expected seconds above 0")
  end
  if (o.share and 1 or 0) + (o.part and 1 or 0) + (o.merge and 1 or 0) > 1 then
    usage_error("expected one of --share, --part and --merge, got several")
  end
  for name, least in pairs { jobs = 1, retries = 0 } do
    o[name] = math.tointeger(tonumber(o[name])) or -1
    if o[name] < least or o[name] > 256 then
      usage_error("--%s: expected an integer from %d to 256", name, least)
    end
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
if not o then return help() end

-- What compress is told of a clip: what it would refuse for every clip is refused once.
local function options_of(clip, output)
  local words = table.move(passed, 1, #passed, 1, { nil })
  table.move({ "--output=" .. output, "--", clip }, 1, 3, #words + 1, words)
  return lv.options.parse(words, spec), words
end
local threads <const> = options_of("clip", "clip.lnv").threads

-- Names from folders and other programs' messages are not to steer the terminal.
local function say(text, ...) print(printable(text:format(...))) end

local function print_start(batch)
  local left_out <const> = batch.left_out
  if #left_out > 0 then
    say_aside(("note: left out, not videos by their names: %s%s\n"):format(
      table.concat(left_out, ", ", 1, math.min(#left_out, 5)),
      #left_out > 5 and (" and %d more"):format(#left_out - 5) or ""))
  end
  for _, name in ipairs(batch.unreadable) do
    say_aside(("%s/%s: failed: the name is not UTF-8; rename it\n"):format(o.input, name))
  end
  for _, row in ipairs(batch.done) do say("%s: done before", row.clip) end
  print(("%d clips to compress, %d at once"):format(batch.waiting, o.jobs))
end

local result <const> = lv.batch {
  clips = clips_of(o.input), out = o.out, jobs = o.jobs, retries = o.retries, resume = o.resume,
  threads = threads, suffix = ".lnv", on_start = print_start, share = o.share, part = o.part,
  merge = o.merge or false, deadline = o.deadline,
  columns = { "clip", "file", "status", "bytes", "bpp", "psnr", "psnr_8bit", "ms_ssim", "frames",
    "seconds", "message" },
  each = function(clip, out)
    local options, words = options_of(clip, out .. ".lnv")
    options.resume = o.resume
    return (commands.compress_file(options, function(line) say_aside(line .. "\n") end, words))
  end,
  done = function(row, out)
    local info = lv.codec.info(out .. ".lnv")
    return info and info.bytes == row.bytes
  end,
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
