-- The files that a compression in segments keeps in OUT.work:
--
--   segments.json         the split of the clip, the options, and the program
--   segment-001/          checkpoints of a segment in progress, and its reports
--   segment-001.lnv       a file that plays by itself
--   segment-001.json      marks the segment as done, and describes it
--   segment-001.claim-1   the process, of several, that has the chain that begins there
--   network-001.safetensors  a starting point for the next segment; only the last one is kept
--   joined.json           the file that all segments were joined to
--
-- A process that made no progress for a while may find that another has taken its segment. Both
-- write the same bytes; a segment's file is written as a whole, when it is final.
local checkpoint <const> = require "lunerv.checkpoint"
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"
local pieces <const> = require "lunerv.pieces"
local saved <const> = require "lunerv.saved"

local files <const> = {}

local function remove(path)
  if native.exists(path) then native.remove(path) end
end

function files.base(o, k) return ("%s/segment-%03d"):format(o.out, k) end
local base <const> = files.base

local function network_path(o, k) return ("%s/network-%03d.safetensors"):format(o.out, k) end
local function is_network(name) return name:match "^network%-%d%d%d+%.safetensors$" ~= nil end

-- The split ----------------------------------------------------------------------------------

-- Calls body(folder) for each training folder inside a segment's folder.
local function each_run(folder, body)
  for _, name in ipairs(native.exists(folder) and native.list_dir(folder) or {}) do
    if name == "fit" or name:match "^fit%-%d+$" or name == "small" then
      body(folder .. "/" .. name)
    end
  end
end

-- Moves the checkpoints of all stages of an earlier run, and its plan, out of the way of a new one.
function files.set_aside(folder)
  local was_moved = false
  each_run(folder, function(run) was_moved = checkpoint.set_aside(run) or was_moved end)
  for _, name in ipairs(was_moved and { "plan.json", "best.json" } or {}) do
    local path = folder .. "/" .. name
    if native.exists(path) then native.rename(path, folder .. "/previous-" .. name) end
  end
end

-- The same, with the run's plan: a later run that resumes does not find it.
local function clear_run(folder)
  files.set_aside(folder)
  for _, name in ipairs { "plan.json", "best.json", "segment.lnv" } do
    remove(folder .. "/" .. name)
  end
end

-- Removes the leftovers of an earlier run, so that this one does not continue from them.
local function clear(o)
  remove(o.out .. "/metrics.json")
  for _, name in ipairs(native.list_dir(o.out)) do
    local left = o.out .. "/" .. name
    if name:match "^segment%-%d%d%d+%.json$" or name:match "^segment%-%d%d%d+%.claim%-%d+$"
      or name:match "^joined%.claim%-%d+$" or is_network(name) or name == "joined.json"
    then
      remove(left)
    elseif name:match "^segment%-%d%d%d+$" then
      clear_run(left)
    end
  end
end

local function split_path(o) return o.out .. "/segments.json" end

-- Removes what an earlier run of any kind left in `folder`, except for its checkpoints.
function files.forget(folder)
  if not native.exists(folder) then return end
  clear_run(folder)
  clear { out = folder }
  remove(split_path { out = folder })
end

-- The program as text: together with the options, it determines the bytes.
local function program()
  local versions = native.versions()
  return ("lunerv %s, %s"):format(versions.lunerv, versions.march)
end

-- The split of a clip, which split() returns, stored so that a resumed run keeps it. `asked`: the
-- facts that the two share.
function files.settle(o, asked, split)
  local path = split_path(o)
  local found = o.resume and saved.table(path)
  if found then
    if type(found.segments) ~= "table" or type(found.asked) ~= "table" then
      errors.data("%s: expected the split of a clip, got something else", path)
    end
    checkpoint.compare("compress.file", path, found.asked, asked)
    for _, segment in ipairs(found.segments) do
      segment.first, segment.last = math.tointeger(segment.first), math.tointeger(segment.last)
    end
    return found.segments, found.program
  end
  local list = split()
  native.work_folder(o.out)
  if not o.resume then clear_run(o.out) end -- of one without segments
  clear(o)
  saved.write(path, { asked = asked, segments = list, program = program() })
  return list, program()
end

-- Waits until this rank sees the split that rank 0 has written.
local function expect_split(o, text)
  local began = native.time()
  while native.read_file(split_path(o)) ~= text do
    -- Network file systems are late by seconds.
    if native.time() - began > o.deadline then
      errors.fail("io", "compress.file: '%s': expected a work folder that all ranks see", o.out)
    end
    native.sleep(0.2)
  end
end

-- The same for several processes: the first one makes the split. Ranks that do not resume start
-- over.
function files.settle_together(o, asked, split)
  local rank, size = native.ranks()
  local resumed = options.copy(o)
  resumed.resume = true
  native.work_folder(o.out)
  if rank == 0 and size > 1 and not o.resume and not o.share then
    files.settle(o, asked, split)
  elseif rank == 0 then
    local first <const> = pieces.open(o.out, o.deadline, { "segments" }, function()
      return saved.table(split_path(o)) ~= nil
    end)
    for _ in first:each() do files.settle(resumed, asked, split) end
  end
  if size > 1 then
    local text = rank == 0 and native.read_file(split_path(o)) or ""
    text = native.ranks_gather(text, "segments")[1]
    if rank > 0 then expect_split(o, text) end
  end
  local list, found = files.settle(resumed, asked, split)
  if found ~= program() then
    errors.fail("usage", "compress.file: cannot share '%s': expected one of %s, got one of %s",
      o.out, program(), found or "an older version")
  end
  return list
end

-- Segments -----------------------------------------------------------------------------------

-- The result of segment `k`, if it is done; its file is at `path`.
function files.done(o, k, path)
  local result = o.resume and saved.table(base(o, k) .. ".json")
  local info = result and codec.info(path or base(o, k) .. ".lnv")
  if not info or info.bytes ~= result.bytes then return nil end
  return result
end

-- Marks segment `k` as done.
function files.finish(o, k, result) saved.write(base(o, k) .. ".json", result) end

-- Removes what is no longer needed once segment `k` is done: its checkpoints, and the network it
-- may have started from.
function files.tidy(o, k)
  each_run(base(o, k), checkpoint.clear)
  remove(network_path(o, k - 1))
end

-- Stores the network of segment `k` for the next one.
function files.keep_network(o, k, model)
  local settings = {}
  for _, name in ipairs(options.model_names(o.model)) do settings[name] = model.config[name] end
  settings.size, settings.params, settings.preset = nil, nil, nil -- the width replaces these
  errors.must(native.save_safetensors(network_path(o, k), model:state_dict(), {
    format = "lunerv network", settings = native.json_encode(settings),
    origins = native.json_encode(parameter.origins(model)),
  }))
end

-- The starting point of the segment after `k`: { settings, parameters }.
function files.network(o, k)
  local tensors, metadata = native.load_safetensors(network_path(o, k))
  if not tensors then errors.data("%s", metadata) end
  -- The weights of all segments derive from the first segment's random numbers.
  parameter.take_origins(tensors, native.json_decode(metadata.origins or "{}"))
  return { settings = native.json_decode(metadata.settings), parameters = tensors }
end

-- The joined file ----------------------------------------------------------------------------

-- Whether the segments were joined to the file at `path`.
function files.is_joined(o, path)
  local joined = saved.table(o.out .. "/joined.json")
  local info = joined and joined.path == path and codec.info(path)
  return info ~= nil and info ~= false and info.bytes == joined.bytes
end

-- Marks the segments as joined, and removes what hanging processes left.
function files.mark_joined(o, path, bytes)
  for _, name in ipairs(native.list_dir(o.out)) do
    if is_network(name) then remove(o.out .. "/" .. name) end
  end
  saved.write(o.out .. "/joined.json", { path = path, bytes = bytes })
end

return files
