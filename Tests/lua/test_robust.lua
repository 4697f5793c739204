-- Calls that fail leave nothing behind, and a file that cannot be read is not taken for an absent
-- one.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local saved <const> = require "lunerv.saved"
local scratch <const> = require "lunerv.scratch"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local function collect()
  collectgarbage()
  collectgarbage() -- what finalizers let go of
end

test("ten thousand failing calls leave no tensor and no tape entry", function()
  local x, w = lv.randn(1, 3, 8, 8), lv.randn(4, 4, 3, 3)
  x.requires_grad, w.requires_grad = true, true
  local failing = {
    function() return (x * 2):conv2d(w) end,
    function() return x:view(7, -1) end,
    function() return x + lv.zeros(5) end,
    function() return (x * w:sum()):mean():backward(1) end,
    function() return lv.zeros(-1) end,
    function() return lv.cat({ x * 2, w }, 1) end,
    function() return x:sin():backward() end,
    function() return lv.no_grad(function() error(x * 3) end) end,
    function() return lv.json.encode { x } end,
    function() return coroutine.wrap(function() return (x * 2):slice(1, 5, 9) end)() end,
  }
  local function round(count)
    for i = 1, count do
      local ok = pcall(failing[i % #failing + 1])
      if ok then error(("call %d did not fail"):format(i % #failing + 1)) end
    end
    collect()
    local stats = lv.stats()
    return { stats.live_tensors, stats.tape_entries, stats.live_bytes }
  end
  local before = round(100)
  equal(round(10000), before)
end)

test("a file of a run that is there but cannot be read is an error", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/plan.json"
  equal({ saved.bytes(path), saved.table(path), saved.any_table(path) }, {})
  saved.write(path, { epochs = 3 })
  equal(saved.table(path), { epochs = 3 })
  assert(lv.write_file(path, "{"))
  equal(saved.any_table(path), nil)
  raises(function() saved.table(path) end, "plan.json is damaged: without --resume")
  -- A folder cannot be read.
  native.make_dirs(folder.path .. "/best.json")
  for _, read in ipairs { saved.bytes, saved.table, saved.any_table } do
    raises(function() read(folder.path .. "/best.json") end, "best.json")
  end
end)

test("temporary files and folders are removed with all that is in them", function()
  local file, folder = scratch.file ".txt", scratch.folder()
  assert(lv.write_file(file.path, "text"))
  native.make_dirs(folder.path .. "/a/b")
  assert(lv.write_file(folder.path .. "/a/b/c", "text"))
  for _, made in ipairs { file, folder } do
    made:remove()
    made:remove()
    equal({ lv.exists(made.path), lv.exists(made.stem) }, { false, false })
  end
  local made <const> = os.tmpname
  rawset(os, "tmpname", function() error "unable to generate a unique filename" end)
  local ok, problem = pcall(scratch.folder)
  rawset(os, "tmpname", made)
  equal(ok, false)
  assert(tostring(problem):find("a temporary file cannot be created", 1, true), problem)
end)
