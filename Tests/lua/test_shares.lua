-- A batch, a queue and a clip's segments that several processes share: every piece is done once,
-- those of a process that dies by another, and all end with the same manifest or file.
local claims <const> = require "lunerv.claims"
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local pieces <const> = require "lunerv.pieces"
local shared_clip <const> = require "shared_clip"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local function program()
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  return pipe:read "l"
end

-- Runs a script in several processes at once; what each said.
local function several(count, text, folder, words)
  assert(lv.write_file(folder.path .. "/script.lua", text))
  local pipes, said = {}, {}
  for i = 1, count do
    pipes[i] = assert(io.popen(("cd '%s' && '%s' run script.lua %s %d 2>&1"):format(folder.path,
      program(), words or "", i)))
  end
  for i, pipe in ipairs(pipes) do
    said[i] = pipe:read "a"
    pipe:close()
  end
  return said
end

test("a claim is one process's, and beats while it lives", function()
  local folder <close> = harness.folder()
  local ours, theirs = claims.open(folder.path, 60), claims.open(folder.path, 60)
  local claim = assert(ours:take "piece")
  equal(theirs:take "piece", nil)
  assert(theirs:take "other"):release()
  local path = folder.path .. "/piece.claim-1"
  local before = assert(lv.read_file(path))
  for _ = 1, 20 do
    native.sleep(0.5)
    if lv.read_file(path) ~= before then break end
  end
  assert(lv.read_file(path) ~= before)
  claim:release()
  equal(lv.exists(path), false)
  assert(theirs:take "piece"):release()
end)

test("a claim that stops becomes free, and one of an ended process at once", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/piece.claim-1"
  assert(lv.write_file(path, "elsewhere 1 1\n7\n"))
  local list = claims.open(folder.path, 0.2)
  equal(list:take "piece", nil)
  native.sleep(0.3)
  local claim = assert(list:take "piece")
  equal(lv.exists(folder.path .. "/piece.claim-2"), true)
  claim:release()
  list:clear "piece"
  equal(lv.list_dir(folder.path), {})
  -- No process of this machine has this number and that start.
  assert(lv.write_file(path, ("%s %d 1\n7\n"):format((native.process_name()), 1)))
  assert(claims.open(folder.path, 1e9):take "piece"):release()
end)

test("a queue gives each item to one process, and those of one that died to another", function()
  local folder <close> = harness.folder()
  local said = several(3, [[
    local lv, native = require "lunerv", require "lunerv.native"
    local items, mine = {}, {}
    for i = 1, 9 do items[i] = "item " .. i end
    for item, i in lv.dist.queue(items, { folder = "queue" }) do
      assert(item == "item " .. i)
      -- The third process dies at its first item.
      if arg[1] == "3" then os.execute "kill -9 $PPID" end
      native.sleep(0.05)
      mine[#mine + 1] = i
    end
    for _, i in ipairs(mine) do print("did", i) end
  ]], folder)
  local counts = {}
  for number in table.concat(said):gmatch "did\t(%d+)" do
    counts[tonumber(number)] = (counts[tonumber(number)] or 0) + 1
  end
  for i = 1, 9 do equal({ i, counts[i] }, { i, 1 }) end
  -- What is done stays done.
  equal(several(1, 'print(lv)', folder)[1]:match "did", nil)
end)

test("a queue of one process needs no folder, and refuses what it cannot do", function()
  local seen = {}
  for item, i in lv.dist.queue { "a", "b" } do seen[i] = item end
  equal(seen, { "a", "b" })
  raises(function() lv.dist.queue("x") end, "dist.queue: items")
  raises(function() lv.dist.queue({}, { folder = "x", deadline = 0 }) end, "seconds above 0")
end)

test("a process that is interrupted releases what it has", function()
  local working <const> = {
    queue = [[for _ in lv.dist.queue({ 1, 2 }, { folder = "out" }) do work() end]],
    batch = [[lv.batch { clips = { "one.mkv" }, out = "out", share = true, each = work }]],
  }
  for name, text in pairs(working) do
    local folder <close> = harness.folder()
    assert(lv.write_file(folder.path .. "/script.lua", [[
      local lv, native = require "lunerv", require "lunerv.native"
      local function work()
        assert(lv.write_file("held", table.concat(lv.list_dir "out", " ")))
        while true do native.sleep(0.1) end
      end
    ]] .. text))
    local output <close> = assert(io.popen(([[cd '%s'; '%s' run script.lua 2>&1 &
      for i in $(seq 600); do [ -e held ] && break; sleep 0.1; done
      kill -INT $!; wait $!]]):format(folder.path, program())))
    local said = output:read "a"
    local held = assert(lv.read_file(folder.path .. "/held"))
    assert(held:find(".claim-1", 1, true), held)
    local left = table.concat(lv.list_dir(folder.path .. "/out"), " ")
    assert(not left:find(".claim-", 1, true), name .. ": " .. left .. "\n" .. said)
  end
end)

local batch <const> = [[
local lv, native = require "lunerv", require "lunerv.native"
local way = arg[1]
local result = lv.batch {
  clips = { "one.mkv", "two.mkv", "three.mkv", "four.mkv", "bad.mkv" }, out = "out",
  share = way == "share" or nil, merge = way == "merge",
  part = way == "part" and { tonumber(arg[2]) // 1 | 0, 2 } or nil,
  each = function(clip, out)
    if clip:find "bad" then error("no such clip", 0) end
    native.sleep(0.2)
    assert(lv.write_file(out .. ".txt", clip))
    local log <close> = assert(io.open("made", "a"))
    log:write(clip, "\n")
    return { length = #clip }
  end,
}
print(("%d done, %d failed"):format(result.done, result.failed))
]]

local function made(folder)
  local names = {}
  for name in assert(lv.read_file(folder.path .. "/made")):gmatch "[^\n]+" do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

test("processes that share a batch do each clip once, and end with one manifest", function()
  local folder <close> = harness.folder()
  local said = several(3, batch, folder, "share")
  for _, text in ipairs(said) do assert(text:find("4 done, 1 failed", 1, true), text) end
  equal(made(folder), { "four.mkv", "one.mkv", "three.mkv", "two.mkv" })
  local rows = lv.json.decode(assert(lv.read_file(folder.path .. "/out/manifest.json"))).clips
  equal(#rows, 5)
  for _, row in ipairs(rows) do
    equal(row.status, row.clip == "bad.mkv" and "failed" or "done")
    if row.clip == "bad.mkv" then equal(row.message, "no such clip") end
  end
  for _, name in ipairs(lv.list_dir(folder.path .. "/out")) do
    assert(not name:find "claim", name)
  end
end)

test("parts of a batch are merged", function()
  local folder <close> = harness.folder()
  several(2, batch, folder, "part")
  equal(#made(folder), 4)
  local merged = several(1, batch, folder, "merge")[1]
  assert(merged:find("4 done, 1 failed", 1, true), merged)
  equal(#made(folder), 4)
  -- What failed may be tried again by the next part.
  equal(lv.exists(folder.path .. "/out/bad.failed.json"), false)
end)

test("a process that stood still for long has lost its piece", function()
  local folder <close> = harness.folder()
  local done, seen = {}, {}
  local list = pieces.open(folder.path, 60, { "a", "b" }, function(i) return done[i] end, { 2, 1 })
  for i in list:each(function(i) done[i] = true end) do
    seen[#seen + 1] = i
    equal(list:is_held(), true)
    -- Another process has taken it meanwhile.
    local path = ("%s/%s.claim-2"):format(folder.path, i == 2 and "b" or "a")
    assert(lv.write_file(path, "elsewhere 1 1\n7\n"))
    equal(list:is_held(), false)
  end
  equal(seen, { 2, 1 })
  equal(lv.list_dir(folder.path), {})
end)

-- `lunerv compress`, which the first word ends in the middle of a segment: "KILL" or "TERM".
local compress <const> = [[
local show, signal = print, table.remove(arg, 1)
function print(line)
  show(line)
  if signal ~= "live" and line:find("fitted", 1, true) then
    os.execute("kill -" .. signal .. " $PPID")
  end
end
arg[#arg] = nil -- the number of the process
require("lunerv.commands").compress(arg)
]]

test("processes that share a clip write the file of one, also where one dies", function()
  local folder <close> = harness.folder()
  local words = shared_clip.words(folder, 5) .. "--gop 2 --no-warm-start --bytes 9000 "
  local alone = several(1, compress, folder, "live " .. words .. "-o alone.lnv")[1]
  local whole = assert(lv.read_file(folder.path .. "/alone.lnv"), alone)
  local share = words .. "-o shared.lnv --share"
  local work = folder.path .. "/shared.lnv.work/"
  local stopped = several(1, compress, folder, "TERM " .. share)[1]
  assert(stopped:find("interrupted", 1, true), stopped)
  equal(lv.exists(work .. "segment-001.claim-1"), false)
  local died = several(1, compress, folder, "KILL " .. share)[1]
  assert(died:find("segment 1 of 3: fitted", 1, true), died)
  equal(lv.exists(work .. "segment-001.claim-1"), true)
  equal(lv.exists(work .. "segment-001.json"), false)
  local did = {}
  for _, said in ipairs(several(2, compress, folder, "live " .. share)) do
    assert(said:find("3 segments in 3 chains", 1, true), said)
    for text in said:gmatch "segment (%d) of 3: frames" do
      local k = math.tointeger(tonumber(text))
      did[k] = (did[k] or 0) + 1
    end
  end
  equal(did, { 1, 1, 1 })
  assert(lv.read_file(folder.path .. "/shared.lnv") == whole)
  for _, name in ipairs(lv.list_dir(work)) do assert(not name:find "claim", name) end
  -- A process that starts too late finds everything done.
  local late = several(1, compress, folder, "live " .. share)[1]
  assert(not late:find("frames 1", 1, true), late)
  assert(lv.read_file(folder.path .. "/shared.lnv") == whole)
  local other = several(1, compress, folder, "live " .. share .. " --gop 3")[1]
  assert(other:find("cannot resume", 1, true) and other:find("'gop' is 2", 1, true), other)
end)

test("a clip of one segment is one process's", function()
  local folder <close> = harness.folder()
  local words = shared_clip.words(folder, 2) .. "--gop 2 "
  several(1, compress, folder, "live " .. words .. "-o alone.lnv")
  local whole = assert(lv.read_file(folder.path .. "/alone.lnv"))
  local did = 0
  for _, said in ipairs(several(2, compress, folder, "live " .. words .. "-o b.lnv --share")) do
    assert(said:find("b.lnv: " .. #whole .. " bytes", 1, true), said)
    if said:find("fitted", 1, true) then did = did + 1 end
  end
  equal(did, 1)
  assert(lv.read_file(folder.path .. "/b.lnv") == whole)
end)

test("what processes cannot share is refused, with what to do", function()
  local folder <close> = harness.folder()
  local words = "live " .. shared_clip.words(folder, 4) .. "-o a.lnv --share "
  local said = several(1, compress, folder, words)[1]
  assert(said:find("expected --gop or --scene-cuts", 1, true), said)
  said = several(1, compress, folder, words .. "--gop 2 --minutes 1")[1]
  assert(said:find("no limit of time", 1, true) and said:find("--epochs", 1, true), said)
  equal(lv.exists(folder.path .. "/a.lnv"), false)
end)
