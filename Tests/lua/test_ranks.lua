-- Several processes that train together, started by the MPI that is installed: the same bits for
-- any number of them, and errors that name the rank.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local shared_clip <const> = require "shared_clip"

local equal <const>, test <const> = harness.equal, harness.test

local library <const> = native.versions().mpi

-- The mpirun of the library that this program was built with, or nil.
local function launcher()
  if library == "" then return nil end
  local own = library:find "MPICH" and "mpirun.mpich" or "mpirun.openmpi"
  for _, name in ipairs { own, "mpirun" } do
    local pipe <close> = assert(io.popen(("command -v %s"):format(name)))
    if pipe:read "l" then return name end
  end
end
local mpirun <const> = launcher()

if not mpirun then
  print(library == "" and "skipped: ranks (built without MPI: swift build --traits MPI)"
    or "skipped: ranks (no mpirun on PATH)")
  return
end

local function program()
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  return pipe:read "l"
end

-- Runs a script on a number of ranks, more than there are cores; what they said, and the exit code.
local function ranks(count, text, folder, words)
  local path = folder.path .. "/script.lua"
  assert(lv.write_file(path, text))
  local line = ("cd '%s' && OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
    .. "OMPI_MCA_rmaps_base_oversubscribe=1 LUNERV_RANK_OUTPUT=all %s -n %d '%s' run %s %s 2>&1 "
    .. "</dev/null"):format(folder.path, mpirun, count, program(), path, words or "")
  local output = assert(io.popen(line))
  local said = output:read "a"
  local _, _, code = output:close()
  return said, code
end

-- What one process says without mpirun.
local function alone(text, folder, words)
  local path = folder.path .. "/script.lua"
  assert(lv.write_file(path, text))
  local output = assert(io.popen(("cd '%s' && '%s' run %s %s 2>&1"):format(folder.path, program(),
    path, words or "")))
  return output:read "a"
end

-- Trains, and says the values that it ends with. Words: batch, optimiser, folder, whether it
-- resumes, the step after which it fails.
local training <const> = [[
local lv = require "lunerv"
lv.set_threads(1)
local clip = { height = 12, width = 16, images = {} }
lv.seed(11)
for i = 1, 5 do clip.images[i] = lv.rand(1, 3, 12, 16) end
function clip:sample(i) return { image = self.images[i], t = i / 5, index = i } end
function clip:prefetch() end
setmetatable(clip, { __len = function() return 5 end })
local Net = lv.nn.class "Net"
function Net:init()
  lv.seed(5)
  self.first = lv.nn.Conv2d(3, 9, 3, { padding = 1 })
  self.last = lv.nn.Conv2d(9, 3, 3, { padding = 1 })
  self.drop = lv.nn.Dropout(0.2)
end
function Net:reconstruct(frame)
  return self.last(self.drop(self.first(frame.image) * frame.t):relu())
end
local model, fails = Net(), tonumber(arg[5])
local run = lv.train {
  model = model, clip = clip, steps = 8, batch = tonumber(arg[1]) // 1 | 0, optimiser = arg[2],
  lr = 0.01, loss = "l2", clip_grad = 0.05, ema = 0.9, guard = true, out = arg[3],
  resume = arg[4] == "resume", checkpoint_steps = 3, seed = 3, frames = false,
  on_step = function(e) if e.step == fails then error("failed on purpose", 0) end end,
}
local text = ("%.17g"):format(run.metrics.psnr)
for _, p in ipairs(model:parameters()) do
  text = text .. (" %.17g %.17g"):format(p:detach():sum():item(), p:detach():abs():max():item())
end
for _, values in ipairs(lv.dist.gather(text)) do assert(values == text) end
if lv.dist.rank() == 0 then print("values", text) end
]]

local function values(said)
  return said:match "values\t([^\n]*)" or error(said, 0)
end

test("any number of ranks trains to the bits of one process", function()
  local folder <close> = harness.folder()
  for _, optimiser in ipairs { "muon", "adan" } do
    local whole = values(alone(training, folder, "4 " .. optimiser))
    for _, count in ipairs(optimiser == "muon" and { 1, 2, 3, 4, 8 } or { 3 }) do
      equal(values((ranks(count, training, folder, "4 " .. optimiser))), whole)
    end
  end
end)

test("each rank judges its part of the frames, to the bits of one process", function()
  local folder <close> = harness.folder()
  local text = training:gsub("function Net:reconstruct%(frame%)", [[%0
    if not lv.is_grad_enabled() then self.judged = (self.judged or 0) + 1 end]])
    :gsub("out = arg%[3%]", "out = arg[3], eval_every = 1")
    :gsub("frames = false", "frames = true") .. [[
    text = ("%.17g %.17g"):format(run.metrics.ms_ssim, run.metrics.psnr_8bit)
    for _, e in ipairs(run.record and run.record.history or {}) do
      text = text .. (" %.17g"):format(e.psnr)
    end
    if lv.dist.rank() == 0 then print("all", text) end
    print("judged", lv.dist.rank(), model.judged)
  ]]
  local function all(said) return said:match "all\t([^\n]*)" or error(said, 0) end
  local whole = alone(text, folder, "4 sgd one")
  assert(whole:find("judged\t0\t20", 1, true), whole)
  for _, count in ipairs { 2, 3, 4 } do
    local said = ranks(count, text, folder, ("4 sgd %d"):format(count))
    equal({ all(said), values(said) }, { all(whole), values(whole) })
    equal(#lv.list_dir(("%s/%d/frames"):format(folder.path, count)), 6)
    -- Four evaluations of five frames, and three of them once more for the page.
    if count == 3 then
      for rank, judged in ipairs { 11, 8, 4 } do
        assert(said:find(("judged\t%d\t%d"):format(rank - 1, judged), 1, true), said)
      end
    end
  end
  -- A model that draws random numbers in an evaluation depends on the previous frames.
  local drawing = training:gsub("lv.nn.Dropout%(0.2%)", "lv.nn.Dropout(0.2, { training = true })")
  equal(values((ranks(3, drawing, folder, "4 sgd"))), values(alone(drawing, folder, "4 sgd")))
end)

test("a run resumes with another number of ranks", function()
  local folder <close> = harness.folder()
  local whole = values(alone(training, folder, "3 soap"))
  local said, code = ranks(3, training, folder, "3 soap run no 5")
  equal(code, 1)
  assert(said:find("failed on purpose", 1, true), said)
  equal(values((ranks(2, training, folder, "3 soap run resume"))), whole)
  local again = ranks(4, training, folder, "2 soap run resume")
  assert(again:find("option 'batch' is 3", 1, true), again)
end)

test("a custom optimiser gets the gradients on every rank", function()
  local folder <close> = harness.folder()
  local text = training:gsub('optimiser = arg%[2%]', [[optimiser = function(net, o)
    local plain = lv.optim.SGD(net:parameters(), o)
    return { lr = o.lr, zero_grad = function() plain:zero_grad() end,
      step = function(self) plain.lr = self.lr; plain:step() end,
      state = function() return plain:state() end,
      load_state = function(_, state) plain:load_state(state) end }
  end]])
  equal(values((ranks(3, text, folder, "4 own"))), values(alone(text, folder, "4 own")))
end)

test("an error of one rank's frame ends all, and names it", function()
  local folder <close> = harness.folder()
  local text = training:gsub("function Net:reconstruct%(frame%)", [[%0
    if lv.dist.rank() == 1 then error("no such frame", 0) end]])
  local said, code = ranks(3, text, folder, "3 sgd")
  equal(code, 1)
  assert(said:find("rank 1 (", 1, true) and said:find("no such frame", 1, true), said)
end)

test("a step that fails leaves nothing that the next one could take for its own", function()
  local folder <close> = harness.folder()
  local whole = values(alone(training, folder, "4 muon"))
  -- Rank 0 has sent gradients when rank 1 fails, and so has every rank when the loss is judged.
  local text = training:gsub("local run = lv.train", [[
    local function fail(steps)
      local failing, calls = Net(), 0
      function failing:reconstruct(frame)
        calls = calls + 1
        if steps == 1 and lv.dist.rank() == 1 and calls == 2 then error("no such frame", 0) end
        return Net.reconstruct(self, frame) * (calls > 4 and 0 / 0 or 1)
      end
      local ok, problem = pcall(lv.train, { model = failing, clip = clip, steps = steps, batch = 4,
        optimiser = "muon", lr = 0.01, loss = "l2" })
      print("failed", ok, problem)
    end
    fail(1)
    fail(4)
    %0]])
  local said, code = ranks(2, text, folder, "4 muon")
  equal({ values(said), code }, { whole, 0 })
  assert(select(2, said:gsub("failed\tfalse\t[^\n]*no such frame", "")) == 2, said)
  assert(select(2, said:gsub("failed\tfalse\t[^\n]*the loss became", "")) == 2, said)
end)

test("ranks with different options are an error that names them", function()
  local folder <close> = harness.folder()
  local text = training:gsub("lr = 0.01", "lr = 0.01 * (1 + lv.dist.rank())")
  local said, code = ranks(2, text, folder, "2 sgd")
  assert(code ~= 0 and said:find("ranks differ: options.lr is 0.01 on rank 0", 1, true), said)
end)

test("a rank that does not come is named within the deadline", function()
  local folder <close> = harness.folder()
  local said, code = ranks(2, [[
    local lv = require "lunerv"
    lv.dist.set_deadline(1)
    local began = lv.time()
    if lv.dist.rank() == 1 then while lv.time() - began < 20 do end end
    lv.dist.barrier()
  ]], folder)
  equal(code, 1)
  assert(said:find("barrier: rank 1 (", 1, true) and said:find("did not answer rank 0", 1, true),
    said)
end)

test("ranks at different collectives are an error", function()
  local folder <close> = harness.folder()
  local said, code = ranks(2, [[
    local lv = require "lunerv"
    if lv.dist.rank() == 1 then lv.dist.barrier() else lv.dist.gather(1) end
  ]], folder)
  assert(code ~= 0 and said:find("called different collectives", 1, true), said)
end)

test("values are gathered, broadcast and added", function()
  local folder <close> = harness.folder()
  local said, code = ranks(3, [[
    local lv = require "lunerv"
    local dist = lv.dist
    local rank, size = dist.rank(), dist.size()
    assert(size == 3)
    local list = dist.gather { rank = rank, text = ("x"):rep(rank) }
    for i = 1, 3 do assert(list[i].rank == i - 1 and #list[i].text == i - 1) end
    assert(dist.gather("\0\255" .. rank)[3] == "\0\2552")
    local tensors = dist.gather(lv.full(rank, 2, rank + 1))
    assert(tensors[3]:size(2) == 3 and tensors[2]:sum():item() == 4)
    assert(dist.broadcast(rank, 2) == 2)
    assert(dist.broadcast(rank == 1 and lv.ones(3) or nil, 1):sum():item() == 3)
    assert(dist.sum(rank) == 3 and dist.sum(0.5) == 1.5)
    local sums = dist.sum { lv.full(rank, 5), lv.tensor({ rank, 1 }, { dtype = "i32" }) }
    assert(sums[1]:sum():item() == 15 and sums[2]:tolist()[2] == 3)
    -- The order is the ranks': the sum is the same everywhere, to the bit.
    lv.seed(rank)
    local x = lv.randn(1000)
    local parts = dist.gather(x)
    assert(dist.sum(x):eq((parts[1] + parts[2]) + parts[3]):amin():item() == 1)
    local w = lv.nn.parameter(lv.ones(4))
    ;(w * (rank + 1)):sum():backward()
    dist.sum_gradients { w }
    assert(w.grad:tolist()[1] == 6)
    dist.barrier()
    print "fine"
  ]], folder)
  equal(code, 0)
  equal(select(2, said:gsub("fine", "")), 3)
end)

test("in a loop over a queue each rank trains alone", function()
  local folder <close> = harness.folder()
  local one = values(alone(training, folder, "2 sgd"))
  -- The last rank does the item before the others look for one.
  local text = training:gsub("local Net =", [[
    local function each()
      return lv.dist.queue({ "item" }, { folder = "queue" })
    end
    if lv.dist.rank() < 2 then lv.dist.barrier() end
    for item in each() do
      local Net =]]):gsub('for _, values in ipairs%(lv.dist.gather%(text%)%) .-$', [[
      print("values", text)
      local ok, problem = pcall(lv.dist.gather, 1)
      print("refused", ok, problem)
    end
    if lv.dist.rank() == 2 then lv.dist.barrier() end
    print("ranks", #lv.dist.gather(1), lv.dist.size())
  ]])
  local said, code = ranks(3, text, folder, "2 sgd")
  equal({ values(said), code }, { one, 0 })
  assert(said:find("refused\tfalse\t[^\n]*outside of a loop over dist.queue"), said)
  equal(select(2, said:gsub("ranks\t3\t3", "")), 3)
end)

test("a signal to one rank stops all, with a checkpoint", function()
  local folder <close> = harness.folder()
  local text = training:gsub("steps = 8", "steps = 100000"):gsub(
    "on_step = function%(e%)", [[%0
    if e.step == 20 and lv.dist.rank() == 1 then os.execute "kill -TERM $PPID" end]])
  local said, code = ranks(2, text, folder, "2 sgd run")
  -- The code of the rank that ended first.
  assert(code == 143 or code == 130, code)
  assert(said:find("resume continues there", 1, true), said)
  assert(lv.exists(folder.path .. "/run/checkpoint-000020.safetensors"), said)
end)

test("the cost of ranks is measured against independent processes", function()
  local folder <close> = harness.folder()
  local line = ("cd '%s' && OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
    .. "OMPI_MCA_rmaps_base_oversubscribe=1 LUNERV_MPIRUN=%s '%s' bench --ranks 2 --model hnerv "
    .. "--size 180p --steps 1 --json 2>&1"):format(folder.path, mpirun, program())
  local output <close> = assert(io.popen(line))
  local text = output:read "a"
  local ok, result = pcall(lv.json.decode, text)
  assert(ok, text)
  equal({ result.ranks, result.model, result.size }, { 2, "hnerv", "180p" })
  -- Each of two ranks sends about half of the gradients, and half of the parameters.
  assert(result.share > 0 and result.bytes_per_step > 1e5 and result.latency > 0, text)
  equal({ #result.scale, result.scale[1].ranks, result.scale[8].ranks }, { 8, 2, 256 })
  assert(result.scale[1].share < 1 and result.scale[8].share < result.scale[1].share, text)
end)

for _, work in ipairs { "segments", "batch" } do
  test(("ranks that share %s are compared with processes of their own"):format(work), function()
    local folder <close> = harness.folder()
    shared_clip.words(folder, 16)
    local line = ("cd '%s' && OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      .. "OMPI_MCA_rmaps_base_oversubscribe=1 LUNERV_MPIRUN=%s '%s' bench --ranks 2 --work %s "
      .. "--steps 2 --json clip.mkv 2>&1"):format(folder.path, mpirun, program(), work)
    local output <close> = assert(io.popen(line))
    local text = output:read "a"
    local ok, result = pcall(lv.json.decode, text)
    assert(ok, text)
    equal({ result.work, result.pieces, result.frames_per_piece, result.passes }, { work, 8, 2, 2 })
    assert(result.share > 0 and result.alone_frames_per_second > 0, text)
  end)
end

test("a step of many ranks is modelled from one exchange, bytes and bandwidth", function()
  local model <const> = require("lunerv.bench.ranks").model
  -- Two ranks sent 3 MB each, so all of it is 6 MB.
  local measured = { ranks = 2, seconds_alone = 1, latency = 0.001, bytes_per_step = 3e6,
    bandwidth = 1e6 }
  equal(model(measured, 1), 1.0)
  harness.near(model(measured, 2), 1 + 0.002 + 3, 1e-9)
  harness.near(model(measured, 4), 1 + 0.006 + 4.5, 1e-9)
end)

test("fewer frames than ranks, and threads that differ, change nothing", function()
  local folder <close> = harness.folder()
  local text = training:gsub("lv.set_threads%(1%)", "lv.set_threads(1 + lv.dist.rank() %% 3)")
  equal(values((ranks(6, text, folder, "7 adam"))), values(alone(training, folder, "7 adam")))
  equal(values((ranks(3, text, folder, "1 adam"))), values(alone(training, folder, "1 adam")))
end)

-- `lunerv compress`; the rank that finishes segment arg[1] fails.
local compress <const> = [[
local show, fails = print, table.remove(arg, 1)
function print(line)
  show(line)
  if line:find("segment " .. fails .. " of %d+: %d+ bytes") then error("failed on purpose", 0) end
end
require("lunerv.commands").compress(arg)
]]

test("ranks share the segments of a clip, and resume with another number of them", function()
  local folder <close> = harness.folder()
  local words = shared_clip.words(folder, 8) .. "--gop 2 --chain 2 --bytes 12000 "
  alone(compress, folder, "none " .. words .. "-o alone.lnv")
  local whole = assert(lv.read_file(folder.path .. "/alone.lnv"))
  local function expect_whole(name)
    assert(lv.read_file(("%s/%s"):format(folder.path, name)) == whole, name .. " differs")
  end
  for _, count in ipairs { 2, 3 } do
    local said, code = ranks(count, compress, folder, "none " .. words .. "-o ranks.lnv")
    equal(code, 0)
    assert(said:find("4 segments in 2 chains", 1, true), said)
    expect_whole "ranks.lnv"
    assert(os.remove(folder.path .. "/ranks.lnv"))
  end
  local said, code = ranks(2, compress, folder, "4 " .. words .. "-o parts.lnv")
  assert(code == 1 and said:find("failed on purpose", 1, true), said)
  equal(lv.exists(folder.path .. "/parts.lnv.work/segment-003.json"), true)
  equal(lv.exists(folder.path .. "/parts.lnv"), false)
  said, code = ranks(3, compress, folder, "none " .. words .. "-o parts.lnv --resume")
  assert(code == 0 and said:find("segment 3 of 4: already done", 1, true), said)
  expect_whole "parts.lnv"
end)

test("several ranks refuse a clip without segments", function()
  local folder <close> = harness.folder()
  local said, code = ranks(2, compress, folder, "none " .. shared_clip.words(folder, 4)
    .. "-o a.lnv")
  assert(code == 2 and said:find("expected --gop or --scene-cuts", 1, true), said)
  equal(lv.exists(folder.path .. "/a.lnv"), false)
end)
