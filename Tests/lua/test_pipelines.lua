-- A user's own pipelines: the coder with custom models, processes, images, tables, events.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, near <const>, raises <const>, test <const> = harness.equal, harness.near,
  harness.raises, harness.test

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Runs a script's text in a process; returns what it printed and its exit code.
local function run(folder, text, words)
  assert(lv.write_file(folder.path .. "/script.lua", text))
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  local output = assert(io.popen(("cd %s && %s run script.lua %s 2>&1"):format(quoted(folder.path),
    quoted(pipe:read "l"), words or "")))
  local printed = output:read "a"
  local _, _, code = output:close()
  return printed, code
end

local function has(text, part) assert(text:find(part, 1, true), text .. "\nhas not: " .. part) end

-- The coder ------------------------------------------------------------------------------------

local function is_same(a, b)
  equal(a.shape, b.shape)
  equal(a:view(-1):tolist(), b:view(-1):tolist())
end

test("tensors of any shape and lists pass through the coder", function()
  local codes = (lv.randn(4, 5, 3) * 6):round():to "i32"
  local levels = (lv.rand(2, 7) * 255):round():to "u8"
  local bytes, parts = lv.coder.encode {
    { symbols = codes, model = lv.coder.fit(codes, { "logistic" }) },
    { symbols = levels, model = lv.coder.fit(levels) },
    { symbols = { 3, 0, -2 }, model = { family = "table", first = -2, weights = { 1, 0, 2 } } },
    { symbols = {}, model = { family = "logistic", mean = 0, scale = 64 } },
  }
  local read = lv.coder.decode(bytes, lv.json.decode(lv.json.encode(parts)))
  is_same(read[1], codes)
  is_same(read[2], levels)
  equal({ read[2].dtype, read[3].dtype, read[4]:numel() }, { "u8", "i32", 0 })
  equal(read[3]:tolist(), { 3, 0, -2 })
end)

test("bits are what the bytes come to, whatever the model", function()
  local codes = (lv.randn(20000) * 9):round():to "i32"
  local own = { family = "own", first = -40,
    context = function(seen, i) return math.min(3, math.abs(seen[i - 1] or 0) // 8) end,
    weights = function(k)
      local list = {}
      for s = -40, 40 do list[s + 41] = 100000 // (1 + s * s // (8 + k)) end
      return list
    end }
  local models = { own, { family = "table", first = -9, weights = { 1, 2, 3, 2, 1 } } }
  for _, family in ipairs { "gaussian", "laplace", "logistic", "adaptive" } do
    models[#models + 1] = lv.coder.fit(codes, { family })
    equal(models[#models].family, family)
  end
  for _, model in ipairs(models) do
    local bytes = lv.coder.encode { { symbols = codes, model = model } }
    near(8 * #bytes, lv.coder.bits(codes, model), 100)
  end
end)

test("a logistic distribution is found where symbols have one", function()
  local u = lv.rand(50000) * 0.99998 + 1e-5
  local codes = ((u / (1 - u)):log() * 5 + 2):round():to "i32"
  local model = lv.coder.fit(codes, { "gaussian", "laplace", "logistic" })
  equal(model.family, "logistic")
  near(2 ^ (model.scale / 16 - 4), 5, 0.25)
  near(model.mean / 256, 2, 0.2)
  -- log2(s·e²) bits each.
  near(lv.coder.bits(codes, model) / 50000, math.log(5, 2) + 2 / math.log(2), 0.02)
end)

test("symbols of a custom model are decoded, also those beyond its range", function()
  local codes, asked = { 0, 1, 1, 2, 99, -5, 1, 0 }, {}
  local own = { family = "own", first = 0, weights = { a = { 5, 1, 1 }, b = { 1, 5, 1 } },
    context = function(seen, i)
      asked[#asked + 1] = i
      equal(#seen, i - 1)
      return (seen[i - 1] or 0) == 0 and "a" or "b"
    end }
  local bytes = lv.coder.encode { { symbols = codes, model = own } }
  equal(lv.coder.decode(bytes, { { shape = { 2, 4 }, model = own } })[1]:tolist(),
    { { 0, 1, 1, 2 }, { 99, -5, 1, 0 } })
  equal(#asked, 16)
  -- Pinned: the same symbols have the same bytes everywhere.
  local text = {}
  for i = 1, #bytes do text[i] = bytes:byte(i) end
  equal(table.concat(text, " "), "8 24 1 171 222 88 90 7 241 254 255 110")
end)

test("wrong frequencies and contexts are errors", function()
  local function with(model)
    model.family, model.first = "own", 0
    return function() lv.coder.encode { { symbols = { 1, 2 }, model = model } } end
  end
  raises(with { weights = { 1, 2.0 } }, "weights: weight 2", "got 2.0: floats may differ")
  raises(with { weights = { 1, -1 } }, "expected an integer from 0 to 4294967295, got -1")
  raises(with { weights = { 1, "2" } }, "weight 2", "got string")
  raises(with { weights = {} }, "expected a list of integers, got an empty one")
  raises(with {}, "weights: expected a function or a table, got nil")
  raises(with { weights = { 1 }, contxt = 1 }, "unknown field 'contxt'")
  raises(with { weights = { [1] = { 1 } }, context = function() return 7 end },
    "weights of context 7: expected a list of integers, got nil")
  raises(with { weights = { 1 }, context = function() return 0.5 end },
    "context of symbol 1: expected an integer or a text, got 0.5")
  raises(function() lv.coder.bits({ 1.5 }, { family = "table", first = 0, weights = { 1 } }) end,
    "coder.bits", "1.5")
  raises(function() lv.coder.bits({ 1 }, { family = "table", first = 0, weights = { 1, -3 } }) end,
    "weights[2]: expected an integer", "got -3")
  raises(function() lv.coder.bits(lv.zeros(2), lv.coder.fit { 1 }) end, "i32 or u8, got f32")
  raises(function() lv.coder.fit({ 1 }, { "context" }) end, "coder.fit", "logistic")
end)

-- Processes ------------------------------------------------------------------------------------

test("parallel: results in order, errors as objects, calls one after another", function()
  local folder <close> = harness.folder()
  local text, code = run(folder, [[
    local lv = require "lunerv"
    local first, failed = lv.parallel { jobs = 3, tasks = { 3, 1, 2, 0 }, each = function(task, i)
      if task == 0 then error("nothing at " .. i) end
      return { i = i, square = task * task, words = arg[1] }
    end }
    for i = 1, 3 do print(i, first[i].square, first[i].words) end
    print(first[4].kind, tostring(first[4]), failed[4] == first[4], failed[1])
    local second = lv.parallel { tasks = { 1, 2 }, each = function(i) return first[i].square end }
    print(second[1] + second[2])
  ]], "word")
  equal(code, 0)
  has(text, "1\t9\tword\n2\t1\tword\n3\t4\tword\n")
  has(text, "script\tscript.lua:3: nothing at 4\ttrue\tnil\n")
  has(text, "\n10\n")
end)

test("parallel: what cannot be said or done is an error of the task", function()
  local folder <close> = harness.folder()
  local text = run(folder, [[
    local lv = require "lunerv"
    local _, failed = lv.parallel { tasks = { 1, 2, 3, 4 }, each = function(task)
      if task == 1 then return print end
      if task == 2 then return lv.parallel { tasks = { 1 }, each = print } end
      print "begun"
      print "half done"
      io.stdout:flush()
      if task == 3 then os.exit(3) end
      os.execute "kill -KILL $PPID"
    end }
    for i = 1, 4 do print(failed[i]) end
  ]])
  has(text, "parallel: expected plain data, got a function")
  has(text, "a task cannot start processes")
  has(text, "it ended without a result (exit code 3); its last line: half done\n")
  has(text, "it ended without a result (signal 9)")
  raises(function() lv.parallel { tasks = { 1 } } end, "each = function(task)")
  raises(function() lv.parallel { tasks = {}, each = print, jobs = 0 } end, "parallel: jobs")
  raises(function() lv.parallel { task = {} } end, "parallel: unknown option 'task'", "tasks")
end)

local pipeline <const> = [[
  local lv = require "lunerv"
  local result = lv.batch {
    clips = "clips/*.txt", out = "out", jobs = 2, retries = 1, resume = arg[1] == "resume",
    suffix = ".size", columns = { "clip", "file", "status", "bytes", "message" },
    each = function(clip, out)
      local tries = (tonumber(lv.read_file(out .. ".tries") or "0") or 0) + 1
      lv.write_file(out .. ".tries", tostring(tries))
      print("try", tries)
      if clip:find "late" and tries < 2 then error "not yet" end
      if clip:find "never" then error "not at all" end
      local text = assert(lv.read_file(clip))
      assert(lv.write_file(out .. ".size", #text .. "\n"))
      return { bytes = #text, tries = tries, threads = lv.threads() }
    end,
    done = function(kept, out) return kept.bytes and lv.exists(out .. ".size") end,
  }
  print(result.done, result.failed)
]]

test("batch: a custom pipeline, with retries, a manifest, and resume", function()
  local folder <close> = harness.folder()
  local function path(name) return folder.path .. "/" .. name end
  lv.make_dirs(path "clips")
  for _, name in ipairs { "a", "late", "never" } do
    assert(lv.write_file(path("clips/" .. name .. ".txt"), name))
  end
  assert(lv.write_file(path "clips/other.dat", "no"))
  local text, code = run(folder, pipeline)
  equal(code, 0)
  has(text, "2\t1\n")
  local rows = assert(lv.csv.read(path "out/manifest.csv"))
  equal(#rows, 3)
  equal(rows[1], { clip = "clips/a.txt", file = "out/a.size", status = "done", bytes = 1 })
  equal({ rows[2].status, rows[3].status }, { "done", "failed" })
  has(rows[3].message, "script.lua:10: not at all")
  equal(lv.json.decode(assert(lv.read_file(path "out/manifest.json"))).clips, rows)
  equal({ lv.read_file(path "out/a.tries"), lv.read_file(path "out/late.tries"),
    lv.read_file(path "out/never.tries") }, { "1", "2", "2" })
  equal(lv.json.decode(assert(lv.read_file(path "out/late.json"))).tries, 2)
  has(assert(lv.read_file(path "out/never.log")), "try\t2\n")

  -- Only what failed, and what has gone, is done again.
  os.remove(path "out/late.size")
  run(folder, pipeline, "resume")
  equal({ lv.read_file(path "out/a.tries"), lv.read_file(path "out/late.tries"),
    lv.read_file(path "out/never.tries") }, { "1", "3", "4" })

  -- Files that no batch wrote stay.
  os.remove(path "out/manifest.json")
  text, code = run(folder, pipeline)
  equal(code, 2)
  has(text, "exists and no batch wrote it")
end)

test("batch: an interrupt ends its processes, and what is done stays", function()
  local folder <close> = harness.folder()
  local text = [[
    local lv = require "lunerv"
    if not os.getenv "LUNERV_JOB" then
      lv.write_file("pid", assert(lv.read_file "/proc/self/stat"):match "^%d+")
    end
    local result = lv.batch {
      clips = { "one", "two" }, out = "out", resume = true,
      each = function(clip, out)
        local tries = (lv.read_file(out .. ".tries") or "") .. "x"
        lv.write_file(out .. ".tries", tries)
        if clip == "two" and tries == "x" then
          os.execute("kill -INT " .. lv.read_file "pid")
          while true do lv.time() end
        end
        return { length = #tries }
      end,
    }
    print(result.done, result.rows[1].length, result.rows[2].length)
  ]]
  local printed, code = run(folder, text)
  equal(code, 130)
  has(printed, "interrupted")
  local rows = lv.json.decode(assert(lv.read_file(folder.path .. "/out/manifest.json"))).clips
  equal({ rows[1].status, rows[2].status }, { "done", "waiting" })
  has(assert(lv.read_file(folder.path .. "/out/two.log")), "interrupted")
  printed, code = run(folder, text)
  equal({ code, printed }, { 0, "2\t1\t2\n" })
end)

-- Images and events ----------------------------------------------------------------------------

test("images are written and read without loss, in colour and grey", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/image.png"
  local colours = ((lv.rand(3, 17, 9) * 255):round() / 255):evaluate()
  assert(lv.image.write(path, colours))
  near((assert(lv.image.read(path)) - colours):abs():amax():item(), 0, 1e-6)
  local grey = colours:select(1, 2)
  assert(lv.image.write(path, grey))
  near((assert(lv.image.read(path)):select(1, 3) - grey):abs():amax():item(), 0, 1e-6)
  assert(lv.video.write_image(path, lv.full(2, 1, 3, 5, 4)))
  equal(assert(lv.image.read(path)):amin():item(), 1)
  local picture, problem = lv.image.read(folder.path .. "/none.png")
  equal(picture, nil)
  has(tostring(problem), "none.png")
  raises(function() lv.image.write(path, lv.zeros(2, 4, 4)) end, "(3, h, w)", "(2, 4, 4)")
  raises(function() lv.image.write(path, 3) end, "image.write: expected a tensor, got number")
  raises(function() lv.image.write("x.JPG", grey) end, "a path that ends in .png, got 'x.JPG'")
  raises(function() lv.image.write(path, lv.zeros(3, 2, 2) / 0) end, "nan")
  equal(lv.image.write(folder.path .. "/none/x.png", grey), nil)
end)

test("tables of values pass through CSV", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/t.csv"
  local rows = { { name = 'a "b", c', x = 1.5 }, { name = "two\nlines", x = -2, y = "z" } }
  assert(lv.csv.write(path, rows, { "name", "x", "y" }))
  local read, columns = lv.csv.read(path)
  equal(read, rows)
  equal(columns, { "name", "x", "y" })
  equal(lv.csv.decode "a,b\r\n1,\r\n\r\n\"1\",2", { { a = 1 }, { a = "1", b = 2 } })
  equal(lv.csv.encode { { b = 1, a = true } }, "a,b\ntrue,1\n")
  raises(function() lv.csv.decode 'a\n"1' end, "line 2: a quote is not closed")
  raises(function() lv.csv.decode 'a\n\n"1\n2"\n"3"4' end, "line 5: text after a closed quote")
  raises(function() lv.csv.decode "a,b\n1" end, "row 1: expected 2 cells, got 1")
  equal(lv.csv.read(folder.path), nil)
end)

test("JSON whose keys would be equal is not written", function()
  raises(function() lv.json.encode { ["\xff"] = 1, ["\xfe"] = 2 } end, "keys in UTF-8", "twice")
  equal(lv.json.decode(lv.json.encode { ["\u{e9}"] = 1, e = 2 }), { ["\u{e9}"] = 1, e = 2 })
end)

test("histograms count numbers in their range", function()
  local counts, edges = lv.histogram(lv.tensor { -1, 0, 0.1, 0.5, 1, 3 }, 2, { 0, 1 })
  equal(counts:tolist(), { 2, 2 })
  equal(edges:tolist(), { 0, 0.5, 1 })
  counts, edges = lv.histogram(lv.full(7, 5), 3)
  equal(counts:tolist(), { 0, 5, 0 })
  near(edges:tolist()[4], 7.5, 1e-6)
  raises(function() lv.histogram(lv.ones(3) / 0) end, "finite")
  raises(function() lv.histogram(lv.tensor({ -1.7e308, 1.7e308 }, { dtype = "f64" })) end,
    "expected numbers less than 1.8e308 apart")
  raises(function() lv.histogram(lv.ones(3), 0) end, "bins: expected 1 to")
  raises(function() lv.histogram(lv.ones(3), 4, { 2, 1 }) end, "{ least, greatest }")
end)

-- The fields of a protocol buffer by number, as raw text; numbers of fixed size unpacked.
local function fields(text)
  local found, at = {}, 1
  local function varint()
    local value, shift = 0, 0
    repeat
      local byte = text:byte(at)
      value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
    until byte < 128
    return value
  end
  while at <= #text do
    local key = varint()
    local wire, value = key & 7
    if wire == 0 then
      value = varint()
    elseif wire == 1 then
      value, at = string.unpack("<d", text, at)
    elseif wire == 5 then
      value, at = string.unpack("<f", text, at)
    else
      local size = varint()
      value, at = text:sub(at, at + size - 1), at + size
    end
    found[key >> 3] = value
  end
  return found
end

test("events hold images and histograms that a reader finds", function()
  local folder <close> = harness.folder()
  local events = lv.event_writer(folder.path)
  local image = ((lv.rand(1, 3, 6, 8) * 255):round() / 255):evaluate()
  events:image("frame", image, 3)
  events:histogram("w", lv.tensor { 0, 0, 1, 4 }, 4, 4)
  events:close()
  local text = assert(lv.read_file(folder.path .. "/" .. lv.list_dir(folder.path)[1]))
  local records, at = {}, 1
  while at <= #text do
    local size = string.unpack("<I8", text, at)
    records[#records + 1] = fields(text:sub(at + 12, at + 11 + size))
    at = at + 16 + size
  end
  equal(#records, 3)
  equal({ records[2][2], records[3][2] }, { 3, 4 })
  local shown = fields(fields(records[2][5])[1])
  equal(shown[1], "frame")
  local picture = fields(shown[4])
  equal({ picture[1], picture[2], picture[3] }, { 6, 8, 3 })
  local path = folder.path .. "/frame.png"
  assert(lv.write_file(path, picture[4]))
  near((assert(lv.image.read(path)) - image:select(1, 1)):abs():amax():item(), 0, 1e-6)
  local histogram = fields(fields(fields(records[3][5])[1])[5])
  equal({ table.unpack(histogram, 1, 5) }, { 0, 4, 4, 5, 17 })
  equal({ string.unpack("<dddd", histogram[6]) }, { 1, 2, 3, 4, 33 })
  equal({ string.unpack("<dddd", histogram[7]) }, { 2, 1, 0, 1, 33 })
end)

test("scenes of a clip, and its parts", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/scenes.mkv"
  local writer = assert(lv.video.writer(path, { width = 32, height = 32, fps = 10 }))
  for i = 1, 30 do writer:write(lv.full(i <= 12 and 0.2 or 0.8, 1, 3, 32, 32)) end
  writer:close()
  local clip <close> = assert(lv.video.open(path))
  equal(lv.video.scenes(clip), { { first = 1, last = 12 }, { first = 13, last = 30 } })
  equal(#lv.video.scenes(clip, { least = 20 }), 1)
  local part <close> = clip:part(13, 30)
  equal({ #part, part.timestamps[1] }, { 18, 0 })
  near(part:frame(1):amin():item(), 0.8, 0.01)
  raises(function() lv.video.scenes(clip, { threshhold = 3 }) end, "did you mean 'threshold'")
  local few <close> = assert(lv.video.open(path, { frames = 4, resize = { 16, 16 } }))
  equal({ #few, few.height }, { 4, 16 })
  local some <close> = assert(lv.video.open(path, { frames = { 3, 5 } }))
  equal(#some, 3)
end)

test("entropy minimisation refuses quantisers and penalties that are none", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/clip.mkv"
  local writer = assert(lv.video.writer(path, { width = 24, height = 16, fps = 10 }))
  for i = 1, 2 do writer:write(lv.full(i / 4, 1, 3, 16, 24)) end
  writer:close()
  local clip <close> = assert(lv.video.open(path))
  local model = lv.models.hnerv { clip = clip, fc_dim = 4, enc_dim = { 4, 2 }, strides = { 2, 2 } }
  raises(function() lv.compress.cem(model, { quantiser = function() return 3 end }) end,
    "cem: quantiser: expected a module", "got number")
  raises(function() lv.compress.cem(model, { penlty = print }) end, "did you mean 'penalty'")
  local cem = lv.compress.cem(model, { penalty = function(codes) return codes end })
  raises(function() lv.train { model = cem, clip = clip, epochs = 1 } end,
    "penalty: expected a tensor of one number, got a tensor (")
end)
