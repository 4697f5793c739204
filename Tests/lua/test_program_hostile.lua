-- Files that lie, and files with malicious decoders.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local shop <const> = require "workshop"

local equal <const>, test <const> = harness.equal, harness.test
local workshop <const>, clip_in <const>, lunerv <const> = shop.modules, shop.clip, shop.lunerv
local forger <const>, harmless <const> = shop.forger, shop.harmless
local part <const>, own <const>, own_file <const> = shop.part, shop.own, shop.own_file

test("programs that mean harm do none", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path = own_file(folder, clip)
  local forge = forger(path)
  local victim = folder.path .. "/victim"
  assert(lv.write_file(victim, "untouched"))
  local conv = lv.nn.Conv2d.forward
  local lib = 'local lv = require "lunerv" '
  for _, case in ipairs {
    -- Time, and work.
    { "while true do end", "seconds of processor time" },
    { lib .. "local x = lv.ones(64, 64) while true do x = x:matmul(x) end", "max_work" },
    { lib .. "local x = lv.ones(1, 8, 9, 9) local w = lv.ones(8, 8, 3, 3) while true do "
      .. "x = x:conv2d(w, nil, { padding = 1 }):evaluate() end", "max_work" },
    { lib .. "local x = lv.ones(9999) while true do x = x:sin() end", "max_work" },
    { lib .. "while true do lv.zeros(99):normal_(0, 1) end", "max_work" },
    { lib .. "local x = lv.zeros(999) while true do x[1] = 1 end", "max_work" },
    { lib .. "local x = lv.ones(999) while true do local _ = x[x] end", "max_work" },
    { lib .. "local x = lv.ones(999, { dtype = 'u8' }) while true do x = x * x end", "max_work" },
    { lib .. "while true do lv.linspace(0, 1, 999) end", "max_work" },
    { lib .. "while true do lv.position_encoding(0.5, lv.ones(99)) end", "max_work" },
    { lib .. "local x = lv.ones(99) while true do x:unique() end", "max_work" },
    { lib .. "local x = lv.ones(9, 9) while true do x:cumsum(1):tril():flip(1):roll(1) end",
      "max_work" },
    { lib .. "local x = lv.ones(2, 2, 2) while true do x:qr() end", "max_work" },
    { lib .. "lv.zeros(1 << 12, 1 << 12):eigh()", "max_work" },
    { lib .. "lv.zeros(1):expand(1 << 30):sort()", "max_work" },
    { "local function f() return 1 + f() end f()", "stack overflow" },
    { "local t = {} setmetatable(t, { __index = function(_, k) return t[k] end }) t.x = t.y",
      "stack overflow" },
    { "local function f(...) return 1, f(1, ...) end f()", "stack overflow" },
    -- Memory.
    { "local s = 'x' while true do s = s .. s end", "not enough memory" },
    { "local t = {} while true do t[#t + 1] = {} end", "not enough memory" },
    { lib .. "local t = {} while true do t[#t + 1] = lv.zeros(1 << 14) end", "memory" },
    { lib .. "lv.zeros(1 << 62)", "is too large" },
    { lib .. "lv.zeros(1 << 31, 1 << 31)", "is too large" },
    { lib .. "lv.zeros(1):expand(1 << 47):sum()", "section 'decoder program'" },
    { lib .. "lv.zeros(1):expand(1 << 47):index_select(1, { 1, 2, 3, 4 })", "max_work" },
    { lib .. "lv.arange(1, 999999999)", "section 'decoder program'" },
    { lib .. "lv.linspace(1, 2, 999999999)", "section 'decoder program'" },
    { lib .. "local _ = lv.zeros(1):expand(1 << 47)[1]", "section 'decoder program'" },
    { lib .. "lv.zeros(1 << 25):tolist()", "section 'decoder program'" },
    { lib .. "lv.ones(1, 1, 1, 1):pad { left = 16777215, right = 16777215, top = 16777215 }",
      "section 'decoder program'" },
    { lib .. "lv.ones(1, 1, 1, 1):interpolate { size = { 1 << 20, 1 << 20 } }",
      "section 'decoder program'" },
    { lib .. "lv.ones(1, 1, 999, 999):max_pool2d(499, { stride = 1, padding = 249 })", "max_work" },
    { lib .. "lv.ones(1, 1, 9, 9):grid_sample(lv.zeros(1):expand(1, 1 << 20, 1 << 20, 2))",
      "section 'decoder program'" },
    { "local n = 0 for k in pairs(setmetatable({}, { __len = function() return 1 << 53 end })) do "
      .. "n = n + k end error(n)", "section 'decoder program'" },
    { "table.unpack({}, 1, 1 << 40)", "unpack" },
    { "table.insert({}, 1 << 40, 1)", "insert" },
    -- Functions of C that no limit sees.
    { "local s = ('x'):rep(1 << 40)", "strings have no 'rep'" },
    { "local f = ('x').rep", "strings have no 'rep'" },
    { "setmetatable({}, { __index = '' })", "'__index' must be a function" },
    { lib .. "local C = lv.nn.class('C', 'x')", "the class it extends" },
    { "('x'):format(1)", "strings have no 'format'" },
    { "table.move({}, 1, 1 << 53, 2)", "'move'" },
    { "table.concat({})", "'concat'" },
    { "string.rep('x', 9)", "'string'" },
    -- Ways out.
    { ("io.open('%s', 'w')"):format(victim), "'io'" },
    { "os.exit(0)", "'os'" }, { "load('x')()", "'load'" }, { "pcall(error)", "'pcall'" },
    { "coroutine.wrap(error)", "'coroutine'" }, { "print(1)", "'print'" },
    { "debug.getregistry()", "'debug'" }, { "collectgarbage()", "'collectgarbage'" },
    { "getmetatable('').__index = nil", "'getmetatable'" }, { "rawset({}, 1, 2)", "'rawset'" },
    { "_G.x = 1", "'_G'" }, { "math.random()", "'random'" },
    { "require 'io'", "module 'io' is not in the file" },
    { "require 'lunerv.checkpoint'", "is not in the file" },
    { "require 'lunerv.native'", "is not in the file" },
    { "require '/etc/passwd'", "is not in the file" }, { "require 'own'", "requires itself" },
    { lib .. "lv.read_file('/etc/passwd')", "'read_file'" },
    { lib .. "lv.set_threads(200)", "'set_threads'" },
    { lib .. "lv.lnv_unpack('x')", "'lnv_unpack'" },
    { lib .. "lv.options.parse({}, {})", "'options'" },
    { lib .. "local x = lv.ones(1) x.requires_grad = true (x * 2):backward()", "backward" },
    { "setmetatable({}, { __gc = function() end })", "'__gc'" },
    { "setmetatable({}, { __close = function() end })", "'__close'" },
    { "setmetatable({}, { __mode = 'k' })", "'__mode'" },
    { "local m = { __index = {} } local t = setmetatable({}, m) m.__close = function() end "
      .. "local _ <close> = t", "non-closable" },
    { lib .. "setmetatable(lv.nn.List {}, {})", "has one already" },
    -- What it makes of the library is its own.
    { lib .. "for _, class in pairs(lv.nn) do if type(class) == 'table' then class.forward = nil "
      .. "class.named_parameters = function() return function() end end end end return "
      .. "lv.nn.class 'X'", "section '" },
    { lib .. "lv.nn.Conv2d.forward = function() while true do end end "
      .. "return lv.nn.class 'X'", "section '" },
    -- No decoder.
    { "return 7", "is not a class" }, { "local = 3", "own.lua:1:" }, { "\27Lua", "binary" },
    { "error { 1 }", "section 'decoder program'" },
    { "error('\\27[31m\\nred')", "\\u{1B}[31m\\u{A}" },
    { lib .. "local C = lv.nn.class 'C' function C:named_parameters() return 1 end return C",
      "section 'decoder program'" },
    { lib .. "local C = lv.nn.class 'C' function C:named_parameters() "
      .. "return function() return 'x', lv.ones(1) end end return C", "section '" },
  } do
    local program = native.lnv_program({ "own" }, { case[1] })
    harmless(folder.path .. "/h.lnv", forge { ["decoder program"] = program }, case[2])
  end
  equal({ lv.nn.Conv2d.forward == conv, lv.read_file(victim) }, { true, "untouched" })

  -- Frames of a wrong shape or type; and an endless loop.
  local nothing = native.encode_tensors({}, {}, {})
  for _, case in ipairs {
    { "return lv.zeros(1, 3, 2, 2)", "frame 1: expected f32 (1, 3, 12, 20), got f32 (1, 3, 2, 2)" },
    { "return { evaluate = function() return 7 end }", "got number" },
    { "return 7", "section 'decoder program'" },
    { "return lv.zeros(720):to 'f64'", "got f64 (720)" },
    { "error 'no'", "no" }, { "while true do end", "seconds of processor time" },
  } do
    local text = lib .. "local C = lv.nn.class 'C' function C:forward() " .. case[1]
      .. " end return C"
    harmless(folder.path .. "/h.lnv",
      forge { ["decoder program"] = native.lnv_program({ "own" }, { text }), weights = nothing },
      case[2])
  end
  -- The command leaves nothing behind.
  local said, code = lunerv(("decompress '%s/h.lnv' -o '%s/h.mkv' --max-work 1e8"):format(
    folder.path, folder.path))
  equal({ code, lv.exists(folder.path .. "/h.mkv") }, { 1, false })
  assert(said:find "section 'decoder program'", said)
end)

test("a decoder of the library runs confined as well", function()
  local folder <close> = harness.folder()
  local clip <close> = clip_in(folder)
  for _, kind in ipairs { "hnerv_boost", "enerv" } do
    local o = { clip = clip, fc_dim = 8, strides = { 2, 2 }, lower_width = 4 }
    if kind == "enerv" then o.block_dim = 16 else o.enc_dim = { 4, 2 } end
    local small = lv.compress.cem(lv.models[kind](o))
    lv.train { model = small, clip = clip, epochs = 1 }
    local bytes = lv.codec.encode(small, { clip = clip })
    local here, there = lv.codec.decode(bytes, { confined = false }), lv.codec.decode(bytes)
    for i = 1, 3 do equal(there:frame(i):tolist(), here:frame(i):tolist()) end
  end
end)

test("files with custom decoders are joined, and limits name the segment", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path = own_file(folder, clip)
  local joined = folder.path .. "/joined.lnv"
  assert(lv.codec.join(joined, { path, path }))
  local one, two = assert(lv.codec.open(path)), assert(lv.codec.open(joined))
  equal(#two, 6)
  for i = 1, 3 do equal(two:frame(i + 3):tolist(), one:frame(i):tolist()) end
  local _, message = lv.codec.open(joined, { max_work = 1000 })
  assert(message:find("section 'decoder program': segment 1, ", 1, true), message)
end)

test("limits follow what the user allows", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path = own_file(folder, clip)
  local _, message = lv.codec.open(path, { max_work = 1000 })
  assert(message:find("max_work", 1, true), message)
  _, message = lv.codec.open(path, { max_memory = 1000 })
  assert(message:find("memory", 1, true), message)
  equal(#assert(lv.codec.open(path, { max_work = 1e8, max_memory = 1 << 26 })), 3)
end)

test("sections of a program that lie are errors", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path = own_file(folder, clip)
  local forge, names, payloads = forger(path)
  local target = folder.path .. "/h.lnv"
  for _, text in ipairs {
    "program@1", "program@1{}", 'program@1{"model":7}', 'program@1{"model":{"x":1}}',
    'program@1{"model":{"@":"own"}}', 'program@1{"model":{"@":7,"with":[]}}',
    'program@1{"model":{"@":"lunerv.nn.activation","with":[]}}',
    'program@1{"model":{"@":"lunerv.nn.Linear","with":[4611686018427387904,2]}}',
    'program@1{"model":{"@":"other","with":[]}}', "program@1" .. ("["):rep(1e5),
    'program@1{"model":{"@":"own","with":[12,20]},"embedding":[9223372036854775807,2]}',
    'program@1{"model":{"@":"own","with":[12,20]},"embedding":[1,2,3]}',
    'program@1{"model":{"@":"own","with":[12,20,{"widths":[999999999,5]}]}}',
    'program@1{"model":{"@":"own","with":[16,20]}}',
  } do
    harmless(target, forge { decoder = text }, "section '")
  end
  for _, change in ipairs {
    { "clip", native.lnv_clip(16, 20, 3, 25, {}) },
    { "clip", native.lnv_clip(65536, 65536, 1, 25, {}) },
    { "weights", "" }, { "weights", ("\xff"):rep(99) }, { "decoder program", "" },
    { "decoder program", ("\xff"):rep(9) .. "\1" }, { "decoder program", ("\0"):rep(50) },
  } do
    harmless(target, forge { [change[1]] = change[2] }, "section '")
  end
  -- A bit of the program, here and there.
  for i, name in ipairs(names) do
    if name == "decoder program" then
      local text = payloads[i]
      for at = 1, #text, 29 do
        local changed = text:sub(1, at - 1) .. string.char(text:byte(at) ~ 1 << at % 8)
          .. text:sub(at + 1)
        harmless(target, forge { [name] = changed }, "section '")
      end
      harmless(target, forge { [name] = text:sub(1, -2) }, "section '")
      harmless(target, forge { [name] = text .. "\0" }, "section '")
    end
  end
end)

test("every byte of a small file, and every length of it", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local bytes = assert(lv.read_file((own_file(folder, clip))))
  local function refused(changed)
    local ok, message = pcall(lv.codec.decode, changed)
    equal(ok, false)
    assert(message:find("section '", 1, true) or message:find("header", 1, true), message)
  end
  for at = 1, #bytes do
    refused(bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1 << (at * 7 + 3) % 8)
      .. bytes:sub(at + 1))
    refused(bytes:sub(1, at - 1))
  end
end)

test("bits of every section under sound checksums", function()
  local folder <close> = harness.folder()
  local clip <close> = clip_in(folder)
  lv.seed(3)
  local model = lv.models.hnerv_boost {
    clip = clip, fc_dim = 4, enc_dim = { 4, 2 }, strides = { 2, 2 }, ch_t = 4, pe_levels = 3,
    lower_width = 4,
  }
  local path = folder.path .. "/clip.lnv"
  assert(lv.codec.write(path, lv.compress.cem(model), { clip = clip, verify = false }))
  local forge, names, payloads = forger(path)
  local decoded, refused = 0, 0
  for i, name in ipairs(names) do
    local text = payloads[i]
    for at = 1, #text, math.max(1, #text // 80) do
      local changed = text:sub(1, at - 1) .. string.char(text:byte(at) ~ 1 << at % 8)
        .. text:sub(at + 1)
      local ok, message = pcall(function()
        local video = lv.codec.decode(forge { [name] = changed })
        -- Other numbers of frames and rows are as good as any.
        if #video < 99 and video.height * video.width < 1e5 then video:frame(1) end
      end)
      if ok then
        decoded = decoded + 1
      else
        refused = refused + 1
        assert(tostring(message):find("section '", 1, true), message)
      end
    end
  end
  assert(refused > 50 and decoded > 0, ("%d refused, %d decoded"):format(refused, decoded))
end)
