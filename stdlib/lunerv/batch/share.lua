-- A batch that several processes work on at once: ranks of mpirun, or jobs of a scheduler that are
-- given the same folder (pieces.lua). Files say what is done, so that all end with the same
-- manifest.
--
--   NAME.json         what became of a clip that is done
--   NAME.failed.json  why it failed: it is not tried again in this batch
--   NAME.claim-1      who is at it
local native <const> = require "lunerv.native"
local workers <const> = require "lunerv.workers"

local share <const> = {}

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

return share
