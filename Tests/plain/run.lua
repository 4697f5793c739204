-- Tests of lunerv as a module of a plain Lua 5.4: lua5.4 run.lua LIBRARY. Ends with "plain Lua: N
-- tests passed, M failed".
local library <const> = assert(arg[1], "usage: lua5.4 run.lua LIBRARY")
-- A template without a question mark is the file itself.
package.cpath = library

-- Older than the module: coroutines, functions of the standard library, and an object that is
-- finalised after all of lunerv's.
local old_resume <const>, old_wrap <const> = coroutine.resume, coroutine.wrap
local early <const> = coroutine.create(function()
  local lv = require "lunerv"
  coroutine.yield(lv.ones(3):sum():item())
  return lv.no_grad(function() return lv.is_grad_enabled() end), lv.is_grad_enabled()
end)
local older <const> = old_wrap(function()
  coroutine.yield()
  return require("lunerv").zeros(2, 2):numel()
end)
older()

local passed, failed = 0, 0
local function test(name, body)
  local ok, problem = xpcall(body, debug.traceback)
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
    print(("FAIL %s\n%s"):format(name, tostring(problem)))
  end
end

local function equal(got, expected)
  if got ~= expected then
    error(("expected %s, got %s"):format(tostring(expected), tostring(got)), 2)
  end
end

local function line() return debug.getinfo(2, "l").currentline end

-- Runs a script in an interpreter of its own: what it wrote, and how it ended. `before` are words
-- of the shell.
local function run(script, before)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(("package.cpath = %q\n%s"):format(library, script))
  file:close()
  local pipe = assert(io.popen(("%s lua5.4 %s 2>&1"):format(before or "", path)))
  local text = pipe:read "a"
  local _, how, code = pipe:close()
  os.remove(path)
  return (text:gsub(path:gsub("%p", "%%%0"), "SCRIPT")), how, code
end

test("a coroutine older than the module loads it", function()
  local ok, sum = old_resume(early)
  assert(ok, sum)
  equal(sum, 3.0)
  local _, inside, outside = old_resume(early)
  equal(inside, false)
  equal(outside, true)
end)

local lv <const> = require "lunerv"

test("a coroutine older than the module computes", function() equal(older(), 4) end)

test("what require gives is one module, loaded once more where it was forgotten", function()
  equal(require "lunerv", lv)
  local first = lv.ones(2)
  package.loaded.lunerv = nil
  local again = require "lunerv"
  equal((again.ones(2) + first):sum():item(), 4.0)
  equal(again.nn, lv.nn)
  package.loaded.lunerv = lv
end)

test("errors are objects that name the user's line", function()
  local here = line() + 1
  local ok, problem = pcall(function() return lv.ones(2):conv2d() end)
  equal(ok, false)
  equal(problem.kind, "argument")
  equal(problem.where, arg[0] .. ":" .. here)
  equal(problem.message, "conv2d: argument 1 (weight): expected tensor, got no value")
  local model = lv.nn.Conv2d(3, 8, { kernel = 3 })
  local _, inside = pcall(model, lv.ones(1, 4, 8, 8))
  assert(tostring(inside):find("Conv2d", 1, true), tostring(inside))
end)

test("a script that fails ends with its line", function()
  local text, _, code = run [[
local lv = require "lunerv"
lv.ones(2) :view(3)]]
  equal(code, 1)
  assert(text:find("lua5.4: SCRIPT:3: view", 1, true), text)
end)

test("gradients, also custom ones, and training", function()
  lv.seed(1)
  local double = lv.func {
    forward = function(_, x) return x * 2 end,
    backward = function(_, dy) return dy * 2 end,
  }
  assert(lv.gradcheck(double, { lv.randn(3, 2) }))
  local net = lv.nn.Sequential { lv.nn.Linear(2, 8), "gelu", lv.nn.Linear(8, 1) }
  local optimiser = lv.optim.Adam(net:parameters(), { lr = 1e-2 })
  local x, first, last = lv.randn(32, 2), nil, nil
  for _ = 1, 50 do
    local loss = ((net(x) - x:sum(2, true)) ^ 2):mean()
    optimiser:zero_grad()
    loss:backward()
    optimiser:step()
    last = loss:item()
    first = first or last
  end
  assert(last < first / 2, ("from %g to %g"):format(first, last))
end)

test("coroutines keep no_grad and the user's line for themselves", function()
  local co = coroutine.wrap(function()
    lv.no_grad(function() coroutine.yield(lv.is_grad_enabled()) end)
    error(lv.ones(1).nothing)
  end)
  equal(co(), false)
  equal(lv.is_grad_enabled(), true)
  local ok, problem = pcall(co)
  equal(ok, false)
  assert(tostring(problem):find("run.lua:%d+: "), tostring(problem))
end)

test("ten thousand failing calls leave nothing behind", function()
  local function living()
    collectgarbage()
    collectgarbage()
    local stats = lv.stats()
    return stats.live_tensors, stats.tape_entries
  end
  local x = lv.ones(4, { requires_grad = true })
  local function fail()
    pcall(function() return (x * 2):view(3) end)
    pcall(lv.conv2d, x * 3)
    pcall(lv.no_grad, function() error { x + 1 } end)
  end
  for _ = 1, 100 do fail() end
  local tensors, entries = living()
  for _ = 1, 10000 do fail() end
  local now, then_entries = living()
  equal(now, tensors)
  equal(then_entries, entries)
end)

test("a long loop without a step stays flat", function()
  local text, _, code = run [[
local lv = require "lunerv"
local x = lv.ones(1, 16, 256, 256)
for i = 1, 2000 do local y = (x * i):evaluate() end
local rss = lv.stats().peak_rss_bytes
assert(rss < 1 << 30, rss)
print "flat"]]
  equal(code, 0)
  equal(text, "flat\n")
end)

-- The address space is that of the interpreter and of the libraries, and some hundred megabytes.
local little_memory <const> = "ulimit -v 2000000;"

test("out of memory in a call is an error, and the script continues", function()
  local text, _, code = run([[
local lv = require "lunerv"
lv.set_threads(1)
local path = os.tmpname()
local file = assert(io.open(path, "w"))
local line = ("x"):rep(1 << 20)
for _ = 1, 64 do file:write(line) end
file:close()
local texts, count = {}, 0
local ok, problem = pcall(function()
  for i = 1, 1000 do
    texts[i] = assert(lv.read_file(path))
    count = i
  end
end)
texts = nil
os.remove(path)
print(ok, problem.kind, problem, count > 2, lv.ones(3):sum():item())
collectgarbage()
print(#assert(lv.json.encode { ("y"):rep(1 << 20) }))]], little_memory)
  equal(text, "false\tmemory\tnot enough memory\ttrue\t3.0\n1048580\n")
  equal(code, 0)
end)

-- Starts a script, sends it SIGINT once it has printed "ready", and waits for its end.
local function interrupted(script, count)
  local path, out = os.tmpname(), os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(("package.cpath = %q\n%s"):format(library, script))
  file:close()
  local kills = ("kill -INT $pid; sleep 0.3; "):rep(count or 1)
  -- A background job of a shell ignores Ctrl-C, unless job control is on.
  local command = ([[bash -c 'set -m; lua5.4 %s > %s 2>&1 & pid=$!;
    for i in $(seq 200); do grep -q ready %s && break; sleep 0.05; done; %s
    (sleep 20; kill -KILL $pid) & late=$!
    wait $pid; code=$?; kill -- -$late; exit $code' 2>/dev/null]]):format(path, out, out, kills)
  local began = os.time()
  local _, how, code = os.execute(command)
  local seconds = os.time() - began
  local result <close> = assert(io.open(out))
  local text = result:read "a"
  os.remove(path)
  os.remove(out)
  return (text:gsub(path:gsub("%p", "%%%0"), "SCRIPT")), how, code, seconds
end

for name, body in pairs {
  ["a loop of kernels"] = "while true do x:conv2d(w, nil, { padding = 1 }):sum():item() end",
  ["a loop around pcall"] =
    "while true do pcall(function() while true do x:sum():item() end end) end",
  ["a loop in a coroutine"] = "coroutine.wrap(function() while true do end end)()",
} do
  test("Ctrl-C stops " .. name, function()
    local text, _, code, seconds = interrupted([[
local lv = require "lunerv"
local x, w = lv.ones(1, 8, 64, 64), lv.ones(8, 8, 3, 3)
io.stdout:setvbuf "no"
print "ready"
]] .. body)
    assert(text:find("lua5.4: SCRIPT:6: interrupted", 1, true), text)
    equal(code, 1)
    assert(seconds < 15 * (tonumber(os.getenv "LUNERV_TEST_PATIENCE") or 1), seconds)
  end)
end

test("at the prompt, Ctrl-C ends one line and not the next", function()
  local lines, out = os.tmpname(), os.tmpname()
  os.remove(lines)
  local _, _, code = os.execute(([[bash -c '
    say() { printf "%%s\n" "$1" >&3; }
    mkfifo %s; set -m; lua5.4 -i < %s > %s 2>&1 & pid=$!; exec 3> %s
    say "package.cpath = \"%s\""
    say "lv = require \"lunerv\""
    say "print(\"rea\" .. \"dy\")"
    for i in $(seq 200); do grep -q ready %s && break; sleep 0.05; done
    for i in 1 2; do
      say "for i = 1, 1 << 40 do lv.ones(3):sum():item() end"
      sleep 0.5; kill -INT $pid; sleep 0.3
      say "print(\"sum\", lv.ones($i):sum():item())"
    done
    exec 3>&-
    (sleep 20; kill -KILL $pid) & late=$!
    wait $pid; code=$?; kill -- -$late; exit $code' 2>/dev/null]]):format(lines, lines, out,
    lines, library, out))
  local result <close> = assert(io.open(out))
  local text = result:read "a"
  os.remove(lines)
  os.remove(out)
  local _, stops = text:gsub("stdin:1: interrupted", "")
  assert(stops == 2, text)
  assert(text:find("sum\t1.0", 1, true) and text:find("sum\t2.0", 1, true), text)
  equal(code, 0)
end)

test("finalizers compute while the state is closed", function()
  local text, _, code = run [[
local before = setmetatable({}, { __gc = function()
  -- Older than the module: it is over.
  print(pcall(KEPT.ones, 1))
  print(pcall(tostring, TENSOR))
end })
local lv = require "lunerv"
KEPT, TENSOR = lv, lv.ones(3)
TENSOR.requires_grad = true
local after = setmetatable({ before }, { __gc = function()
  print((TENSOR * 2):sum():item())
  LEFT = lv.zeros(1 << 20)
end })]]
  equal(code, 0)
  local over = "false\tlunerv: the Lua state is being closed\n"
  equal(text, "6.0\n" .. over .. over)
end)

test("a decoder from a file runs in a process of lunerv's, or says what is missing", function()
  local folder = arg[0]:match "(.*)/" or "."
  local file = folder .. "/../lua/files/v1-level3.lnv"
  local script = ([[
local lv = require "lunerv"
local video, problem = lv.codec.open(%q)
print(video and #video or problem.kind, video and video:frame(1).shape[2] or problem.message)
]]):format(file)
  local text = run(script)  -- next to the library, or in the bin of its prefix
  assert(text:find("^%d+\t3\n"), text)
  text = run(script, "LUNERV_DECODER=/nowhere/lunerv")
  assert(text:find("LUNERV_DECODER: '/nowhere/lunerv' is not a program", 1, true), text)
end)

print(("plain Lua: %d tests passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1, true)
