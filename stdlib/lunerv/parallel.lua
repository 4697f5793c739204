-- lv.parallel: a function over a list, in processes.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local workers <const> = require "lunerv.workers"

local takes <const> = options.takes("parallel", {
  { "tasks", nil, "the arguments of `each`, one per task", type = "table" },
  { "each", nil, "fun(task, index): runs a task and returns plain data", type = "function" },
  { "jobs", 1, "the number of processes at the same time", type = "integer" },
  { "threads", nil, "threads of each process (its share of the cores)", type = "integer" },
  { "retries", 0, "how often a failed task is tried again", type = "integer" },
})

-- Converts results for later processes, and back.
local function packed(results)
  local list = {}
  for i = 1, results.n do
    local value = results[i]
    list[i] = results.failed[i] and { error = workers.encode_error(value) } or { value = value }
  end
  return list
end

local function unpacked(list)
  local results, failed = {}, {}
  for i, entry in ipairs(list) do
    results[i] = entry.value
    if entry.error then
      results[i] = workers.decode_error(entry.error)
      failed[i] = results[i]
    end
  end
  return results, failed
end

--- Runs tasks in several processes at once, and returns their results in the order of the tasks.
---
--- Each process runs the script again from its beginning: it reaches this same call, runs one task
--- there and exits. So the code before the call runs in every process, and must produce the same
--- list of tasks; the code after it runs once. A result is plain data: nil, booleans, numbers,
--- texts and tables of them. The result of a failed task is the error.
---
---     local results, failed = lv.parallel {
---       jobs = 4, tasks = { 1e-3, 2e-3, 4e-3, 8e-3 },
---       each = function(lr)
---         return lv.train { model = new_model(), clip = clip, lr = lr }.metrics.psnr
---       end,
---     }
---
---@param options lunerv.parallel.Options
---@return any[]  the result of `each` for every task, or an error object
---@return table<integer, lunerv.Error>  the errors alone, by task number
local function parallel(given)
  local o = takes(given)
  if not o.tasks or not o.each then
    errors.raise "parallel: expected { tasks = { … }, each = function(task) … end }"
  end
  errors.check_list("parallel: tasks", o.tasks)
  workers.check("parallel", o)
  local role, call = workers.enter "parallel"
  if role == "past" then return unpacked(call) end
  if role == "task" then
    workers.serve("parallel", function(index, item)
      if item.count ~= #o.tasks then
        errors.raise("parallel: %d tasks here, %d in the first process: the code before "
          .. "the call must give the same result in every process", #o.tasks, item.count)
      end
      return o.each(o.tasks[index], index)
    end)
  end
  local indices, results, failed = {}, {}, {}
  o.items = {}
  for i = 1, #o.tasks do indices[i], o.items[i] = i, { count = #o.tasks } end
  workers.run("parallel", call, o, indices, function(index, outcome)
    local value = outcome.error or outcome.value
    if value == native.json_null then value = nil end
    results[index], failed[index] = value, outcome.error
  end)
  workers.remember(call, packed { n = #o.tasks, failed = failed, table.unpack(results, 1,
    #o.tasks) })
  return results, failed
end

return parallel
