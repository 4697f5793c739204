-- lv.batch: a pipeline of one's own over many clips, in processes.
local clips <const> = require "lunerv.batch.clips"
local csv <const> = require "lunerv.csv"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local workers <const> = require "lunerv.workers"

local takes <const> = options.takes("batch", {
  { "clips", nil, "a folder of clips, a pattern such as \"clips/*.mp4\", or a list of paths",
    type = "string|table" },
  { "out", nil, "the folder that gets what is made, with its manifest", type = "string" },
  { "each", nil, "fun(clip, out): makes what a clip shall become, whose path is `clip`; names its "
    .. "files by beginning with `out`; returns plain data", type = "function" },
  { "jobs", 1, "how many clips at once, each in a process", type = "integer" },
  { "threads", nil, "threads of each process (its share of the cores)", type = "integer" },
  { "retries", 0, "how many times a clip that fails is tried again", type = "integer" },
  { "resume", false, "clips that are done stay as they are" },
  { "suffix", nil, "what the file of a clip ends with behind `out`, such as \".lnv\": rows of the "
    .. "manifest name it, and nothing that no batch wrote is replaced", type = "string" },
  { "done", nil, "fun(result, out): whether what an earlier batch made of a clip is still there",
    type = "function" },
  { "columns", nil, "writes manifest.csv too, with these columns; rows hold no other values",
    type = "table" },
  { "on_start", nil, "fun(told): told how many clips are `waiting`, the rows that are `done` "
    .. "before, and the names in the folder that were `left_out` or are `unreadable`",
    type = "function" },
  { "on_clip", nil, "fun(row): told of each clip as it is done or has failed", type = "function" },
})

local read_json <const> = workers.read_json

-- The clips as { clip, base, row }, rows as yet without results.
local function jobs_of(o, paths)
  local jobs = {}
  for i, name in ipairs(clips.names(paths)) do
    local base = o.out .. "/" .. name
    jobs[i] = { clip = paths[i], base = base, row = { clip = paths[i], status = "waiting",
      file = o.suffix and base .. o.suffix or nil } }
  end
  return jobs
end

-- Makes sure that what is written replaces nothing but what an earlier batch wrote there.
local function own_folder(o, jobs)
  local earlier = read_json(o.out .. "/manifest.json")
  if earlier and earlier.clips then return end
  local names = { o.out .. "/manifest.json", o.out .. "/manifest.csv" }
  for _, job in ipairs(jobs) do
    for _, suffix in ipairs { o.suffix or ".json", ".json", ".log" } do
      names[#names + 1] = job.base .. suffix
    end
  end
  for _, path in ipairs(names) do
    if native.exists(path) then
      errors.fail("usage",
        "batch: out: '%s' is there already, and no batch wrote it: name another folder", path)
    end
  end
end

local function write_manifest(o, jobs)
  local rows = {}
  for i, job in ipairs(jobs) do rows[i] = job.row end
  if o.columns then errors.must(csv.write(o.out .. "/manifest.csv", rows, o.columns)) end
  errors.must(native.write_file(o.out .. "/manifest.json",
    native.json_encode { clips = rows } .. "\n"))
end

local plain <const> = { number = true, string = true, boolean = true }

-- The row of a clip that is done: its result's own numbers and texts, or those of the columns.
local function finish(o, job, result)
  local row = job.row
  row.status, row.message = "done", nil
  local names = {}
  for _, name in ipairs(o.columns or {}) do names[name] = true end
  for name, value in pairs(result) do
    local is_own = name == "clip" or name == "status" or name == "file"
    if type(name) == "string" and plain[type(value)] and not is_own
      and (not o.columns or names[name])
    then
      row[name] = value
    end
  end
end

-- What an earlier batch left of a clip that is done: its result; else nil.
local function result_of(o, job)
  local kept = read_json(job.base .. ".json")
  if kept and (not o.done or o.done(kept, job.base)) then return kept end
end

-- Both batches of one script and those of its processes see the same.
local function summary(jobs, unreadable)
  local result = { rows = {}, done = 0, failed = unreadable }
  for i, job in ipairs(jobs) do
    result.rows[i] = job.row
    local key = job.row.status == "done" and "done" or "failed"
    result[key] = result[key] + 1
  end
  return result
end

local function check(o)
  if not o.clips or not o.out or not o.each then
    errors.raise "batch: expected { clips =, out =, each = function(clip, out) … end }"
  end
  o.out = o.out:gsub("(.)/+$", "%1")
  workers.check("batch", o)
end

--- Runs a pipeline of one's own over many clips, each in a process, several at once.
---
--- Each process runs the script again from its beginning: it reaches this same call, does one clip
--- there and exits. What stands before the call is therefore done in every process; what stands
--- behind it is done once. `each(clip, out)` gets the path of a clip, and `out/NAME`, with which
--- the files that it writes shall begin; what it prints goes to out/NAME.log, and the table that it
--- returns, plain data, to out/NAME.json and, numbers and texts of it, to out/manifest.json. A clip
--- that fails is told of and skipped. Ctrl-C ends all processes; with `resume` clips that are done
--- stay as they are, and what `each` itself can resume (lv.train does) goes on.
---
---     local result = lv.batch {
---       clips = "clips/*.mp4", out = "small", jobs = 2, resume = true,
---       each = function(path, out)
---         local clip <close> = assert(lv.video.open(path))
---         local model = lv.models.hnerv_boost { clip = clip, size = 0.3 }
---         lv.train { model = model, clip = clip, epochs = 30, out = out .. ".fit", resume = true }
---         local small = lv.compress.cem(model)
---         local file = assert(lv.codec.write(out .. ".lnv", small, { clip = clip }))
---         return { bytes = file.bytes, psnr = file.psnr }
---       end,
---     }
---     print(result.done, result.failed)
---
---@param options lunerv.batch.Options
---@return table  done, failed; rows, a list of { clip, status, message, … } as in the manifest
local function batch(given)
  local o = takes(given)
  check(o)
  local role, call = workers.enter "batch"
  if role == "past" then return call end
  if role == "task" then
    workers.serve("batch", function(_, item)
      native.work_folder(o.out)
      local result = o.each(item.clip, item.base)
      if type(result) ~= "table" then result = { result = result } end
      local text = errors.on_behalf("batch", "json.encode", native.json_encode, result)
      errors.must(native.write_file(item.base .. ".json", text .. "\n"))
      return result
    end)
  end

  local paths, left_out, unreadable = clips.of(o.clips)
  if #paths == 0 then
    local where = type(o.clips) == "table" and "the list" or ("'%s'"):format(o.clips)
    errors.fail("data", "batch: clips: there are none in %s", where)
  end
  local jobs = jobs_of(o, paths)
  own_folder(o, jobs)
  native.work_folder(o.out)

  local waiting, before = {}, {}
  o.items, o.logs = {}, {}
  for i, job in ipairs(jobs) do
    o.items[i], o.logs[i] = { clip = job.clip, base = job.base }, job.base .. ".log"
    local result = o.resume and result_of(o, job)
    if result then
      finish(o, job, result)
      before[#before + 1] = job.row
    else
      os.remove(job.base .. ".json")
      waiting[#waiting + 1] = i
    end
  end
  write_manifest(o, jobs)
  if o.on_start then
    o.on_start { waiting = #waiting, done = before, left_out = left_out, unreadable = unreadable }
  end
  workers.run("batch", call, o, waiting, function(index, outcome)
    local job = jobs[index]
    if outcome.error then
      -- Of a mistake in the script its line is a part; of a clip that cannot be read it is none.
      local problem = outcome.error
      local is_mistake = problem.kind == "argument" or problem.kind == "script"
      job.row.status = "failed"
      job.row.message = is_mistake and tostring(problem) or errors.reason(problem)
    else
      finish(o, job, outcome.value)
    end
    write_manifest(o, jobs)
    if o.on_clip then o.on_clip(job.row) end
  end)
  local result = summary(jobs, #unreadable)
  workers.remember(call, result)
  return result
end

return batch
