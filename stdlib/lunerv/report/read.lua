-- The content of run folders, as plain data for a page. Nothing in them is trusted: values of the
-- wrong type are left out, and so are unreadable files, with a warning.
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local frames <const> = require "lunerv.report.frames"
local native <const> = require "lunerv.native"

local read <const> = {}

-- The depth of the search for runs, and the most runs on a page.
local deepest <const>, most <const> = 3, 64
read.most = most

local function joined(folder, name) return folder .. "/" .. name end

local function is_folder(path) return native.exists(path .. "/.") end

local function names_in(folder)
  local ok, names = errors.attempt(native.list_dir, folder)
  if not ok then frames.left_out(folder, names) end
  local list = {}
  for _, name in ipairs(ok and names or {}) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- The table in a JSON file; nil if there is none.
local function json(path)
  if not native.exists(path) then return nil end
  local text, problem = native.read_file(path)
  if not text then return frames.left_out(path, problem) end
  local ok, data = errors.attempt(native.json_decode, text)
  if not ok then return frames.left_out(path, data) end
  return type(data) == "table" and data or nil
end

local function number(value)
  return type(value) == "number" and value == value and math.abs(value) < math.huge and value or nil
end

local function text(value) return type(value) == "string" and value or nil end

local function list(value) return type(value) == "table" and value or {} end

-- Trainings ---------------------------------------------------------------------------------

-- One training, from run.json and metrics.json of `folder`; nil if neither exists.
local function training(folder)
  local record, metrics = json(joined(folder, "run.json")), json(joined(folder, "metrics.json"))
  if not record and not metrics then return nil end
  record = record or { finished = true }
  -- Metrics of an earlier run, until this one has finished.
  if not record.finished then metrics = nil end
  return { name = folder:match "[^/]*$", record = record, metrics = metrics or {} }
end

-- The trainings that made a file, in order: fit, fit-2, …, small, of each segment.
local function trainings(work)
  local found = {}
  local function add(folder, label, last)
    local names = { "fit" }
    for k = 2, last do names[k] = "fit-" .. k end
    names[#names + 1] = "small"
    for _, name in ipairs(names) do
      local one = training(joined(folder, name))
      if one then
        one.name = label .. (name == "small" and "compression" or name)
        found[#found + 1] = one
      end
    end
  end
  local function attempts(folder)
    local plan = json(joined(folder, "plan.json"))
    return math.min(16, (number(plan and plan.attempt) or 1) // 1 | 0)
  end
  add(work, "", attempts(work))
  local split = json(joined(work, "segments.json"))
  for k in ipairs(list(split and split.segments)) do
    local folder = ("%s/segment-%03d"):format(work, k)
    add(folder, ("segment %d, "):format(k), attempts(folder))
  end
  return found
end

-- The epochs of all trainings in sequence: { epoch, seconds, psnr, loss, stage } each.
local function curve_of(list_of_trainings)
  local points, epoch, seconds = {}, 0, 0
  for k, one in ipairs(list_of_trainings) do
    local last, over = 0, 0
    for _, e in ipairs(list(one.record.epochs)) do
      if type(e) == "table" and number(e.epoch) and number(e.psnr) then
        last, over = e.epoch, number(e.seconds) or over
        points[#points + 1] = { epoch + e.epoch, seconds + over, e.psnr,
          number(e.loss) or native.json_null, k }
      end
    end
    epoch, seconds = epoch + last, seconds + math.max(over, number(one.record.seconds) or 0)
  end
  return points
end

-- A run of trainings: the fields that all kinds of runs share.
local function of_trainings(name, path, found, metrics)
  local first, last = found[1], found[#found]
  local run = {
    name = name, path = path, figures = {}, stages = {}, curve = curve_of(found),
    tree = type(first.record.tree) == "table" and first.record.tree or nil,
    options = type(first.record.options) == "table" and first.record.options or nil,
    clip = list(first.record.clip), steps = 0, steps_asked = 0,
    finished = metrics ~= nil or last.record.finished == true,
  }
  local from = metrics or last.metrics
  for key, value in pairs(from) do run.figures[key] = number(value) or text(value) end
  -- Recent records already hold these; otherwise they come with the metrics, at the end.
  for _, key in ipairs { "seed", "threads" } do
    run.figures[key] = run.figures[key] or number(first.record[key])
  end
  run.model = text(from.model) or text(first.record.model)
  run.command = text(from.command) or text(first.record.command)
  if run.command == "" then run.command = nil end
  for i, one in ipairs(found) do
    local steps = number(one.record.step) or number(one.metrics.steps) or 0
    run.stages[i] = { name = one.name,
      seconds = number(one.metrics.seconds) or number(one.record.seconds) or 0 }
    run.steps = run.steps + steps
    run.steps_asked = run.steps_asked + (number(one.record.steps) or steps)
  end
  return run
end

-- Runs --------------------------------------------------------------------------------------

-- The sizes of a file's sections, summed by name.
local function sections_of(info)
  local found, by_name = {}, {}
  for _, section in ipairs(info.sections) do
    local entry = by_name[section.name]
    if not entry then
      entry = { name = section.name, bytes = 0 }
      by_name[section.name], found[#found + 1] = entry, entry
    end
    entry.bytes = entry.bytes + section.bytes
  end
  return found
end

local function add_file(run, path)
  local info, problem = codec.info(path)
  if not info then
    run.problem = errors.reason(problem)
    return
  end
  run.sections, run.decoder = sections_of(info), text(info.decoder)
  run.figures.bytes, run.figures.bpp = info.bytes, info.bpp
  run.clip.frames, run.clip.height, run.clip.width = info.frames, info.height, info.width
  run.clip.fps, run.segments = info.fps, #info.segments
end

-- A compressed file and the data in its work folder; either may be missing.
local function of_file(path, work, name)
  local found = work and trainings(work) or {}
  local metrics = work and json(joined(work, "metrics.json"))
  local info = path and native.exists(path)
  if #found == 0 and not info then return nil end
  local run
  if #found > 0 then
    run = of_trainings(name, path or work, found, metrics)
    if not metrics then
      -- The best file so far; the figures of a stage are not the file's.
      run.finished = false
      for _, key in ipairs { "psnr", "psnr_8bit", "ms_ssim" } do run.figures[key] = nil end
      for key, value in pairs(json(joined(work, "best.json")) or {}) do
        if key:match "^psnr" or key == "ms_ssim" then run.figures[key] = number(value) end
      end
    end
  else
    run = { name = name, path = path, figures = {}, stages = {}, curve = {}, clip = {},
      finished = true, steps = 0, steps_asked = 0 }
    for key, value in pairs(metrics or {}) do run.figures[key] = number(value) or text(value) end
    run.model, run.command = text(run.figures.model), text(run.figures.command)
  end
  run.compresses = true
  if info then add_file(run, path) end
  run.frames = work and frames.list(work) or {}
  return run
end

local function work_of(path)
  for _, work in ipairs { path .. ".work", (path:gsub("%.lnv$", "") .. ".work") } do
    if work ~= path and is_folder(work) then return work end
  end
end

local function is_work(folder)
  for _, name in ipairs { "fit", "small", "segments.json", "plan.json" } do
    if native.exists(joined(folder, name)) then return true end
  end
  return false
end

-- The file that belongs to the work folder `folder`.
local function file_of(folder)
  local stem = folder:match "^(.*)%.work$"
  local metrics = json(joined(folder, "metrics.json"))
  local named = metrics and text(metrics.file)
  -- The record's path is relative to the folder in which that command ran: here it may be another
  -- file.
  local info = named and native.exists(named) and codec.info(named)
  if not info or info.bytes ~= metrics.bytes then named = nil end
  for _, path in ipairs { named or false, stem or false, stem and stem .. ".lnv" or false,
    joined(folder, "clip.lnv") } do
    if path and path:match "%.lnv$" and native.exists(path) then return path end
  end
end

local function points_of(given)
  local points = {}
  for _, p in ipairs(list(given)) do
    if type(p) == "table" and number(p.bpp) and number(p.psnr) and p.bpp > 0 then
      points[#points + 1] = { bpp = p.bpp, psnr = p.psnr, bytes = number(p.bytes) }
    end
  end
  table.sort(points, function(a, b) return a.bpp < b.bpp end)
  return points
end

-- Rate-distortion curves, as written by rd_curve.lua and compare.lua.
local function curves_of(path, name)
  local data = json(path)
  if not data or type(data.curves) ~= "table" then return nil end
  local found = { name = name, curves = {}, notes = {} }
  for _, curve in ipairs(data.curves) do
    local points = type(curve) == "table" and points_of(curve.points) or {}
    if #points > 0 then
      table.insert(found.curves, { name = text(curve.name) or "?", points = points })
    end
  end
  for _, note in ipairs(list(data.notes)) do found.notes[#found.notes + 1] = text(note) end
  return #found.curves > 0 and found or nil
end

local function batch_of(path, name)
  local data = json(path)
  if not data or type(data.clips) ~= "table" then return nil end
  local rows = {}
  for _, row in ipairs(data.clips) do
    if type(row) == "table" then rows[#rows + 1] = row end
  end
  return { name = name, rows = rows }
end

local visit

-- All runs in a folder.
local function visit_children(folder, name, found, depth)
  local taken = {}
  local function inside(child) return name == "" and child or name .. "/" .. child end
  local names = names_in(folder)
  for _, child in ipairs(names) do
    if child:match "%.lnv$" then
      local path = joined(folder, child)
      local work = work_of(path)
      taken[child] = true
      if work then taken[work:match "[^/]*$"] = true end
      table.insert(found.runs, of_file(path, work, inside(child)))
    end
  end
  for _, child in ipairs(names) do
    local path = joined(folder, child)
    local is_own = child == "frames" or child == "previous" or child:match "^%."
    if not taken[child] and not is_own and is_folder(path) then
      visit(path, inside(child), found, depth + 1)
    end
  end
end

-- Adds the contents of `path` to `found`.
function visit(path, name, found, depth)
  if not is_folder(path) then
    if depth == 0 then table.insert(found.runs, of_file(path, work_of(path), name)) end
    return
  end
  if is_work(path) then
    local file = file_of(path)
    local run = of_file(file, path, name:gsub("%.work$", ""))
    if run then
      table.insert(found.runs, run)
      return
    end
  end
  local one = training(path)
  if one then
    local run = of_trainings(name, path, { one })
    run.frames = frames.list(path)
    table.insert(found.runs, run)
    return
  end
  table.insert(found.curves, curves_of(joined(path, "curve.json"), name))
  table.insert(found.batches, batch_of(joined(path, "manifest.json"), name))
  if depth < deepest then visit_children(path, depth == 0 and "" or name, found, depth) end
end

-- A short unique name for a path: its end, with enough before it to differ from all others.
local function names_of(paths)
  local names, parts = {}, {}
  for i, path in ipairs(paths) do
    parts[i] = {}
    for part in path:gmatch "[^/]+" do table.insert(parts[i], 1, part) end
  end
  for i in ipairs(paths) do
    local depth, name = 0, nil
    repeat
      depth = depth + 1
      local mine = parts[i][depth]
      if not mine then break end
      name = name and mine .. "/" .. name or mine
      local is_shared = false
      for k in ipairs(paths) do
        local theirs = {}
        for d = depth, 1, -1 do theirs[#theirs + 1] = parts[k][d] end
        if k ~= i and table.concat(theirs, "/") == name then is_shared = true end
      end
    until not is_shared
    names[i] = name or paths[i]
  end
  return names
end

-- The contents of a list of paths: { runs, curves, batches, left_out, name }, with the name if
-- there is one path; nil and an error if a path holds no run.
function read.all(paths)
  local found = { runs = {}, curves = {}, batches = {} }
  local trimmed = {}
  for i, path in ipairs(paths) do trimmed[i] = path:gsub("(.)/+$", "%1") end
  local names = names_of(trimmed)
  for i, path in ipairs(trimmed) do
    if not native.exists(path) then
      return nil, errors.new("io", ("report: '%s': no such file or folder"):format(path))
    end
    local before = #found.runs + #found.curves + #found.batches
    local own = { runs = {}, curves = {}, batches = {} }
    visit(path, names[i], own, 0)
    for kind, items in pairs(own) do
      for _, item in ipairs(items) do
        -- Results in the given folders are prefixed by the folder's name if there are several
        -- folders.
        local is_inside = kind == "runs" and item.name ~= names[i] and #paths > 1
        if is_inside then item.name = names[i] .. "/" .. item.name end
        table.insert(found[kind], item)
      end
    end
    if #found.runs + #found.curves + #found.batches == before then
      return nil, errors.new("data", ("report: '%s' is not a run: expected a folder with run.json "
        .. "or metrics.json, a .lnv file, or a folder of such"):format(path))
    end
  end
  found.name = #paths == 1 and names[1] or nil
  found.left_out = math.max(0, #found.runs - most)
  for i = #found.runs, most + 1, -1 do found.runs[i] = nil end
  return found
end

return read
