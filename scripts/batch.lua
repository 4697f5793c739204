-- lunerv run scripts/batch.lua INPUT --out DIR [--jobs N] [--resume] [options of lunerv compress]
--
-- Compresses many clips, each in a process of its own, N at once. INPUT is a folder of clips
-- (files, or folders of images) or a text file with a path in each line. DIR gets a .lnv and a
-- .log for each clip, and manifest.csv and manifest.json. A clip that fails is reported and
-- skipped; the exit code is 1 then. With --resume, clips that are done stay as they are, and
-- those that were interrupted go on.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local lv <const> = require "lunerv"

local usage <const> = "usage: lunerv run scripts/batch.lua INPUT --out DIR [--jobs N] [--resume] "
  .. "[options of lunerv compress]\n"

local function usage_error(message, ...)
  errors.fail("usage", message, ...)
end

-- The command line ---------------------------------------------------------------------------

local o <const> = { jobs = 1, resume = false }
local passed <const> = {} -- words for `lunerv compress`

local function next_value(i, name)
  return arg[i + 1] or usage_error("%s needs a value", name)
end

-- Whether a word follows that belongs to this option.
local function takes_value(word)
  local wanted = word:gsub("^%-+", ""):gsub("-", "_")
  for _, option in ipairs(lv.options.catalogue) do
    if option.name == wanted then return option.type ~= "boolean" end
  end
  return false
end

local i = 1
while i <= #arg do
  local word = arg[i]
  local name, value = word:match "^(%-%-?[%w-]+)=(.*)$"
  name = name or word
  if name == "--help" or name == "-h" then
    io.write(usage)
    return
  elseif name == "--out" or name == "--jobs" then
    if not value then
      value = next_value(i, name)
      i = i + 1
    end
    o[name:sub(3)] = value
  elseif name == "--resume" then
    o.resume = true
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
if not o.input then usage_error("INPUT is missing: %s", usage:gsub("\n", "")) end
if not o.out then usage_error "--out is missing" end
o.jobs = math.tointeger(tonumber(o.jobs)) or 0
if o.jobs < 1 or o.jobs > 256 then usage_error "--jobs: expected an integer from 1 to 256" end
o.out = o.out:gsub("(.)/+$", "%1")

-- What compress would refuse for every clip is refused once.
local words <const> = table.move(passed, 1, #passed, 3, { "clip", "--output=clip.lnv" })
local checked <const> = lv.options.parse(words, {
  command = "compress_file", usage = usage, about = "", positional = { "clip" },
})
if not checked.threads then
  local share = math.max(1, lv.threads() // o.jobs)
  table.move({ "--threads", tostring(share) }, 1, 2, #passed + 1, passed)
end

-- The clips ----------------------------------------------------------------------------------

local videos <const> = {}
for extension in ("mp4 m4v mov qt mkv webm avi y4m yuv mpg mpeg m1v m2v vob ts mts m2ts wmv asf "
  .. "flv f4v ogv 3gp 3g2 mxf nut dv ivf obu gif apng 264 265 h264 h265 hevc avc"):gmatch "%S+" do
  videos[extension] = true
end
local images <const> = { png = true, jpg = true, jpeg = true, ppm = true, bmp = true, tif = true,
  tiff = true, webp = true }

local function extension_of(name) return (name:match "%.([^./]+)$" or ""):lower() end

-- The names in a folder, and those that are not UTF-8; nil for what is no folder.
local function names_in(path)
  local ok, names, unreadable = pcall(lv.list_dir, path)
  if ok then return names, unreadable end
end

local function is_image_folder(path)
  for _, name in ipairs(names_in(path) or {}) do
    if images[extension_of(name)] then return true end
  end
  return false
end

-- The paths of the clips; and how many were named that cannot be read.
local function clips_of(input)
  local names, unreadable = names_in(input)
  local clips, left_out = {}, {}
  if names then
    for _, name in ipairs(names) do
      local path = input .. "/" .. name
      local is_clip = videos[extension_of(name)] or is_image_folder(path)
      if name:match "^%." or not is_clip then
        left_out[#left_out + 1] = name
      else
        clips[#clips + 1] = path
      end
    end
    if #left_out > 0 then
      lv.stderr(("note: left out, as their names are no videos': %s%s\n"):format(
        table.concat(left_out, ", ", 1, math.min(#left_out, 5)),
        #left_out > 5 and (" and %d more"):format(#left_out - 5) or ""))
    end
    for _, name in ipairs(unreadable) do
      lv.stderr(("%s/%s: failed: the name is not UTF-8; rename it\n"):format(input, name))
    end
  else
    local text, message = lv.read_file(input)
    if not text then error(message, 0) end
    if text:find("\0", 1, true) then
      error(("%s: expected a folder, or a text file with a path in each line"):format(input), 0)
    end
    for line in text:gmatch "[^\r\n]+" do
      if line:match "%S" then clips[#clips + 1] = line end
    end
  end
  if #clips == 0 then error(("%s: there are no clips in it"):format(input), 0) end
  return clips, unreadable and #unreadable or 0
end

-- Jobs with names that nothing else has: NAME, or NAME.EXT and so on where two clips share it.
local function jobs_of(clips)
  local jobs, taken = {}, {}
  for index, clip in ipairs(clips) do
    local full = clip:gsub("/+$", ""):match "[^/]*$"
    local name = full:gsub("(.)%.[^.]*$", "%1")
    if taken[name] then name = full end
    local unique, count = name, 1
    while taken[unique] do
      count = count + 1
      unique = ("%s-%d"):format(name, count)
    end
    taken[unique] = true
    jobs[index] = { index = index, clip = clip, name = unique, base = o.out .. "/" .. unique }
  end
  return jobs
end

-- The manifest -------------------------------------------------------------------------------

local columns <const> = { "clip", "file", "status", "bytes", "bpp", "psnr", "psnr_8bit", "ms_ssim",
  "frames", "seconds", "message" }

local function cell(value)
  local text = value == nil and "" or tostring(value)
  return text:find "[\",\r\n]" and '"' .. text:gsub('"', '""') .. '"' or text
end

local function write_manifest(jobs)
  local lines, list = { table.concat(columns, ",") }, {}
  for index, job in ipairs(jobs) do
    local cells = {}
    for k, column in ipairs(columns) do cells[k] = cell(job.row[column]) end
    lines[index + 1] = table.concat(cells, ",")
    list[index] = job.row
  end
  assert(lv.write_file(o.out .. "/manifest.csv", table.concat(lines, "\n") .. "\n"))
  assert(lv.write_file(o.out .. "/manifest.json", lv.json.encode { clips = list } .. "\n"))
end

-- What `lunerv compress --json` said of a job; nil where it is not done.
local function result_of(job)
  local text = lv.read_file(job.base .. ".json")
  local ok, result = pcall(lv.json.decode, text or "")
  local info = ok and type(result) == "table" and lv.codec.info(job.base .. ".lnv")
  return info and info.bytes == result.bytes and result or nil
end

local function finish(job, result)
  job.row = { clip = job.clip, file = job.base .. ".lnv", status = "done" }
  for _, column in ipairs(columns) do
    if type(result[column]) == "number" then job.row[column] = result[column] end
  end
end

-- The last line that a failed process wrote.
local function last_line(path)
  local last
  for line in (lv.read_file(path) or ""):gmatch "[^\r\n]+" do
    if line:match "^lunerv: " or not last then last = line end
  end
  return last and last:gsub("^lunerv: ", "") or "it said nothing"
end

-- Makes sure that what is written to DIR replaces nothing but what an earlier batch wrote there.
local function own_folder(jobs)
  local ok, earlier = pcall(lv.json.decode, lv.read_file(o.out .. "/manifest.json") or "")
  if ok and type(earlier) == "table" and earlier.clips then return end
  local names = { o.out .. "/manifest.json", o.out .. "/manifest.csv" }
  for _, job in ipairs(jobs) do
    for _, extension in ipairs { ".lnv", ".json", ".log" } do
      names[#names + 1] = job.base .. extension
    end
  end
  for _, path in ipairs(names) do
    if lv.exists(path) then
      usage_error("--out: '%s' is there already, and no batch wrote it: name another folder", path)
    end
  end
end

-- The work -----------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Starts all jobs, `o.jobs` at once, in a process group of their own; `report(index, code)` is
-- called as each ends.
local function run(jobs, report)
  local list <const>, items = o.out .. "/.jobs", {}
  for _, job in ipairs(jobs) do
    -- The shell would write through links.
    os.remove(job.base .. ".json")
    os.remove(job.base .. ".log")
    items[#items + 1] = ("%d\0%s\0%s\0"):format(job.index, job.clip, job.base)
  end
  assert(lv.write_file(list, table.concat(items)))

  local options = {}
  for k, word in ipairs(passed) do options[k] = quoted(word) end
  if o.resume then options[#options + 1] = "--resume" end
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  local program = pipe:read "l"
  -- $1 is the number of a job, $2 its clip, $3 the path of what it makes.
  local job = ([[%s compress %s -o "$3.lnv" --json -- "$2" >"$3.json" 2>"$3.log"; echo "$1 $?"]])
    :format(quoted(program), table.concat(options, " "))
  -- A line each second lets this process notice Ctrl-C, and them that this process is gone.
  local script = ([[echo $$
    (trap '' PIPE; while sleep 1; do echo || { kill -INT -$$; exit; }; done) 2>/dev/null &
    xargs -0 -n 3 -P %d -a %s sh -c %s sh
    kill $! 2>/dev/null]]):format(o.jobs, quoted(list), quoted(job))
  local processes = assert(io.popen("exec setsid sh -c " .. quoted(script)))
  local group = processes:read "l"
  local ended = 0
  local function clean()
    -- Ctrl-C reaches this process alone; the others keep what they have computed, too.
    -- Where interrupts are ignored, as in the background of a script, they are ended.
    if ended < #jobs then
      local stop = "exec 2>/dev/null; kill -INT -G; for i in 1 2 3 4 5 6 7 8; do sleep 0.5; "
        .. "kill -0 -G || exit; done; kill -TERM -G"
      os.execute((stop:gsub("G", group)))
    end
    processes:close()
    os.remove(list)
  end
  bridge.on_error(function()
    while ended < #jobs do
      lv.time() -- stops here when it was interrupted
      local line = processes:read "l"
      if not line then error("the processes have ended without a word", 0) end
      local index, code = line:match "^(%d+) (%d+)$"
      if index then
        ended = ended + 1
        report(math.tointeger(index), math.tointeger(code))
      end
    end
  end, clean)
  clean()
end

local clips <const>, unreadable <const> = clips_of(o.input)
-- Names from folders and other programs' messages are not to steer the terminal.
local function say(text, ...) print(lv.printable(text:format(...))) end

local jobs <const> = jobs_of(clips)
own_folder(jobs)
lv.work_folder(o.out)
local waiting, failed = {}, unreadable
for _, job in ipairs(jobs) do
  local result = o.resume and result_of(job)
  if result then
    finish(job, result)
    say("%s: done before", job.clip)
  else
    job.row = { clip = job.clip, file = job.base .. ".lnv", status = "waiting" }
    waiting[#waiting + 1] = job
  end
end
write_manifest(jobs)
print(("%d clips to compress, %d at once"):format(#waiting, o.jobs))

if #waiting > 0 then
  run(waiting, function(index, code)
    local job = jobs[index]
    local result = code == 0 and result_of(job)
    if result then
      finish(job, result)
      say("%s: %d bytes, %.4f bpp, psnr_8bit %.2f dB", job.clip, result.bytes, result.bpp,
        result.psnr_8bit)
    else
      failed = failed + 1
      job.row.status, job.row.message = "failed", last_line(job.base .. ".log")
      say("%s: failed: %s", job.clip, job.row.message)
    end
    write_manifest(jobs)
  end)
end
local all <const> = #jobs + unreadable
print(("%d of %d clips are in %s"):format(all - failed, all, o.out))
if failed > 0 then error(("%d of %d clips failed"):format(failed, all), 0) end
