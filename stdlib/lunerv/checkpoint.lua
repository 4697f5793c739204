-- Checkpoints: one safetensors file each, with everything needed to resume exactly. Tensors are
-- stored as tensors, everything else as JSON in the metadata.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local saved <const> = require "lunerv.saved"

local checkpoint <const> = {}

checkpoint.schema = 1
local kept <const> = 2

local function join(folder, name) return (folder:gsub("/+$", "")) .. "/" .. name end

-- Steps of the checkpoints in `folder`, newest first: { { step, path }, … }.
local function present(folder)
  local found = {}
  for _, name in ipairs(native.exists(folder) and native.list_dir(folder) or {}) do
    local step = name:match "^checkpoint%-(%d+)%.safetensors$"
    if step then found[#found + 1] = { math.tointeger(tonumber(step)), join(folder, name) } end
  end
  table.sort(found, function(a, b) return a[1] > b[1] end)
  return found
end

-- Writes a checkpoint after `step` steps, then removes all but the last two. `tensors` is a list
-- of { name, tensor }, `state` plain data. Returns its path.
function checkpoint.save(folder, step, tensors, state)
  native.make_dirs(folder)
  local path = join(folder, ("checkpoint-%06d.safetensors"):format(step))
  state.schema = checkpoint.schema
  local ok, problem = native.save_safetensors(path, tensors,
    { format = "lunerv checkpoint", state = native.json_encode(state) })
  errors.must(ok, problem, "the checkpoint could not be written")
  for i, entry in ipairs(present(folder)) do
    -- Another process that shares the run may have removed it.
    if i > kept then errors.attempt(native.remove, entry[2]) end
  end
  return path
end

local function read(path)
  local tensors, metadata = native.load_safetensors(path)
  if not tensors then return nil, metadata end
  if not metadata.state then return nil, "it is not a checkpoint of lunerv" end
  return { path = path, tensors = tensors, state = native.json_decode(metadata.state) }
end

-- The newest readable checkpoint in `folder`: { path, tensors, state }; nil if the folder has none.
-- A damaged one is skipped with a warning; an error if all are damaged.
function checkpoint.latest(folder)
  local damaged = {}
  for _, entry in ipairs(present(folder)) do
    local path = entry[2]
    local ok, found, message = pcall(read, path)
    if ok and found then
      if found.state.schema ~= checkpoint.schema then
        errors.data("%s: expected schema %d, got %s", path, checkpoint.schema,
          tostring(found.state.schema))
      end
      return found
    end
    damaged[#damaged + 1] = path
    native.stderr(("warning: %s cannot be read (%s)\n"):format(path, ok and message or found))
  end
  if #damaged > 0 then
    errors.data("no checkpoint in %s can be read", folder)
  end
end

-- The path of the newest checkpoint in `folder`, or nil.
function checkpoint.newest_path(folder)
  local newest = present(folder)[1]
  return newest and newest[2]
end

-- The final weights of a checkpoint's run, by the model's names: the best weights if the run has
-- finished and kept them; otherwise the averages, if it has any.
function checkpoint.weights(found)
  local parts = { model = {}, ema = {}, best = {} }
  for name, tensor in pairs(found.tensors) do
    local part, rest = name:match "^(%a+)/(.+)$"
    if parts[part] then parts[part][rest] = tensor end
  end
  if found.state.finished and next(parts.best) then return parts.best end
  for name, tensor in pairs(parts.ema) do parts.model[name] = tensor end
  return parts.model
end

-- A run of at most this many seconds, and this many times fewer steps than another, is a false
-- start.
local false_seconds <const>, false_share <const> = 60, 10

-- Moves the checkpoints of an earlier run out of the way of a new one. Results of hours of
-- computing are never deleted, except those of an even earlier run, unless the later one is a false
-- start. Returns whether any were moved.
function checkpoint.set_aside(folder)
  local record = saved.any_table(join(folder, "run.json"))
  local seconds = record and tonumber(record.seconds) or math.huge
  -- Otherwise that run's record would be mistaken for the new one's.
  if native.exists(join(folder, "run.json")) then native.remove(join(folder, "run.json")) end
  local found = present(folder)
  if #found == 0 then return false end
  local previous = join(folder, "previous")
  native.work_folder(previous)
  local earlier, best = present(previous), join(folder, "best.safetensors")
  if #earlier > 0 and seconds <= false_seconds and earlier[1][1] > false_share * found[1][1] then
    for _, entry in ipairs(found) do native.remove(entry[2]) end
    if native.exists(best) then native.remove(best) end
    native.stderr(("note: checkpoints of %d steps are removed; those of a longer run stay in %s\n")
      :format(found[1][1], previous))
    return false
  end
  for _, entry in ipairs(earlier) do native.remove(entry[2]) end
  local earlier_best = join(previous, "best.safetensors")
  if native.exists(earlier_best) then native.remove(earlier_best) end
  if native.exists(best) then native.rename(best, earlier_best) end
  for _, entry in ipairs(found) do
    native.rename(entry[2], join(previous, entry[2]:match "[^/]+$"))
  end
  native.stderr(("note: checkpoints of an earlier run are now in %s; move them back to resume it\n")
    :format(previous))
  return true
end

-- Removes the checkpoints in `folder`, including those of earlier runs: no run will resume there.
function checkpoint.clear(folder)
  for _, place in ipairs { folder, join(folder, "previous") } do
    for _, entry in ipairs(present(place)) do errors.attempt(native.remove, entry[2]) end
  end
end

-- Options -----------------------------------------------------------------------------------

local function show(value)
  if type(value) ~= "table" then return value == nil and "not given" or tostring(value) end
  return #value > 0 and table.concat(value, ",") or native.json_encode(value)
end

-- How far, in 8-bit levels, a first frame that another machine decoded may differ.
local decoders_differ <const> = 3

-- Whether two descriptions of a first frame (compress/request.lua) are of different clips. Older
-- runs have none.
local function is_other_clip(a, b)
  if not a or not b then return false end
  for i, level in ipairs(a) do
    if math.abs(level - (b[i] or level)) > decoders_differ then return true end
  end
  return false
end

-- Raises an error that names the first option in which a run to be resumed differs from the current
-- options. Both are tables of plain data by option name. `what` names the caller.
function checkpoint.compare(what, path, stored, given)
  local names = {}
  for name in pairs(stored) do names[#names + 1] = name end
  for name in pairs(given) do
    if stored[name] == nil then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    if name ~= "first_frame" and not options.same(stored[name], given[name]) then
      errors.fail("usage", "%s: cannot resume: option '%s' is %s in %s, but %s now", what, name,
        show(stored[name]), path, show(given[name]))
    end
  end
  -- Last: other frames of the same clip are an option.
  if is_other_clip(stored.first_frame, given.first_frame) then
    errors.fail("usage", "%s: cannot resume: %s is of another clip (their first frames differ)",
      what, path)
  end
end

return checkpoint
