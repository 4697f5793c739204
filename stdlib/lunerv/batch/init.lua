-- lv.batch: a custom pipeline over many clips, in processes.
local clips <const> = require "lunerv.batch.clips"
local csv <const> = require "lunerv.csv"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local pieces <const> = require "lunerv.pieces"
local saved <const> = require "lunerv.saved"
local share <const> = require "lunerv.batch.share"
local workers <const> = require "lunerv.workers"

local takes <const> = options.takes("batch", {
  { "clips", nil, "a folder of clips, a pattern such as \"clips/*.mp4\", or a list of paths",
    type = "string|table" },
  { "out", nil, "the folder for the output and the manifest", type = "string" },
  { "each", nil, "fun(clip, out): processes the clip at the path `clip`, writes files whose paths "
    .. "begin with `out`, and returns plain data", type = "function" },
  { "jobs", 1, "the number of clips at the same time, each in a process", type = "integer" },
  { "threads", nil, "threads of each process (its share of the cores)", type = "integer" },
  { "retries", 0, "how often a failed clip is tried again", type = "integer" },
  { "resume", false, "whether finished clips are kept" },
  { "share", nil, "whether several processes share this batch, each taking the next free clip "
    .. "(if mpirun started several)", type = "boolean" },
  { "part", nil, "{ k, n }: only every n-th clip from the k-th on, for jobs that do not share a "
    .. "batch; `merge` joins the parts", type = "list" },
  { "merge", false, "only writes the results of the parts into the manifest; failed clips may be "
    .. "tried again afterwards" },
  { "deadline", 60, "seconds after which a process that makes no progress loses its clip" },
  { "suffix", nil, "the end of the output's path after `out`, such as \".lnv\": rows of the "
    .. "manifest name the file, and files that no batch wrote are not replaced", type = "string" },
  { "done", nil, "fun(result, out): whether the output of an earlier batch is still complete",
    type = "function" },
  { "clear", nil, "fun(out): removes what an earlier batch left of a clip, before a new one begins",
    type = "function" },
  { "columns", nil, "the columns of manifest.csv, which is written too; rows hold no other values",
    type = "table" },
  { "on_start", nil, "fun(start): receives the number of `waiting` clips, the rows that were "
    .. "`done` before, and the names in the folder that are `left_out` or `unreadable`",
    type = "function" },
  { "on_clip", nil, "fun(row): called when a clip is done or has failed", type = "function" },
})

-- The clip of an earlier result, by its name: that of a row of the manifest, or of NAME.json.
local function owners(o)
  local by_name, manifest = {}, saved.any_table(o.out .. "/manifest.json")
  for _, row in ipairs(manifest and manifest.clips or {}) do
    local name = type(row.file) == "string" and o.suffix and row.file:match "[^/]*$"
    if name and name:sub(-#o.suffix) == o.suffix then
      by_name[name:sub(1, -#o.suffix - 1)] = row.clip
    end
  end
  return function(name)
    local result = saved.any_table(("%s/%s.json"):format(o.out, name))
    local clip = by_name[name] or result and result.clip_path
    if type(clip) ~= "string" then return nil end
    return { path = clip, size = result and result.clip_path == clip and result.clip_bytes or nil }
  end
end

-- The clips as { clip, base, row }; rows do not have results yet.
local function jobs_of(o, paths)
  local jobs = {}
  local is_new = not (o.resume or o.share or o.part or o.merge)
  for i, name in ipairs(clips.names(paths, not is_new and owners(o) or nil)) do
    local base = o.out .. "/" .. name
    jobs[i] = { clip = paths[i], base = base, row = { clip = paths[i], status = "waiting",
      file = o.suffix and base .. o.suffix or nil } }
  end
  return jobs
end

-- Raises if the output would replace files that no earlier batch wrote.
local function check_folder(o, jobs)
  local earlier = saved.any_table(o.out .. "/manifest.json")
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
        "batch: out: expected another folder, '%s' exists and no batch wrote it", path)
    end
  end
end

local function write_manifest(o, jobs)
  local rows = {}
  for i, job in ipairs(jobs) do rows[i] = job.row end
  -- First the file that marks the folder as a batch's.
  errors.must(native.write_file(o.out .. "/manifest.json",
    native.json_encode { clips = rows } .. "\n"))
  if o.columns then errors.must(csv.write(o.out .. "/manifest.csv", rows, o.columns)) end
end

local plain <const> = { number = true, string = true, boolean = true }

-- Completes the row of a finished clip: with the numbers and texts of its result, or those of the
-- columns.
local function finish(o, job, result)
  local row = job.row
  row.status, row.message = "done", nil
  local names = {}
  for _, name in ipairs(o.columns or {}) do names[name] = true end
  for name, value in pairs(result) do
    local is_own = name == "clip" or name == "status" or name == "file"
      or name == "clip_path" or name == "clip_bytes"
    if type(name) == "string" and plain[type(value)] and not is_own
      and (not o.columns or names[name])
    then
      row[name] = value
    end
  end
end

-- The result of a clip that an earlier batch finished, or nil.
local function result_of(o, job)
  local kept = saved.any_table(job.base .. ".json")
  if kept and (not o.done or o.done(kept, job.base)) then return kept end
end

-- The result of the call; the same in the processes of later calls.
local function summary(jobs, unreadable)
  local result = { rows = {}, done = 0, failed = unreadable }
  for i, job in ipairs(jobs) do
    result.rows[i] = job.row
    local key = job.row.status == "done" and "done" or "failed"
    -- Clips of other parts are neither.
    if job.is_own then result[key] = result[key] + 1 end
  end
  return result
end

local function check(o)
  if not o.clips or not o.out or not o.each then
    errors.raise "batch: expected { clips =, out =, each = function(clip, out) … end }"
  end
  o.out = o.out:gsub("(.)/+$", "%1")
  workers.check("batch", o)
  local part = o.part
  if part and not (#part == 2 and math.type(part[1]) == "integer"
    and math.type(part[2]) == "integer" and part[1] >= 1 and part[1] <= part[2]) then
    errors.raise("batch: part: expected { k, n }, k from 1 to n, got { %s }", errors.list(part))
  end
  if not (type(o.deadline) == "number" and o.deadline > 0) then
    errors.raise("batch: deadline: expected seconds above 0, got %s", errors.show(o.deadline))
  end
  if o.share == nil then o.share = select(2, native.ranks()) > 1 end
  local ways = (o.share and 1 or 0) + (part and 1 or 0) + (o.merge and 1 or 0)
  if ways > 1 then errors.raise "batch: expected one of share, part and merge, got several" end
end

-- The result of a task whose clip another process has taken.
local elsewhere <const> = "elsewhere"

local function name_of(base) return base:match "[^/]*$" end

-- Calls work() for a clip of a shared batch, in the clip's process, unless another process has it.
local function attempt(o, item, work)
  local job = { base = item.base }
  -- The process that started this one has found which claims are dead.
  local own <const> = pieces.open(o.out, math.huge, { name_of(item.base) }, function()
    return result_of(o, job) ~= nil or share.failure(job) ~= nil
  end)
  local claim = own:take(1, item.dead)
  if not claim then return elsewhere end
  local _ <close> = setmetatable({}, { __close = function() own:release(1, claim) end })
  return work()
end

-- Runs the jobs `waiting`, together with other processes; settle(index, outcome) is called as each
-- finishes, here or there.
local function run_shared(call, o, jobs, waiting, settle)
  local names, rank = {}, native.ranks()
  for i, job in ipairs(jobs) do names[i] = name_of(job.base) end
  o.settled = #jobs - #waiting
  local function settle_one(i, outcome)
    settle(i, outcome)
    o.settled = o.settled + 1
  end
  local pending = share.longest_first(jobs, waiting)
  local shared <const> = pieces.open(o.out, o.deadline, names, function(i)
    local result, failure = result_of(o, jobs[i]), nil
    if not result then failure = share.failure(jobs[i]) end
    if not result and not failure then return false end
    settle_one(i, result and { value = result } or { error = workers.decode_error(failure) })
    return true
  end, pending)
  while pending do
    o.logs = nil -- the process that has the clip writes its log
    -- One clip at a time: a process that is started for a clip that another has by then is wasted.
    -- Ranks start with different ones.
    if o.jobs == 1 then pending = { pending[math.min(rank + 1, #pending)] } end
    workers.run("batch", call, o, pending, function(i, outcome)
      if outcome.value == elsewhere then return end
      native.write_file(jobs[i].base .. ".log", native.read_file(o.logs[i]) or "")
      if outcome.error then share.write_failure(jobs[i], outcome.error) end
      shared:settle(i)
      settle_one(i, outcome)
    end)
    pending = shared:free()
    for _, i in ipairs(pending or {}) do o.items[i].dead = shared.dead[i] end
  end
end

--- Runs a custom pipeline over many clips, each in a process, several at the same time.
---
--- Each process runs the script again from its beginning: it reaches this same call, processes one
--- clip there and exits. So the code before the call runs in every process; the code after it runs
--- once. `each(clip, out)` gets the path of a clip, and `out/NAME`, with which the paths of its
--- files must begin. Its printed output goes to out/NAME.log. It returns a table of plain data,
--- which is stored in out/NAME.json, with `clip_path` and `clip_bytes`; its numbers and texts also
--- go to out/manifest.json. A failed clip is reported and skipped. Ctrl-C ends all processes.
--- With `resume`, finished clips are kept, and interrupted ones continue if `each` can resume them,
--- as lv.train can.
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
      local function work()
        local result = o.each(item.clip, item.base)
        if type(result) ~= "table" then result = { result = result } end
        local stored = options.copy(result)
        if #result == 0 then
          stored.clip_path, stored.clip_bytes = item.clip, clips.size(item.clip)
        end
        local text = errors.on_behalf("batch", "json.encode", native.json_encode, stored)
        errors.must(native.write_file(item.base .. ".json", text .. "\n"))
        return result
      end
      if item.shared then return attempt(o, item, work) end
      return work()
    end)
  end

  local paths, left_out, unreadable = clips.of(o.clips)
  if #paths == 0 then
    local where = type(o.clips) == "table" and "the list" or ("'%s'"):format(o.clips)
    errors.fail("data", "batch: clips: there are none in %s", where)
  end
  local jobs = jobs_of(o, paths)
  local rank = native.ranks()
  -- Of several ranks, the first prepares the folder.
  if not o.share or rank == 0 then
    check_folder(o, jobs)
    native.work_folder(o.out)
    -- Only a new batch tries failed clips again; a process that joins one does not.
    local is_new = not o.share or select(2, native.ranks()) > 1
    if is_new and not o.part and not o.merge then share.clear_failures(jobs) end
  end
  if o.share then native.ranks_gather("", "batch") end

  local waiting, before = {}, {}
  o.items, o.logs = {}, {}
  local keeps = o.resume or o.share or o.part or o.merge
  for i, job in ipairs(jobs) do
    o.items[i] = { clip = job.clip, base = job.base, shared = o.share or nil }
    o.logs[i] = job.base .. ".log"
    local result = keeps and result_of(o, job)
    job.is_own = not o.part or (i - o.part[1]) % o.part[2] == 0
    if result then
      finish(o, job, result)
      before[#before + 1] = job.row
    elseif o.merge then
      local failure = share.failure(job)
      job.row.status = failure and "failed" or "waiting"
      job.row.message = failure and failure.message or "no part has processed it"
    elseif job.is_own then
      if not keeps then
        os.remove(job.base .. ".json")
        if o.clear then o.clear(job.base) end
      end
      waiting[#waiting + 1] = i
    end
  end
  if o.merge then share.clear_failures(jobs) end
  -- The manifest is that of the whole batch, which a part does not know.
  local writes = not o.part and rank == 0
  -- A new folder needs one in any case: it marks the folder as a batch's.
  if writes or not native.exists(o.out .. "/manifest.json") then write_manifest(o, jobs) end
  if o.on_start then
    o.on_start { waiting = #waiting, done = before, left_out = left_out, unreadable = unreadable }
  end
  local function settle(index, outcome)
    local job = jobs[index]
    if outcome.error then
      -- The line is part of the message for a mistake in the script, not for an unreadable clip.
      local problem = outcome.error
      local is_mistake = problem.kind == "argument" or problem.kind == "script"
      job.row.status = "failed"
      job.row.message = is_mistake and tostring(problem) or errors.reason(problem)
    else
      finish(o, job, outcome.value)
    end
    if writes then write_manifest(o, jobs) end
    if o.on_clip then o.on_clip(job.row) end
  end
  if o.share then
    run_shared(call, o, jobs, waiting, settle)
  else
    workers.run("batch", call, o, waiting, function(index, outcome)
      if outcome.error and o.part then share.write_failure(jobs[index], outcome.error) end
      settle(index, outcome)
    end)
  end
  local result = summary(jobs, #unreadable)
  workers.remember(call, result)
  return result
end

return batch
