-- The limits on a file while it is decoded, and the errors beyond them.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local modelled <const> = require "lunerv.codec.modelled"
local shop <const> = require "workshop"
local slots <const> = require "lunerv.compress.slots"
local tiny <const> = require "tiny"

local equal <const>, raises <const> = harness.equal, harness.raises
local test <const> = harness.test
local lunerv <const> = shop.lunerv

local nothing <const> = native.encode_tensors({}, {}, {})

-- The bytes of a file with a custom decoder without weights: `body` is that of its method
-- `forward(t, i, images)`, `more` the rest of its module; `o` has height, width, frames, group.
local function file_of(body, more, o)
  o = o or {}
  local text = ('local lv = require "lunerv"\nlocal C = lv.nn.class "C"\n%s\nfunction C:forward(t, '
    .. 'i, images) %s end\nreturn C\n'):format(more or "", body)
  return native.lnv_pack({ "clip", o.group and "ordered decoder" or "decoder", "decoder program",
    "weights" }, {
    native.lnv_clip(o.height or 12, o.width or 20, o.frames or 3, 25, {}),
    "program@1" .. native.json_encode { model = { ["@"] = "own", with = {} }, group = o.group },
    native.lnv_program({ "own" }, { text }), nothing,
  })
end

local image <const> = "return lv.zeros(1, 3, 12, 20)"

-- The error when the frames of a file are requested in order; nil if all arrive.
local function trouble(bytes, given, frames)
  local ok, problem = pcall(function()
    local video <close> = lv.codec.decode(bytes, given)
    for _, i in ipairs(frames or { 1, 2, 3 }) do video:frame(i) end
  end)
  return not ok and (problem.message or tostring(problem)) or nil
end

local function refused(bytes, expected, given, frames)
  local problem = trouble(bytes, given, frames)
  assert(problem and problem:find(expected, 1, true),
    ("expected '%s', got '%s'"):format(expected, problem))
  assert(problem:find "^section '" and not problem:find "\n", problem)
end

-- A line of this many units of work, and a little more.
local function work(units) return ("lv.zeros(%d):evaluate()"):format(units) end

test("each frame has one share, and none has two", function()
  equal(trouble(file_of(work(600000) .. image), { max_work = 1e6 }), nil)
  refused(file_of(work(600000) .. work(600000) .. image), "max_work", { max_work = 1e6 })
  -- The rest of a share is lost for the next frame.
  local growing = "self.n = (self.n or 0) + 1 if self.n == 3 then " .. work(1200000) .. " end "
  refused(file_of(growing .. image), "max_work", { max_work = 1e6 })
end)

test("a claim of many frames raises no limit", function()
  local huge = { height = 12, width = 20, frames = 1 << 27 }
  refused(file_of(work(1 << 31) .. work(1 << 31) .. image, nil, huge), "max_work")
  refused(file_of("while true do end", nil, huge), "more than 5 seconds of processor time")
end)

test("a frame pays for those that it is made from, up to 64 of them", function()
  local chain = "function C:references(i) return i > 1 and { i - 1 } or {} end"
  local o = { frames = 60, group = 60 }
  equal(trouble(file_of(work(900000) .. image, chain, o), { max_work = 1e6 }, { 60, 1 }), nil)
  o = { frames = 80, group = 80 }
  -- The first frames leave their rest to the last.
  equal(trouble(file_of(work(700000) .. image, chain, o), { max_work = 1e6 }, { 80 }), nil)
  refused(file_of(work(900000) .. image, chain, o), "max_work", { max_work = 1e6 }, { 80 })
end)

test("each segment has the share of a start", function()
  local folder <close> = harness.folder()
  local paths = {}
  for i = 1, 3 do
    paths[i] = ("%s/%d.lnv"):format(folder.path, i)
    assert(lv.write_file(paths[i], file_of(image, "function C:init() " .. work(600000) .. " end")))
  end
  local joined = folder.path .. "/joined.lnv"
  assert(lv.codec.join(joined, paths))
  local bytes = assert(lv.read_file(joined))
  equal(trouble(bytes, { max_work = 1e6 }, { 1, 4, 7, 1 }), nil)
  refused(bytes, "max_work", { max_work = 5e5 }, { 1 })
end)

test("garbage is not a lack of memory", function()
  local garbage = "for _ = 1, 200 do lv.ones(1 << 18):evaluate() end "
  equal(trouble(file_of(garbage .. image), { max_memory = 1 << 23 }), nil)
  local kept = "self.all = {} for i = 1, 200 do self.all[i] = lv.ones(1 << 18):evaluate() end "
  refused(file_of(kept .. image), "not enough memory", { max_memory = 1 << 23 })
end)

-- Decoding continues after the symbols that were read: a call that is repeated, when garbage
-- has been collected, must not read those that follow.
test("symbols are read once, wherever memory runs short", function()
  local decoder = [[
local lv = require "lunerv"
local C = lv.nn.class "C"
function C:init(count)
  self.list = lv.nn.List {}
  for i = 1, count do self.list:append(lv.nn.Linear(8, 8)) end
end
function C:forward(t)
  local x = lv.full(t, 1, 8)
  for _, linear in ipairs(self.list) do x = linear(x):sin() end
  return lv.zeros(1, 3, 12, 20) + x:sum()
end
return C]]
  local chooser = "return function(name, shape, index) "
    .. "return { family = 'gaussian', mean = 0, scale = 60 + index % 40 } end"
  local folder <close> = shop.modules { own = decoder, chooser = chooser }
  lv.seed(8)
  local count = 120
  local model = require "own"(count)
  local list, steps, weights = slots.of(model), {}, {}
  for i, slot in ipairs(list) do
    steps[i] = lv.tensor { 0.0625 }
    weights[i] = ((slot.tensor * 16):round() / 16):detach()
  end
  local kind, bytes = modelled.encode("chooser", require "chooser", list, weights, steps)
  local file = native.lnv_pack({ "clip", "decoder", "decoder program", kind }, {
    native.lnv_clip(12, 20, 2, 25, {}),
    "program@1" .. native.json_encode { model = { ["@"] = "own", with = { count } } },
    native.lnv_program({ "own", "chooser" }, { decoder, chooser }), bytes,
  })
  local wide <close> = lv.codec.decode(file)
  local expected = wide:frame(2):tolist()
  local refusals = 0
  for kilobytes = 90, 260, 10 do
    local ok, problem = pcall(function()
      local narrow <close> = lv.codec.decode(file, { max_memory = kilobytes << 10 })
      equal(narrow:frame(2):tolist(), expected)
    end)
    refusals = refusals + (ok and 0 or 1)
    assert(ok or problem.message:find("not enough memory", 1, true), problem)
  end
  assert(refusals < 10, refusals)
  assert(folder)
end)

test("frames that memory cannot hold are rejected at once", function()
  local bytes = file_of("while true do end", nil, { height = 1 << 14, width = 1 << 14, frames = 1 })
  refused(bytes, "section 'clip': frames of 16384×16384", { max_memory = 1 << 33 }, { 1 })
  refused(file_of(image), "max_memory", { max_memory = 1000 })
end)

-- Lua code that works where only the clock measures it, or that would never end.
test("lists and lengths are checked", function()
  -- A table of 41 entries whose length is 2^40.
  local long = {}
  for k = 0, 40 do long[k + 1] = ("[1 << %d] = 1"):format(k) end
  long = "local t = { " .. table.concat(long, ", ") .. " } "
  local many = "local row = {} for i = 1, 3000 do row[i] = 1 end local t = {} "
    .. "for i = 1, 3000 do t[i] = row end "
  for _, case in ipairs {
    { "local t = setmetatable({}, { __len = function() return 1 << 40 end }) local n = #t",
      "__len: expected an integer from 0 to 65536" },
    { "local t = setmetatable({}, { __len = function() return 'x' end }) local n = #t", "__len" },
    { long .. "lv.tensor(t)", "values in tables" },
    { long .. "lv.zeros(t)", "values in tables" },
    { long .. "lv.options({ y = 1 }, {}, t)", "expected a list of at most 65536 names" },
    { long .. "table.unpack(t)", "unpack" },
    { long .. "table.insert(t, 1)", "insert" },
    { long .. "lv.nn.MLP(t)", "section '" },
    -- Rows that are the same table.
    { many .. "lv.tensor(t)", "values in tables", 1e9 },
    { many .. "lv.tensor(t)", "max_work" },
    { "local s = 'x' for _ = 1, 20 do s = s .. s end local t = {} "
      .. "for i = 1, 4000 do t[i] = s end lv.options({ y = 1 }, {}, t)", "section '", 1e9 },
    { "local s = 'x' for _ = 1, 20 do s = s .. s end lv.tensor { s }", "expected numbers" },
    { "local t = {} t[1] = t lv.tensor(t)", "at most 8 dimensions" },
    { "local t = {} for _ = 1, 1000 do t = { t } end lv.tensor(t)", "at most 8 dimensions" },
    { "local t = {} for i = 1, 1 << 22 do t[i] = i end lv.tensor(t)", "max_work" },
    -- A name that many keys share is compared again and again.
    { "local t, s = {}, 'x' for _ = 1, 22 do s = s .. s end while true do t[#t + 1] = s .. #t end",
      "not enough memory" },
    { "local t = {} for i = 1, 1 << 25 do t[i] = i end", "not enough memory" },
    { "local s = '' while true do s = s .. 'x' end", "seconds of processor time" },
    { "local f f = function(...) return select('#', f(1, ...)) end f()", "stack overflow" },
    { "local t = {} for i = 1, 250 do t = setmetatable({}, { __index = t }) end "
      .. "local u = setmetatable({}, { __index = function(_, k) return t[k] end }) error(u.x)",
      "section '" },
    { "local function f(n) return n > 0 and setmetatable({}, { __concat = function() return "
      .. "f(n - 1) .. 'x' end }) or 'x' end local _ = f(1e5) .. 'y'", "stack overflow" },
  } do
    refused(file_of(case[1] .. " " .. image), case[2], { max_work = case[3] or 1e6 })
  end
end)

test("modules that are fields of each other do not stall error positions", function()
  local circle = "local a, b = C(), C() a.b, b.a = b, a a.forward = nil "
    .. "function C:fail() error 'lost' end self.a = a "
  refused(file_of(circle .. "lv.nn.Linear(2, 2)(lv.ones(1, 3))" .. image), "section '",
    { max_work = 1e6 })
  refused(file_of("self.inner = lv.nn.Linear(2, 2) self.inner.outer = self "
    .. "return self.inner(lv.ones(1, 3))"), "inner", { max_work = 1e6 })
end)

test("errors that are not texts end as one line", function()
  for _, case in ipairs {
    { "error(setmetatable({}, { __index = function(_, k) return k end }))",
      "its error is a table" },
    { "error(nil)", "its error is a nil" },
    { "local s = 'long ' for _ = 1, 22 do s = s .. s end error(s)", "long long" },
    { "error 'two\\nlines'", "two\\u{A}lines" },
    { "error(lv.zeros(3))", "its error is a userdata" },
  } do
    refused(file_of(case[1]), case[2], { max_work = 1e8 })
  end
end)

-- Ends of a process ---------------------------------------------------------------------------

-- The processes that decode for this one.
local function decoders_of_this()
  local pipe <close> = assert(io.popen("for p in $(cat /proc/$PPID/task/*/children); do "
    .. "tr '\\0' ' ' < /proc/$p/cmdline | grep -q '^lunerv decoder' && echo $p; done"))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

test("a crash is reported as one", function()
  collectgarbage()
  equal(decoders_of_this(), {})
  local bytes = file_of(image, nil, { frames = 5 })
  local signals = {
    SEGV = "crashed (SIGSEGV)", ABRT = "crashed (SIGABRT)", ILL = "crashed (SIGILL)",
    BUS = "crashed (SIGBUS)", KILL = "was killed", SYS = "system call",
    XCPU = "seconds of processor time", USR1 = "signal 10",
  }
  -- Sanitizers catch two of these, and their memory makes two look like an abort for lack of it.
  if os.getenv "ASAN_OPTIONS" or os.getenv "TSAN_OPTIONS" then
    for _, name in ipairs { "SEGV", "BUS", "ILL", "ABRT" } do signals[name] = nil end
  end
  for signal, expected in pairs(signals) do
    local video <close> = lv.codec.decode(bytes)
    video:frame(1)
    local list = decoders_of_this()
    equal(#list, 1)
    assert(os.execute(("kill -%s %s"):format(signal, list[1])))
    -- The frame that it was making ahead may have arrived already.
    local ok, problem
    for i = 2, 4 do
      ok, problem = pcall(video.frame, video, i)
      if not ok then break end
    end
    assert(not ok and tostring(problem):find(expected, 1, true), tostring(problem))
    assert(tostring(problem):find("section 'decoder program'", 1, true), tostring(problem))
    assert(not tostring(problem):find("memory (max_memory", 1, true), tostring(problem))
  end
end)

test("processes end with their videos", function()
  local bytes = file_of(image)
  do
    local video <close> = lv.codec.decode(bytes)
    video:frame(1)
    equal(#decoders_of_this(), 1)
  end
  equal(#decoders_of_this(), 0)
  local video = lv.codec.decode(bytes)
  video:close()
  raises(function() video:frame(1) end, "has ended")
  -- Unclosed ones do not accumulate.
  for _ = 1, 40 do lv.codec.decode(bytes):frame(1) end
  local left = #decoders_of_this()
  assert(left <= 16, left)
  collectgarbage()
  equal(#decoders_of_this(), 0)
end)

-- Decoders -----------------------------------------------------------------------------------

test("the library's own decoders run without rights too, unless one trusts the file", function()
  local here = arg[0]:match "^(.*)/[^/]*$" or "."
  local path = here .. "/files/v1.lnv"
  collectgarbage()
  local there <close> = assert(lv.codec.open(path))
  equal({ there.model, #decoders_of_this() }, { nil, 1 })
  local trusted = assert(lv.codec.open(path, { confined = false }))
  equal({ trusted.model ~= nil, #decoders_of_this() }, { true, 1 })
  for i = 1, #there do equal(there:frame(i):tolist(), trusted:frame(i):tolist()) end
  -- The limits hold for them too.
  local bytes = assert(lv.read_file(path))
  refused(bytes, "max_work", { max_work = 1000 }, { 1 })
  refused(bytes, "memory", { max_memory = 1000 }, { 1 })
end)

test("weights that no bytes hold are rejected before memory is reserved", function()
  local steps = lv.tensor { 0.5 }
  local bytes, kind = native.encode_tensors({ lv.zeros(9) }, { steps }, {})
  raises(function() native.decode_tensors(kind, bytes, { { 1200, 1200 } }) end,
    "1440000 numbers are more than")
  -- Nor are they written.
  for _, families in ipairs { { "gaussian" }, { "gaussian", "context" } } do
    raises(function()
      native.encode_tensors({ lv.zeros(1200, 1200) }, { steps }, { families = families })
    end, "1440000 numbers are more than")
  end
  equal(native.decode_tensors(kind, bytes, { { 9 } })[1]:tolist(), lv.zeros(9):tolist())
end)

test("without elements, the sizes of single dimensions reserve no memory", function()
  for _, shape in ipairs { { 0, 1 << 24, 1 << 24 }, { 1 << 40, 0 }, { 0, 1 << 40 } } do
    local nothing_there = lv.zeros(0)
    local bytes, kind = native.encode_tensors({ nothing_there }, { lv.tensor { 0.5 } },
      { origins = { { 1, 1 } } })
    local ok, list = pcall(native.decode_tensors, kind, bytes, { shape })
    equal(ok and list[1]:numel() or 0, 0)
    bytes, kind = native.encode_embeddings({ nothing_there, nothing_there }, 1, 0, {})
    local read, stored = pcall(native.decode_embeddings, kind, bytes, 2, shape)
    equal(read and stored:frame(2):numel() or 0, 0)
  end
end)

test("embeddings of large groups are decoded one by one, in any order", function()
  lv.seed(1)
  local frames = {}
  for i = 1, 3 do
    local few = lv.rand(1, 1 << 12) * 20
    frames[i] = lv.cat({ few:round(), lv.full(i, 1, 1 << 21) }, 2)
  end
  local shape = frames[1].shape
  for _, predict in ipairs { false, true } do
    local bytes, kind = native.encode_embeddings(frames, 1, 0,
      { families = { "gaussian" }, predict = predict })
    local stored = native.decode_embeddings(kind, bytes, 3, shape)
    for _, i in ipairs { 3, 1, 2, 2, 1, 3 } do
      equal(stored:frame(i):eq(frames[i]):amin():item(), 1)
    end
  end
  -- From one group into the next.
  local bytes, kind = native.encode_embeddings(frames, 1, 0, { group = 2 })
  local stored = native.decode_embeddings(kind, bytes, 3, shape)
  for _, i in ipairs { 1, 2, 3, 2, 3 } do
    equal(stored:frame(i):eq(frames[i]):amin():item(), 1)
  end
  for _, group in ipairs { 0, (1 << 20) + 1 } do
    raises(function() native.encode_embeddings(frames, 1, 0, { group = group }) end,
      "encode_embeddings: group: expected from 1 to 1048576 frames, got " .. group)
  end
  -- Lengths of missing groups, and numbers that no bytes hold.
  raises(function() native.decode_embeddings("embeddings", ("\1"):rep(40), 1 << 34, { 1, 1 }) end,
    "it ends too early")
  raises(function() native.decode_embeddings("embeddings", ("\1"):rep(40), 1, { 1, 1 << 22 }) end,
    "numbers are more than 40 bytes can hold")
end)

test("an embedding has its decoder's shape, as far as its bytes suffice", function()
  local function file(shape, frames, coded)
    local list = {}
    for i = 1, frames do list[i] = lv.full(i, table.unpack(coded or shape)) end
    local bytes, kind = native.encode_embeddings(list, 1, 0, {})
    return native.lnv_pack({ "clip", "decoder", "decoder program", "weights", kind }, {
      native.lnv_clip(12, 20, frames, 25, {}),
      "program@1" .. native.json_encode { model = { ["@"] = "own", with = {} }, embedding = shape },
      native.lnv_program({ "own" }, { 'local lv = require "lunerv"\nlocal C = lv.nn.class "C"\n'
        .. "function C:decode(e) return lv.zeros(1, 3, 12, 20) + e:mean() end\nreturn C\n" }),
      nothing, bytes,
    })
  end
  for _, shape in ipairs { { 1, 16, 2, 4 }, { 3, 5, 7, 9 }, { 40 }, { 2, 2, 2, 2, 2, 2, 2, 2 } } do
    local video <close> = lv.codec.decode(file(shape, 2))
    equal({ video:frame(2):amin():item(), video:frame(1):amax():item() }, { 2, 1 })
  end
  refused(file({ 1, 1 << 21 }, 1, { 1, 4 }), "numbers are more than", nil, { 1 })
end)

test("limits are numbers", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local path = folder.path .. "/clip.lnv"
  assert(lv.codec.write(path, lv.compress.three_step(tiny.model(clip)), { clip = clip }))
  for _, name in ipairs { "max_work", "max_memory" } do
    raises(function() assert(lv.codec.open(path, { [name] = 0 / 0 })):frame(1) end, name)
  end
end)

test("the command's words", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/own.lnv"
  assert(lv.write_file(path, file_of(work(600000) .. image)))
  local out = ("-o '%s/out.mkv'"):format(folder.path)
  local text, code = lunerv(("decompress '%s' %s --max-work 500000"):format(path, out))
  equal(code, 1)
  assert(text:find("max_work", 1, true) and select(2, text:gsub("\n", "")) == 1, text)
  equal(select(2, lunerv(("decompress '%s' %s --max-work 1e6"):format(path, out))), 0)
  equal(select(2, lunerv(("decompress '%s' %s --unconfined"):format(path, out))), 0)
end)
