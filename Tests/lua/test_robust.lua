-- Nothing is lost: calls that fail leave nothing behind, a file that cannot be read is not taken
-- for an absent one, and a run neither removes nor continues what is not its own.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local saved <const> = require "lunerv.saved"
local scratch <const> = require "lunerv.scratch"
local segment_files <const> = require "lunerv.compress.segment_files"

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
  raises(function() saved.table(path) end, "plan.json is damaged: omit --resume")
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

test("a new run removes nothing but the files of earlier runs", function()
  local folder <close> = harness.folder()
  local kept = { "joined.mp4", "fit.lua", "network-1.safetensors", "segment-1.json",
    "fit_a/checkpoint-000009.safetensors" }
  local removed = { "joined.json", "network-001.safetensors", "segment-001.json", "segments.json",
    "plan.json", "metrics.json" }
  native.make_dirs(folder.path .. "/fit_a")
  for _, names in ipairs { kept, removed } do
    for _, name in ipairs(names) do assert(lv.write_file(folder.path .. "/" .. name, "{}")) end
  end
  segment_files.forget(folder.path)
  for _, name in ipairs(kept) do
    equal({ name, lv.exists(folder.path .. "/" .. name) }, { name, true })
  end
  for _, name in ipairs(removed) do
    equal({ name, lv.exists(folder.path .. "/" .. name) }, { name, false })
  end
end)

test("a false start does not replace the checkpoints of a long run", function()
  local folder <close> = harness.folder()
  local function begin(steps, seconds)
    local path = ("%s/fit/checkpoint-%06d.safetensors"):format(folder.path, steps)
    assert(lv.save_safetensors(path, { { "x", lv.ones(1) } }))
    assert(lv.write_file(folder.path .. "/plan.json", tostring(steps)))
    assert(lv.write_file(folder.path .. "/fit/run.json", ('{"seconds":%d}'):format(seconds)))
    segment_files.set_aside(folder.path)
    equal(lv.exists(path), false)
  end
  native.make_dirs(folder.path .. "/fit")
  local function previous() return lv.list_dir(folder.path .. "/fit/previous") end
  begin(5000, 900)
  equal(previous(), { "checkpoint-005000.safetensors" })
  equal(lv.read_file(folder.path .. "/previous-plan.json"), "5000")
  begin(3, 2)
  equal(previous(), { "checkpoint-005000.safetensors" })
  equal(lv.read_file(folder.path .. "/previous-plan.json"), "5000")
  begin(40, 900) -- few steps, but long ones
  equal(previous(), { "checkpoint-000040.safetensors" })
end)

test("a run is not resumed with another clip of the same size", function()
  local folder <close> = harness.folder()
  local function clip_of(name, tint)
    local path = folder.path .. "/" .. name
    local writer = assert(lv.video.writer(path, { width = 16, height = 12, fps = 25 }))
    for _ = 1, 4 do writer:write(lv.full(tint, 1, 3, 12, 16)) end
    writer:close()
    return path
  end
  local one, other, same = clip_of("one.mkv", 0.2), clip_of("other.mkv", 0.7),
    clip_of("same.mkv", 0.2)
  for _, words in ipairs { {}, { "--bytes", "9k" }, { "--gop", "2" } } do
    local function run(path, ...)
      local list = table.move(words, 1, #words, 6, { path, "-o", folder.path .. "/clip.lnv",
        "--out", folder.path .. "/work" .. #words })
      for _, word in ipairs { "--strides", "2,2", "--epochs", "1", "--compress-epochs", "1",
        ... } do list[#list + 1] = word end
      local o = lv.options.parse(list,
        { command = "compress_file", usage = "", positional = { "clip" } })
      local clip <close> = assert(lv.video.open(path))
      return assert(lv.compress.file(o.output, clip, o, function() end))
    end
    run(one)
    raises(function() run(other, "--resume") end, "cannot resume", "of another clip")
    run(same, "--resume")
  end
end)
