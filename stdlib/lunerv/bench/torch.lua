-- The other side of `lunerv bench`: PyTorch doing the same in a process of its own.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local torch <const> = { variants = { "eager", "jemalloc", "compiled" } }

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Runs a command; returns what it wrote and its exit code. Ctrl-C ends it too.
local function run(command)
  local pipe <close> = assert(io.popen("echo $$; exec " .. command .. " 2>&1"))
  local process = pipe:read "l"
  local text = bridge.finally(function()
    local all = pipe:read "a"
    native.time() -- where a Ctrl-C that ended the reading is noticed
    return all
  end, function() os.execute("kill " .. process .. " 2>/dev/null") end)
  local _, _, code = pipe:close()
  return text or "", code
end

-- The object that torch_bench.py printed, or nil and why there is none.
local function ask(o, fc_dim, variant)
  local folder = o.scripts or os.getenv "LUNERV_BENCH_SCRIPTS" or "scripts/bench"
  local script = folder .. "/torch_bench.py"
  if not native.exists(script) then
    return nil, script .. " is not there; --scripts says where it is"
  end
  local command = ("%s %s --model %s --size %s --variant %s --steps %d --warmup %d --threads %d")
    :format(quoted(o.python), quoted(script), o.model, o.size, variant, o.torch_steps, o.warmup,
      o.threads)
  if fc_dim then command = command .. " --fc-dim " .. fc_dim end
  if o.mode == "decode" then command = command .. " --decode" end
  local text, code = run(command)
  local last
  for line in text:gmatch "[^\n]+" do
    if line:match "%S" then last = line end
  end
  if code == 127 then return nil, o.python .. " is not installed" end
  local ok, result = pcall(native.json_decode, last or "")
  if code ~= 0 or not ok or type(result) ~= "table" then
    return nil, ("%s failed: %s"):format(script, last or "exit code " .. tostring(code))
  end
  if result.skipped then return nil, result.skipped end
  return result
end

-- Every variant's answer to what lunerv did: a list of { name, result, reason }, where `result` is
-- what torch_bench.py printed, or `reason` says why there is none. `o` holds model, size, mode,
-- threads, torch_steps and warmup, and the options of bench.run; `ours` holds fc_dim and
-- parameters, which must agree. `show(text)` is told how far it is.
function torch.ask_all(o, ours, show)
  local answers = {}
  for _, name in ipairs(torch.variants) do
    local answer = { name = name }
    answers[#answers + 1] = answer
    if not o.torch then
      answer.reason = "--no-torch"
    elseif name == "compiled" and not o.compiled then
      answer.reason = "only with --compiled: it takes minutes"
    else
      show("PyTorch: " .. name)
      answer.result, answer.reason = ask(o, ours.fc_dim, name)
    end
    if answer.result and answer.result.parameters ~= ours.parameters then
      errors.raise("the models differ: %d parameters here, %d in PyTorch", ours.parameters,
        answer.result.parameters)
    end
  end
  return answers
end

return torch
