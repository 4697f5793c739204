-- The other side of `lunerv bench`: PyTorch running the same steps in a separate process, a few at
-- a time, so that both sides see the same temperature and load.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local process <const> = require "lunerv.bench.process"
local scratch <const> = require "lunerv.scratch"

local torch <const> = { variants = { "eager", "jemalloc", "compiled" } }

-- The duration of compilation cannot be predicted.
local compile_minutes <const> = 15

local quoted <const> = process.quoted

local Peer <const> = {}
Peer.__index = Peer

local function command_of(o, subject, variant, script)
  local command = ("%s %s --turns --model %s --size %s --variant %s --warmup %d --threads %d")
    :format(quoted(o.python), quoted(script), o.model, o.size, variant,
      math.min(o.warmup, o.torch_steps), o.threads)
  if subject.fc_dim then command = command .. " --fc-dim " .. subject.fc_dim end
  if o.mode ~= "train" then command = command .. " --" .. o.mode end
  if variant == "compiled" then
    command = ("timeout %d %s"):format(60 * compile_minutes, command)
  end
  return command
end

-- Ends the process in any state. Returns its exit code.
function Peer:close()
  if not self.answers then return nil end
  os.execute("kill " .. self.process .. " 2>/dev/null")
  local _, _, code = self.answers:close()
  self.orders:close()
  self.pipe:remove()
  self.answers = nil
  return code
end

-- The next JSON value in its output; nil and the reason if there is none.
function Peer:answer()
  local line = self.answers:read "l"
  while line do
    local ok, value = pcall(native.json_decode, line)
    if ok and type(value) == "table" then return value end
    if line:match "%S" then self.last = line end
    line = self.answers:read "l"
  end
  native.time() -- notices a Ctrl-C that ended the reading
  local code = self:close()
  if code == 127 then return nil, self.python .. " is not installed" end
  if code == 124 then return nil, ("not done within %d minutes"):format(compile_minutes) end
  return nil, ("%s failed: %s"):format(self.script, self.last or "exit code " .. tostring(code))
end

-- The folder of the scripts for PyTorch.
function torch.folder(o)
  return o.scripts or os.getenv "LUNERV_BENCH_SCRIPTS" or "scripts/bench"
end

-- The path of one of them; nil and the reason not to run it.
function torch.script(o, name)
  if not o.torch then return nil, "--no-torch" end
  local path = torch.folder(o) .. "/" .. name
  if not native.exists(path) then
    return nil, path .. " was not found; --scripts names its folder"
  end
  return path
end

-- Starts PyTorch and waits for its warm-up: a peer for `turn`, or nil and the reason. `o` holds
-- model, size, mode, threads, torch_steps and warmup, and the options of bench.run; `subject`
-- describes our model: fc_dim.
function torch.open(o, subject, variant)
  local script, absent = torch.script(o, "torch_bench.py")
  if not script then return nil, absent end
  if variant == "compiled" and not o.compiled then
    return nil, "only with --compiled: it takes minutes"
  end
  local pipe = scratch.file ".pipe"
  local self = setmetatable({ pipe = pipe, path = pipe.path, python = o.python, script = script },
    Peer)
  if not os.execute(("mkfifo -m 600 %s"):format(quoted(self.path))) then
    pipe:remove()
    return nil, self.path .. ": a named pipe cannot be created"
  end
  -- Open in both directions, so that writing to a dead process raises no signal here.
  self.orders = assert(io.open(self.path, "r+"))
  self.answers = assert(io.popen(("echo $$; exec %s <%s 2>&1"):format(
    command_of(o, subject, variant, script), quoted(self.path))))
  self.process = self.answers:read "l"
  return bridge.on_error(function()
    local first, reason = self:answer()
    if first and first.skipped then reason = first.skipped end
    if not first or first.skipped then
      self:close()
      return nil, reason
    end
    return self
  end, function() self:close() end)
end

function Peer:send(text)
  self.orders:write(text, "\n")
  self.orders:flush()
end

-- Runs `count` steps; nil and a reason on failure.
function Peer:turn(count)
  self:send(count)
  return self:answer()
end

-- The summary of torch_bench.py over all its steps; nil and a reason on failure.
function Peer:finish(subject)
  self:send "end"
  local result, reason = self:answer()
  if not result then return nil, reason end
  self:close()
  if subject.parameters and result.parameters ~= subject.parameters then
    errors.raise("the models differ: %d parameters here, %d in PyTorch", subject.parameters,
      result.parameters)
  end
  return result
end

return torch
