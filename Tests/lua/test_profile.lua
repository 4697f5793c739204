-- lv.profile: what is charged to whom, its text and its files.
local elements <const> = require "svg"
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"

local equal <const>, near <const> = harness.equal, harness.near
local raises <const>, test <const> = harness.raises, harness.test
local nn <const> = lv.nn

local Block <const> = nn.class "Block"
function Block:init(width) self.conv = nn.Conv2d(width, width, { kernel = 3, padding = 1 }) end

function Block:forward(x) return self.conv(x):sin() + x end

local Net <const> = nn.class "Net"
function Net:init()
  self.head = nn.Conv2d(3, 8, { kernel = 1 })
  self.body = nn.List { Block(8), Block(8) }
end

function Net:forward(x) return self.body[2](self.body[1](self.head(x))) end

local function row_of(list, key, name)
  for _, row in ipairs(list) do
    if row[key] == name then return row end
  end
  error(("no row '%s'"):format(name), 2)
end

local function record_of(report, path, operator, backward)
  for _, record in ipairs(report.records) do
    if record.path == path and record.operator == operator and record.backward == backward then
      return record
    end
  end
  error(("no record of %s in %s"):format(operator, path), 2)
end

local function trained()
  lv.seed(1)
  local net, x = Net(), lv.rand(1, 3, 20, 30)
  return lv.profile(function()
    local loss = lv.mse_loss(net(x), lv.zeros(1, 8, 20, 30))
    loss:backward()
    return loss:item(), "second"
  end)
end

test("a user's block has its path, forward and backward", function()
  local report, loss, second = trained()
  assert(loss > 0)
  equal(second, "second")
  -- 2 · outputs · height · width · inputs · kernel²
  local flops <const> = 2 * 8 * 20 * 30 * 8 * 9
  for _, path in ipairs { "Net.body[1].conv", "Net.body[2].conv" } do
    local forward = record_of(report, path, "conv2d", false)
    equal({ forward.flops, forward.calls }, { flops, 1 })
    equal(record_of(report, path, "conv2d data gradient", true).flops, flops)
    equal(record_of(report, path, "conv2d weight gradient", true).flops, flops)
    assert(row_of(report.modules, "path", path).backward > 0)
  end
  equal(record_of(report, "Net.head", "conv2d", false).flops, 2 * 8 * 20 * 30 * 3)
  assert(record_of(report, "Net.body[1]", "sin", true).seconds > 0)
  assert(record_of(report, "(outside of modules)", "mse_loss", false).calls == 1)
end)

test("the parts sum to the whole", function()
  local report = trained()
  for _, list in ipairs { report.records, report.modules, report.operators } do
    local sum = 0
    for _, row in ipairs(list) do
      assert(row.seconds >= 0)
      sum = sum + row.seconds
    end
    near(sum, report.seconds, 1e-6)
  end
  near(row_of(report.operators, "operator", "Lua").seconds, report.lua_seconds, 0)
  assert(report.lua_seconds > 0 and report.lua_seconds < report.seconds)
end)

test("time is charged to the module that called an operator, not to its reader", function()
  local Asks <const>, Reads <const> = nn.class "Asks", nn.class "Reads"
  function Asks.forward(_, x) return lv.conv2d(x, lv.ones(6, 3, 3, 3)) end

  function Reads.forward(_, x) return x:evaluate() end

  local x, asks, reads = lv.rand(1, 3, 40, 40), Asks(), Reads()
  local report = lv.profile(function() reads(asks(x)) end)
  local flops <const> = 2 * 6 * 38 * 38 * 3 * 9
  equal(record_of(report, "Asks", "conv2d", false).flops, flops)
  equal(row_of(report.modules, "path", "Reads").flops, 0)
  -- Its result, of 8 lanes, is held where it was asked for.
  assert(row_of(report.modules, "path", "Asks").bytes >= 8 * 38 * 38 * 4)
  equal(row_of(report.modules, "path", "Reads").bytes, 0)
  equal(report.peak_path, "Asks")
  assert(report.peak_bytes >= 8 * 38 * 38 * 4)
end)

test("matrices count two for each multiplication, chains one for each element", function()
  local a, b, c = lv.rand(4, 5), lv.rand(5, 7), lv.rand(1, 3, 40, 50)
  local report = lv.profile(function()
    lv.matmul(a, b)
    c:sin():abs():evaluate()
  end)
  equal(row_of(report.operators, "operator", "matmul").flops, 2 * 4 * 5 * 7)
  local chain = row_of(report.operators, "operator", "abs")
  equal({ chain.flops, chain.chains, chain.links }, { 2 * 3 * 40 * 50, 1, 2 })
end)

test("a coroutine is in its own module, and where it was resumed in none", function()
  local Yields <const>, Resumes <const> = nn.class "Yields", nn.class "Resumes"
  function Yields.forward()
    coroutine.yield(lv.zeros(2))
    return lv.zeros(3)
  end

  function Resumes.forward(_, f)
    f()
    return lv.zeros(4)
  end

  local yields, resumes = Yields(), Resumes()
  local function elements_of(report, path)
    return record_of(report, path, "zeros", false).flops
  end
  local report = lv.profile(function()
    local inside = coroutine.wrap(function() return yields() end)
    resumes(inside)
    lv.zeros(10)
    inside()
    lv.zeros(20)
    resumes(coroutine.wrap(function() lv.zeros(100) end))
  end)
  equal(elements_of(report, "Yields"), 2 + 3)
  equal(elements_of(report, "Resumes"), 4 + 4 + 100)
  equal(elements_of(report, "(outside of modules)"), 10 + 20)
end)

test("a module that fails, or moves, is left", function()
  local Fails <const> = nn.class "Fails"
  function Fails.forward() error "on purpose" end

  local fails, block = Fails(), Block(3)
  local x = lv.rand(1, 3, 8, 8)
  local report = lv.profile(function()
    pcall(fails)
    lv.ones(5)
    block(x):evaluate()
    local outer = Net()
    outer.block = block
    block(x):evaluate()
  end)
  equal(record_of(report, "(outside of modules)", "ones", false).flops, 5)
  equal(record_of(report, "Block.conv", "conv2d", false).calls, 1)
  equal(record_of(report, "Net.block.conv", "conv2d", false).calls, 1)
end)

test("without a profile there are no records", function()
  local net, x = Net(), lv.rand(1, 3, 20, 30)
  local before = lv.profile(function() end)
  local count = #before.records
  net(x):mean():backward()
  equal(#before.records, count)
  equal(native.profile_is_on(), false)
  equal(require "lunerv.nn.call_hooks".enter, nil)
  -- Values older than the profile are charged to their reader.
  local pending = net(x)
  local report = lv.profile(function() pending:evaluate() end)
  for _, row in ipairs(report.modules) do equal(row.path, "(outside of modules)") end
end)

test("errors pass, and the next profile starts empty", function()
  raises(function() lv.profile(function() error "on purpose" end) end, "on purpose")
  raises(function() lv.profile(3) end, "test_profile.lua:",
    "profile: expected a function, got number")
  raises(function() lv.profile(print, { row = 3 }) end, "profile: unknown option 'row'")
  raises(function() lv.profile(print, { rows = 0 }) end, "profile: option 'rows'")
  raises(function() lv.profile(function() lv.profile(print) end) end, "is already running")
  local report = lv.profile(function() end)
  raises(function() report:save "p.txt" end, "save: expected a path that ends in .svg or .json")
end)

test("the text has 80 columns at most and as many rows as wanted", function()
  lv.seed(1)
  local net, x = Net(), lv.rand(1, 3, 20, 30)
  net[("long"):rep(30)] = nn.Conv2d(3, 8, { kernel = 1 })
  local report = lv.profile(function()
    net[("long"):rep(30)](x):evaluate()
    net(x):mean():backward()
  end, { rows = 3 })
  local text = tostring(report)
  for line in text:gmatch "[^\n]+" do assert(utf8.len(line) <= 80, line) end
  assert(text:find("\n%d+ more"), text)
  assert(text:find("\nby operator .-\n.-\n.-\n.-\n%d+ more"), text)
end)

test("the flame graph is well-formed, whatever modules are called", function()
  local folder <close> = harness.folder()
  local Hostile <const> = nn.class '<script>alert("1")</script>&\1'
  function Hostile.forward(_, x) return x:sin():evaluate() end

  local hostile, x = Hostile(), lv.rand(1, 3, 64, 64)
  local report = lv.profile(function()
    for _ = 1, 20 do hostile(x) end
  end)
  assert(report:save(folder.path .. "/flame.svg"))
  local svg = assert(native.read_file(folder.path .. "/flame.svg"))
  assert(not svg:find "<script" and not svg:find "\1")
  local titles = 0
  for _, element in ipairs(elements(svg)) do
    if element.name == "title" and element.text:find("&lt;script&gt;", 1, true) then
      titles = titles + 1
    end
  end
  equal(titles, 1)
  assert(not tostring(report):find "\1")
end)

test("everything is in the JSON file", function()
  local folder <close> = harness.folder()
  local report = trained()
  assert(report:save(folder.path .. "/p.json"))
  local read = lv.json.decode(assert(native.read_file(folder.path .. "/p.json")))
  equal(#read.records, #report.records)
  near(read.seconds, report.seconds, 1e-9)
  assert(row_of(read.modules, "path", "Net.body[2].conv").flops > 0)
end)

-- Debuggers -----------------------------------------------------------------------------------

test("a debugger's hook sees the lines of blocks, callbacks and its coroutines", function()
  local lines = {}
  local function hook(_, line) lines[#lines + 1] = line end

  local Line <const> = nn.class "Line"
  local first <const> = debug.getinfo(1, "l").currentline
  function Line.forward(_, x) return x + 1 end -- first + 1

  local block, x = Line(), lv.zeros(2)
  local function seen(body)
    lines = {}
    debug.sethook(hook, "l")
    body()
    debug.sethook()
    local count = 0
    for _, line in ipairs(lines) do
      if line == first + 1 then count = count + 1 end
    end
    return count
  end
  equal(seen(function() block(x) end), 1)
  equal(seen(function() lv.no_grad(function() block(x) end) end), 1)
  -- As in Lua, a coroutine has a separate hook.
  equal(seen(function() coroutine.wrap(function() block(x) end)() end), 0)
  equal(seen(function()
    coroutine.wrap(function()
      debug.sethook(hook, "l")
      block(x)
    end)()
  end), 1)
  equal(debug.gethook(), nil)
end)
