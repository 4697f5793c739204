-- A batch that several processes work on: ranks of mpirun, or jobs of a scheduler with the same
-- folder (pieces.lua). Results are files, so all processes end with the same manifest.
--
--   NAME.json         the result of a finished clip
--   NAME.failed.json  the error of a failed clip, which is not tried again in this batch
--   NAME.claim-1      the process that works on the clip
local native <const> = require "lunerv.native"
local saved <const> = require "lunerv.saved"
local workers <const> = require "lunerv.workers"

local share <const> = {}

local function failure_path(job) return job.base .. ".failed.json" end

-- The error of a failed clip as plain data; nil if it has not failed.
function share.failure(job) return saved.any_table(failure_path(job)) end

function share.write_failure(job, problem)
  native.write_file(failure_path(job), native.json_encode(workers.encode_error(problem)) .. "\n")
end

-- Allows failed clips to be tried again.
function share.clear_failures(jobs)
  for _, job in ipairs(jobs) do
    if native.exists(failure_path(job)) then native.remove(failure_path(job)) end
  end
end

-- Sorts indices of jobs by the expected time, longest first: by file size.
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
