-- Work in separate processes: shared by lv.batch and lv.parallel.
--
-- A function cannot be sent to another process. So the process of a task runs the same script with
-- the same arguments again: it executes the code before the call, reaches the same call, runs its
-- one task there and exits. LUNERV_JOB identifies it: its own process number (programs that it
-- starts inherit the variable, and must ignore it), the number of the call, the number of the task,
-- and a folder with the tasks, where it leaves its result. An earlier call returns what it returned
-- in the first process.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local Progress <const> = require "lunerv.progress"
local quoted <const> = require "lunerv.quoted"
local saved <const> = require "lunerv.saved"
local scratch <const> = require "lunerv.scratch"

local workers <const> = {}

-- The calls so far in this process, and the results of the finished ones.
local calls, finished = 0, {}

-- The job that this process was started for, or nil.
local function own_job()
  local process, call, index, folder = (os.getenv "LUNERV_JOB" or "")
    :match "^(%d+) (%d+) (%d+) (.+)$"
  local stat = process and native.read_file "/proc/self/stat"
  if not stat or stat:match "^%d+" ~= process then return nil end
  local tasks = saved.any_table(folder .. "/tasks.json")
  if not tasks then errors.fail("io", "LUNERV_JOB: there are no tasks in '%s'", folder) end
  return { call = math.tointeger(tonumber(call)), index = math.tointeger(tonumber(index)),
    folder = folder, tasks = tasks }
end

local known_job
local function job()
  if known_job == nil then known_job = own_job() or false end
  return known_job
end

-- The role of a call: "own" and its number if this process must start others; "task" if this is one
-- of those and its task is due; "past" and the result if the call is over. `what` is the calling
-- function, for messages.
function workers.enter(what)
  calls = calls + 1
  local mine = job()
  if not mine then return "own", calls end
  if calls < mine.call then return "past", mine.tasks.finished[calls] end
  if calls > mine.call then
    errors.raise("%s: a task cannot start processes", what)
  end
  return "task"
end

-- Saves the result of a call, plain data, for the processes of later calls.
function workers.remember(call, result) finished[call] = result end

-- The known kinds of errors.
local kinds <const> = { usage = true, argument = true, io = true, data = true, numeric = true,
  memory = true, script = true }

-- A problem as plain data, for another process.
function workers.encode_error(problem)
  if not bridge.is_error(problem) then
    local ok, text = pcall(tostring, problem)
    return { kind = "script", message = ok and text or type(problem) }
  end
  return { kind = kinds[problem.kind] and problem.kind or "data", message = problem.message,
    where = problem.where, module = problem.module }
end

-- The error object from such data.
function workers.decode_error(plain)
  local problem = errors.new(plain.kind, plain.message)
  problem.where, problem.module = plain.where, plain.module
  return problem
end

-- Runs this process's task by body(index, item), saves the result, and exits; `what` names the
-- caller.
function workers.serve(what, body)
  local mine <const> = job()
  native.set_threads(mine.tasks.threads)
  local path = ("%s/result-%d.json"):format(mine.folder, mine.index)
  local ok, value = errors.attempt(function()
    local value = body(mine.index, mine.tasks.items[mine.index])
    -- Plain data, or an error that says so.
    errors.on_behalf(what, "json.encode", native.json_encode, value)
    return { value = value }
  end)
  if ok then
    saved.write(path, value)
  else
    value = workers.encode_error(value)
    saved.write(path, { error = value })
    native.stderr(("lunerv: %s\n"):format(tostring(workers.decode_error(value))))
  end
  io.stdout:flush()
  os.exit(ok and 0 or 1)
end

-- Starting processes -----------------------------------------------------------------------------

-- Options of `lunerv run` that only the first process follows.
local dropped <const> = { ["--watch"] = true, ["--profile"] = true, ["-i"] = true,
  ["--interactive"] = true }
local function is_dropped(word) return dropped[word:match "^[^=]*"] end

-- Starts a shell command; returns the stream of its output.
local function popen(what, command)
  local pipe, text = io.popen(command)
  if pipe then return pipe end
  -- The message begins with the command, which users do not know.
  return errors.fail("io", "%s: no process can be started: %s", what, text:sub(#command + 3))
end

-- The output of a shell command. Reading the file here instead would make `lunerv run --watch`
-- watch it; `$PPID` in the command is this process.
local function printed(what, command)
  local pipe <close> = popen(what, command)
  local text = pipe:read "a"
  if not text then errors.fail("io", "%s: what a process printed cannot be read", what) end
  return text
end

-- The command that runs this script again, as the shell reads it.
local function command(what)
  local words, list = {}, {}
  for word in printed(what, "cat /proc/$PPID/cmdline"):gmatch "([^\0]*)\0" do
    words[#words + 1] = word
  end
  if words[2] ~= "run" then
    errors.raise("%s: processes run a script again: expected to be called from one that "
      .. "`lunerv run` runs", what)
  end
  list[1] = quoted((printed(what, "readlink /proc/$PPID/exe"):gsub("\n$", "")))
  local in_front = true
  for i = 2, #words do
    in_front = in_front and (i == 2 or words[i]:match "^%-" ~= nil)
    if not (in_front and is_dropped(words[i])) then list[#list + 1] = quoted(words[i]) end
  end
  return table.concat(list, " ")
end

-- Starts the tasks `indices`, `o.jobs` at the same time, in a separate process group. Calls
-- report(index, code) when one ends.
local function start(what, call, o, indices, report)
  local list, items = o.folder .. "/list", {}
  for k, index in ipairs(indices) do
    os.remove(o.logs[index]) -- the shell would write through a link
    os.remove(("%s/result-%d.json"):format(o.folder, index))
    items[k] = ("%d\0%s\0"):format(index, o.logs[index])
  end
  errors.must(native.write_file(list, table.concat(items)))
  -- $1 is the number of a task, $2 the folder.
  local task = ('export LUNERV_JOB="$$ %d $1 $2"; exec %s'):format(call, o.command)
  -- $1 is the number of a task, $2 the file for its output.
  local one = ([[sh -c %s sh "$1" %s </dev/null >"$2" 2>&1; echo "$1 $?"]]):format(quoted(task),
    quoted(o.folder))
  -- A line per second: this process notices Ctrl-C, and the others that this process has ended.
  local script = ([[echo $$
    (trap '' PIPE; while sleep 1; do echo || { kill -INT -$$; exit; }; done) 2>/dev/null &
    xargs -0 -n 2 -P %d -a %s sh -c %s sh
    kill $! 2>/dev/null]]):format(o.jobs, quoted(list), quoted(one))
  local processes = popen(what, "exec setsid sh -c " .. quoted(script))
  local group = processes:read "l"
  if not group then errors.fail("io", "%s: its processes did not start", what) end
  local ended = 0
  local function clean()
    -- Only this process gets Ctrl-C. An interrupt lets the others save their work too; if they
    -- ignore interrupts, as in a script's background, they are terminated.
    if ended < #indices then
      local stop = "exec 2>/dev/null; kill -INT -G; for i in 1 2 3 4 5 6 7 8; do sleep 0.5; "
        .. "kill -0 -G || exit; done; kill -TERM -G"
      os.execute((stop:gsub("G", group)))
    end
    processes:close()
  end
  bridge.on_error(function()
    while ended < #indices do
      native.time() -- stops here when it was interrupted
      local line = processes:read "l"
      if not line then error("the processes have ended without a result", 0) end
      local index, code = line:match "^(%d+) (%d+)$"
      if index then
        ended = ended + 1
        report(math.tointeger(tonumber(index)), math.tointeger(tonumber(code)))
      end
    end
  end, clean)
  clean()
end

-- How a process without a result ended: its last message if there is one, otherwise its exit code
-- and its last line of output.
local function ending(path, code)
  local message, last
  for line in (native.read_file(path) or ""):gmatch "[^\r\n]+" do
    message, last = line:match "^lunerv: (.+)" or message, line
  end
  if message then return message end
  -- The shell adds 128 to the number of a signal.
  return ("it ended without a result (%s %d)%s"):format(code > 128 and "signal" or "exit code",
    code > 128 and code - 128 or code, last and "; its last line: " .. last or "")
end

-- The outcome of a task: { value }, or { error }, an error object.
local function outcome_of(o, index, code)
  local ok, result = errors.attempt(saved.any_table,
    ("%s/result-%d.json"):format(o.folder, index))
  if not ok then return { error = result } end
  if result and not result.error then return { value = result.value } end
  local plain = result and result.error or { kind = "data",
    message = ending(o.logs[index], code) }
  return { error = workers.decode_error(plain) }
end

local function check_integer(what, name, value, least, most)
  if math.type(value) ~= "integer" or value < least or value > most then
    errors.raise("%s: %s: expected an integer from %d to %d, got %s", what, name, least, most,
      tostring(value))
  end
end

-- Checks `jobs`, `retries` and `threads` of a table of options, and gives threads their default.
function workers.check(what, o)
  check_integer(what, "jobs", o.jobs, 1, 256)
  check_integer(what, "retries", o.retries, 0, 100)
  o.threads = o.threads or math.max(1, native.threads() // o.jobs)
  check_integer(what, "threads", o.threads, 1, 256)
end

-- Runs the tasks `indices` of the list o.items, plain data, in up to o.jobs processes with
-- o.threads threads each. A failed task is tried again up to o.retries times. o.logs holds a path
-- for the output of each, or is nil; o.settled counts the tasks of earlier calls. Calls
-- report(index, outcome) for each outcome.
function workers.run(what, call, o, indices, report)
  if #indices == 0 then return end
  o.command = command(what)
  local folder = scratch.folder()
  o.folder = folder.path
  if not o.logs then
    o.logs = {}
    for _, index in ipairs(indices) do o.logs[index] = ("%s/log-%d"):format(o.folder, index) end
  end
  local progress, settled, failed = Progress.new(), o.settled or 0, 0
  local function clean()
    progress:clear()
    folder:remove()
  end
  bridge.on_error(function()
    saved.write(o.folder .. "/tasks.json",
      { items = o.items, threads = o.threads, finished = finished })
    for round = 0, o.retries do
      local again = {}
      start(what, call, o, indices, function(index, code)
        local outcome = outcome_of(o, index, code)
        if outcome.error and round < o.retries then
          again[#again + 1] = index
          return
        end
        settled, failed = settled + 1, failed + (outcome.error and 1 or 0)
        progress:clear()
        report(index, outcome)
        progress:show(("%d of %d done%s"):format(settled, #o.items,
          failed > 0 and (", %d failed"):format(failed) or ""))
      end)
      indices = again
      if #again == 0 then break end
    end
  end, clean)
  clean()
end

return workers
