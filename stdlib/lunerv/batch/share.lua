-- A batch that several processes work on at once: ranks of mpirun, or jobs of a scheduler that are
-- given the same folder. Each takes the next clip that nobody has (claims.lua); files say what is
-- done, so that everybody ends with the same manifest.
--
--   NAME.json         what became of a clip that is done
--   NAME.failed.json  why it failed: nobody tries it again in this batch
--   NAME.claim-1      who is at it
local claims <const> = require "lunerv.claims"
local native <const> = require "lunerv.native"
local workers <const> = require "lunerv.workers"

local share <const> = {}

-- Seconds between two looks at what the others do.
local pause <const> = 0.5

local function failure_path(job) return job.base .. ".failed.json" end

-- Why a clip failed, as plain data; nil where it did not.
function share.failure(job) return workers.read_json(failure_path(job)) end

function share.write_failure(job, problem)
  native.write_file(failure_path(job), native.json_encode(workers.encode_error(problem)) .. "\n")
end

-- Lets the clips that failed be tried again.
function share.forgive(jobs)
  for _, job in ipairs(jobs) do
    if native.exists(failure_path(job)) then native.remove(failure_path(job)) end
  end
end

-- Numbers of jobs, those first that are expected to take long: the largest files.
function share.longest_first(jobs, indices)
  local sizes = {}
  for _, i in ipairs(indices) do sizes[i] = native.file_size(jobs[i].clip) or 0 end
  table.sort(indices, function(a, b)
    if sizes[a] ~= sizes[b] then return sizes[a] > sizes[b] end
    return a < b
  end)
  return indices
end

-- Does body() for the piece `name` of `folder`, unless another process has it or it is done:
-- "elsewhere" then. `still` is as of claims.
function share.attempt(folder, name, still, is_done, body)
  local list <const> = claims.open(folder, math.huge)
  local claim = not is_done() and list:take(name, still)
  if not claim then return "elsewhere" end
  local _ <close> = setmetatable({}, { __close = function() claim:release() end })
  -- It may have been finished between the two looks.
  if is_done() then return "elsewhere" end
  local result = body()
  list:clear(name)
  return result
end

-- Waits until one of the pieces `indices` is settled, or nobody is at it any more. Returns those
-- that others are at, and those that nobody is at, as { index, still }.
function share.wait(list, names, indices, is_settled)
  while true do
    local waiting, free = {}, {}
    for _, i in ipairs(indices) do
      if not is_settled(i) then
        local is_free, last = list:is_free(names[i])
        if is_free then
          free[#free + 1] = { i, last }
        else
          waiting[#waiting + 1] = i
        end
      end
    end
    if #free > 0 or #waiting < #indices then return waiting, free end
    native.sleep(pause)
  end
end

return share
