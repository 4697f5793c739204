-- scripts/batch.lua, rd_curve.lua and compare.lua, run by the program itself on tiny clips.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, test <const> = harness.equal, harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."
local options <const> = "--strides 2,2 --epochs 1 --compress-epochs 1"

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Runs the program with the words; returns what it printed and its exit code.
local function lunerv(words)
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  local program = pipe:read "l"
  local output = assert(io.popen(quoted(program) .. " " .. words .. " 2>&1"))
  local text = output:read "a"
  local _, _, code = output:close()
  return text, code
end

local function script(name, words)
  return lunerv(("run %s %s"):format(quoted(root .. "/scripts/" .. name), words))
end

local function write_clip(path, phase)
  local writer = assert(lv.video.writer(path, { width = 50, height = 40, fps = 25 }))
  local x, y = lv.arange(1, 50):view(1, 1, 1, 50), lv.arange(1, 40):view(1, 1, 40, 1)
  local tints = lv.tensor({ 0, 1, 2 }):view(1, 3, 1, 1)
  for i = 1, 3 do writer:write((x * 0.1 + y * 0.07 + tints + i * phase):sin() * 0.4 + 0.5) end
  writer:close()
end

test("a batch skips the clip that fails, says so, and resumes", function()
  local folder <close> = harness.folder()
  local clips, out = folder.path .. "/clips", folder.path .. "/out"
  lv.make_dirs(clips)
  write_clip(clips .. "/it's one.mkv", 0.2)
  write_clip(clips .. "/two.mkv", 0.4)
  assert(lv.write_file(clips .. "/broken.mp4", "no video"))
  assert(lv.write_file(clips .. "/notes.txt", "no clip either"))
  local words = ("%s --out %s --jobs 2 --bytes 4k %s"):format(quoted(clips), quoted(out), options)
  local text, code = script("batch.lua", words)
  equal(code, 1)
  assert(text:find("broken.mp4: failed: ", 1, true), text)
  assert(text:find("1 of 3 clips failed", 1, true), text)

  local function manifest()
    local rows = {}
    local list = lv.json.decode(assert(lv.read_file(out .. "/manifest.json"))).clips
    for _, row in ipairs(list) do rows[row.clip:match "[^/]*$"] = row end
    return rows
  end
  local rows = manifest()
  equal(rows["broken.mp4"].status, "failed")
  for _, name in ipairs { "it's one", "two" } do
    local row = rows[name .. ".mkv"]
    equal(row.status, "done")
    equal(row.bytes, #assert(lv.read_file(("%s/%s.lnv"):format(out, name))))
    assert(row.bytes <= 4096, row.bytes)
  end
  local lines = 0
  for _ in assert(lv.read_file(out .. "/manifest.csv")):gmatch "\n" do lines = lines + 1 end
  equal(lines, 4)

  os.remove(clips .. "/broken.mp4")
  text, code = script("batch.lua", words .. " --resume")
  equal(code, 0)
  assert(text:find("two.mkv: already done", 1, true), text)
  equal(manifest()["two.mkv"], rows["two.mkv"])

  -- A list of paths; options that compress does not know are refused before anything is done.
  local list = folder.path .. "/list.txt"
  assert(lv.write_file(list, clips .. "/two.mkv\n\n"))
  text, code = script("batch.lua", ("%s --out %s --nonsense"):format(quoted(list), quoted(out)))
  equal(code, 2)
  assert(text:find("--nonsense", 1, true), text)
end)

test("a clip keeps its name when others join the batch or leave it", function()
  local folder <close> = harness.folder()
  local clips, out = folder.path .. "/clips", folder.path .. "/out"
  lv.make_dirs(clips)
  local function names(call)
    local batch = ([[
      local lv = require "lunerv"
      local result = lv.batch { clips = %q, out = %q, resume = true, suffix = ".x",
        each = function(clip, out) return { name = out:match "[^/]*$" } end }
      for _, row in ipairs(result.rows) do
        print(row.clip:match "[^/]*$" .. "=" .. row.name)
      end]]):format(call, out)
    assert(lv.write_file(folder.path .. "/batch.lua", batch))
    return (lunerv("run " .. quoted(folder.path .. "/batch.lua")))
  end
  write_clip(clips .. "/a.mov", 0.2)
  equal(names(clips), "a.mov=a\n")
  write_clip(clips .. "/a.mkv", 0.4)
  equal(names(clips), "a.mkv=a.mkv\na.mov=a\n")
  os.remove(clips .. "/a.mov")
  equal(names(clips), "a.mkv=a.mkv\n")
  -- One that was moved is still itself; another of that name is not.
  os.rename(clips, folder.path .. "/moved")
  equal(names(folder.path .. "/moved"), "a.mkv=a.mkv\n")
  lv.make_dirs(clips)
  write_clip(clips .. "/a.mkv", 0.6)
  equal(names(clips), "a.mkv=a.mkv-2\n")
end)

test("finished clips and points are kept only if the same was asked for", function()
  local folder <close> = harness.folder()
  local clips, out = folder.path .. "/clips", folder.path .. "/out"
  lv.make_dirs(clips)
  write_clip(clips .. "/one.mkv", 0.2)
  local words = ("%s --out %s --bytes %%s %s"):format(quoted(clips), quoted(out), options)
  equal(select(2, script("batch.lua", words:format "4k")), 0)
  local text, code = script("batch.lua", words:format "4k" .. " --resume")
  assert(code == 0 and text:find("one.mkv: already done", 1, true), text)
  text, code = script("batch.lua", words:format "3k" .. " --resume")
  assert(code == 1 and text:find("cannot resume: option 'bytes' is 4096", 1, true), text)

  text, code = script("batch.lua", ("%s --out %s --merge"):format(quoted(clips), quoted(out)))
  assert(code == 0 and text:find("1 of 1 clips are in", 1, true), text)

  -- A clip's part, without a budget.
  local clip, file = quoted(clips .. "/one.mkv"), quoted(folder.path .. "/part.lnv")
  words = ("compress %s -o %s %s --frames "):format(clip, file, options)
  equal(select(2, lunerv(words .. "1,2")), 0)
  text, code = lunerv(words .. "2,3 --resume")
  assert(code == 2 and text:find("cannot resume: option 'frames_asked'", 1, true), text)
end)

test("the help of a batch lists its options and those of compress", function()
  local text, code = script("batch.lua", "--help --all")
  equal(code, 0)
  for _, option in ipairs(lv.options.catalogue) do
    for _, command in ipairs(option.commands or {}) do
      local flag = option.name:gsub("_", "-")
      local is_own = flag == "output" or flag == "json"
      local pattern = "%-%-%[?n?o?%-?%]?" .. flag:gsub("%-", "%%-") .. "%f[^%w-]"
      if command == "compress_file" then
        equal({ flag, text:find(pattern) ~= nil }, { flag, not is_own })
      end
    end
  end
  for _, flag in ipairs { "--jobs N", "--retries N", "--[no-]resume", "--out DIR" } do
    assert(text:find(flag, 1, true), flag)
  end
  equal(select(2, script("batch.lua", "clips")), 2)
  equal(select(2, script("batch.lua", "clips --out x --jobs 0")), 2)
end)

test("a curve of rate against quality", function()
  local folder <close> = harness.folder()
  local clip, out = folder.path .. "/clip.mkv", folder.path .. "/out"
  write_clip(clip, 0.3)
  local words = ("%s --out %s --rates 6,10 --x26x-preset ultrafast %s"):format(quoted(clip),
    quoted(out), options)
  local text, code = script("rd_curve.lua", words)
  equal(code, 0)
  local curves = lv.json.decode(assert(lv.read_file(out .. "/curve.json"))).curves
  equal(#curves, 3)
  equal(#curves[1].points, 2)
  -- Lower rates may be added, until the curves share their decibels.
  for k = 2, 3 do
    local points = curves[k].points
    assert(#points >= 2 and #points <= 6, #points)
    for i = 2, #points do assert(points[i].bpp >= points[i - 1].bpp) end
  end
  for i, rate in ipairs { 6, 10 } do
    local point = curves[1].points[i]
    equal(point.bytes, #assert(lv.read_file(("%s/point-%g.lnv"):format(out, rate))))
    assert(point.bpp <= rate and point.bpp >= 0.97 * rate, point.bpp)
  end
  assert(assert(lv.read_file(out .. "/curve.svg")):match "^<svg.*</svg>\n$")
  assert(text:find("BD-rate against x265", 1, true), text)
  local began = lv.time()
  equal(select(2, script("rd_curve.lua", words .. " --resume")), 0)
  assert(lv.time() - began < 5 * harness.patience)

  for _, other in ipairs { "--epochs 2", "--x26x-preset superfast" } do
    text, code = script("rd_curve.lua", ("%s %s --resume"):format(words, other))
    assert(code == 2 and text:find("rd_curve: cannot resume: option '", 1, true), text)
  end

  -- What the quickstart shows of a file.
  local file, decoded = out .. "/point-10.lnv", folder.path .. "/decoded.mkv"
  equal(select(2, lunerv(("decompress %s -o %s"):format(quoted(file), quoted(decoded)))), 0)
  text, code = script("compare.lua", ("%s %s %s"):format(quoted(clip), quoted(file),
    quoted(decoded)))
  equal(code, 0)
  local claimed = ("psnr_8bit %.2f dB"):format(curves[1].points[2].psnr)
  assert(text:find(claimed, 1, true), text .. "has not " .. claimed)
end)
