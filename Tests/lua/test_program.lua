-- Custom decoders in files, and files with malicious decoders.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local shop <const> = require "workshop"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test
local workshop <const>, clip_in <const>, lunerv <const> = shop.modules, shop.clip, shop.lunerv
local forger <const>, harmless <const> = shop.forger, shop.harmless

-- The part is indented, and has a comment, which a file does without.
local part <const> = [[
local lv <const> = require "lunerv"
-- Doubles the map.
local Part = lv.nn.class "Part"
function Part:init(c_in, c_out)
  self.up = lv.nn.Conv2d(c_in, 4 * c_out, { kernel = 3, padding = 1 })
end
function Part:forward(x) return self.up(x):pixel_shuffle(2):sin() end
return Part
]]

-- A decoder of time: PALETTE is a constant that the trainer does not know.
local own <const> = [[
local lv <const> = require "lunerv"
local Part <const> = require "inner.part"
local Own = lv.nn.class "Own"
function Own:init(height, width, given)
  local o = lv.options(given, { widths = { 6, 5 }, bias = 0.5 }, { "note" })
  self.bias, self.note = o.bias, o.note
  self.rows, self.columns = height // 4, width // 4
  self.palette = lv.tensor { 0.1, 0.2, 0.3 }:view(1, 3, 1, 1)
  self.when = lv.nn.PositionEncoding { levels = 3 }
  self.stem = lv.nn.Linear(6, o.widths[1] * self.rows * self.columns)
  self.body = lv.nn.List {}
  local c = o.widths[1]
  for _, width in ipairs { o.widths[2], 4 } do
    self.body:append(Part(c, width))
    c = width
  end
  self.head = lv.nn.Conv2d(c, 3, { kernel = 1 })
end
function Own:forward(t)
  local x = self.stem(self.when(t)):view(1, -1, self.rows, self.columns)
  for _, part in ipairs(self.body) do x = part(x) end
  return lv.nn.out_image(self.head(x) + self.palette, self.bias)
end
return Own
]]

-- A decoder of embeddings, which its encoder makes of frames.
local coded <const> = [[
local lv <const> = require "lunerv"
local Coded = lv.nn.class "Coded"
function Coded:init()
  self.encoder = lv.nn.Conv2d(3, 2, { kernel = 4, stride = 4 })
  self.head = lv.nn.Conv2d(2, 48, { kernel = 3, padding = 1 })
end
function Coded:encode(image) return self.encoder(image) end
function Coded:decode(embedding, t)
  return lv.nn.out_image(self.head(embedding):pixel_shuffle(4) + t)
end
function Coded:reconstruct(frame) return self:decode(self:encode(frame.image), frame.t) end
return Coded
]]

local function own_file(folder, clip, given)
  lv.seed(4)
  local model = require "own"(clip.height, clip.width, given)
  local small = lv.compress.cem(model, { clip = clip })
  lv.train { model = small, clip = clip, epochs = 2 }
  local path = folder.path .. "/own.lnv"
  return path, assert(lv.codec.write(path, small, { clip = clip })), small
end

test("operators that programs in files may use stay for ever", function()
  local pinned = [[
    abs adaptive_avg_pool2d add amax amin arange argmax argmin argsort atan2 avg_pool2d batch_norm
    bmm cat cholesky clamp clone conv2d conv3d conv_transpose2d cos cumsum detach dim div eigh
    einsum eq erf evaluate exp expand expm1 eye flatten flip floor floor_divide full full_like
    gather ge gelu grid_sample group_norm gt hardswish index_add index_select instance_norm
    interpolate irfft2 is_finite item layer_norm le leaky_relu linear linspace log log1p log2
    logsumexp lt matmul max_pool2d maximum mean meshgrid minimum mul ne neg numel one_hot ones
    ones_like outer pad permute pixel_shuffle pixel_unshuffle position_encoding pow qr rand
    rand_like randn randn_like reciprocal relu remainder reshape rfft2 rms_norm roll round rsqrt
    scatter scatter_add select sigmoid sign silu sin size slice softmax softplus solve sort sqrt
    square squeeze stack std straight_through sub sum tanh tensor to tolist topk transpose tril triu
    unique unsqueeze var view where zeros zeros_like
  ]]
  local known = {}
  for _, name in ipairs(native.pure_operators) do known[name] = true end
  local count = 0
  for name in pinned:gmatch "%S+" do
    assert(known[name], name .. " is gone")
    count = count + 1
  end
  equal(#native.pure_operators, count) -- a new one is pinned here
  -- Operators with side effects are not among them.
  for name in pairs(known) do assert(native[name] and not name:find "_$", name) end
  for _, name in ipairs { "backward", "read_file", "seed", "save_safetensors", "uniform_" } do
    assert(native[name] and not known[name], name)
  end
end)

-- Its program was written for the first version: options tables, lists, and arguments by place.
test("a program of version 1 decodes as it did, and sees no new names", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/forms.lnv"
  local here = arg[0]:match "^(.*)/[^/]*$" or "."
  assert(lv.write_file(path, assert(lv.read_file(here .. "/files/v1-forms.lnv"))))
  local video = assert(lv.codec.open(path))
  equal({ #video, video.width, video.height, video.bytes }, { 3, 10, 6, 1496 })
  near(video:frame(1):sum():item(), 92.963645935059, 1e-3)
  near(video:frame(3):sum():item(), 92.937545776367, 1e-3)
  local text, code = lunerv(("decompress '%s' -o '%s/out.mkv'"):format(path, folder.path))
  equal(code, 0)
  equal(select(2, text:gsub("\n", "")), 1)
  assert(not text:find "now", text)
end)

test("a custom decoder is stored in its file", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path, file, small = own_file(folder, clip, { widths = { 7, 5 }, note = "a\0\"é" })
  near(file.psnr, lv.metrics.evaluate(small, clip).psnr, 0.05)
  local sum, names = 0, {}
  for _, section in ipairs(file.sections) do
    sum, names[section.name] = sum + section.bytes, section.bytes
  end
  equal(sum, file.bytes)
  assert(names["decoder program"] < (#own + #part) / 2, names["decoder program"])

  -- In another process, and without the modules.
  assert(os.remove(folder.path .. "/own.lua"))
  assert(os.remove(folder.path .. "/inner/part.lua"))
  folder.clear()
  local out = folder.path .. "/out.mkv"
  local text, code = lunerv(("decompress '%s' -o '%s'"):format(path, out))
  equal({ code, text:match "3 frames of 20x12" }, { 0, "3 frames of 20x12" })
  local seen <close> = assert(lv.video.open(out))
  local video = assert(lv.codec.open(path))
  for _, index in ipairs { 2, 3, 1, 1 } do
    local levels = (video:frame(index) * 255):round():clamp { min = 0, max = 255 }
    equal((levels - seen:frame_u8(index):to "f32"):abs():amax():item(), 0)
  end
  equal(lv.json.decode((lunerv(("eval '%s' '%s' --json"):format(path, clip.path)))).psnr_8bit,
    file.psnr_8bit)
  text = lunerv(("info '%s'"):format(path))
  assert(text:find('program@1{"model":{"@":"own"', 1, true) and text:find "decoder program", text)
  raises(function() video:frame(4) end, "expected 1 to 3, got 4")
end)

test("a custom decoder may index and assign", function()
  local source = own:gsub('"Own"', '"Indexed"'):gsub("return lv.nn.out_image%(self.head%(x%)", [[
    x = self.head(x)
    x[{ {}, 2 }] = x[{ {}, -1 }] * 0.5 // 0.25 %% 2 + x[{ {}, 2 }]
    local last = x[1][3]
    x[x:gt(0.9)] = 0.9
    x[{ 1, 3, { 1, -1, 2 } }] = last:reshape(12, 20)[{ { 1, -1, 2 } }]:clamp(-1, 1)
    return lv.nn.out_image(x]])
  local folder <close> = workshop { own = source, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path, file, small = own_file(folder, clip)
  near(file.psnr, lv.metrics.evaluate(small, clip).psnr, 0.05)
  equal(assert(lv.codec.open(path)):frame(1).shape, { 1, 3, 12, 20 })
end)

-- Where a file is read they only compute: there are no gradients.
test("a decoder with custom gradients is stored in its file", function()
  local source = own:gsub('"Own"', '"Trained"'):gsub("local Own", [[
    local bent = lv.func {
      forward = function(save, x, by)
        save.by = by
        return x * by, (x * by):round()
      end,
      backward = function(saved, dx, dy) return (dx + dy) * saved.by end,
    }
    %0]]):gsub("return lv.nn.out_image%(self.head%(x%)", [[
    local a, b = lv.checkpoint(function(y) return bent(self.head(y), 8) end, x)
    x = (b / 8):straight_through(a / 8)
    return lv.nn.out_image(x]]):gsub("return Own", [[
    local init = Own.init
    function Own:init(...)
      init(self, ...)
      lv.nn.reparametrise(self.head, "weight", function(w) return w:tanh() end)
    end
    %0]])
  local folder <close> = workshop { own = source, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path, file, small = own_file(folder, clip)
  near(file.psnr, lv.metrics.evaluate(small, clip).psnr, 0.05)
  equal(assert(lv.codec.open(path)):frame(1).shape, { 1, 3, 12, 20 })
end)

test("a custom decoder may transpose, mask and convolve frames", function()
  local source = [[
local lv <const> = require "lunerv"
local Part = lv.nn.class "Part"
function Part:init(c_in, c_out)
  self.up = lv.nn.ConvTranspose2d(c_in, c_out, 4, { stride = 2, padding = 1 })
  self.context = lv.nn.MaskedConv2d(c_out, c_out, 3)
  self.rows = lv.nn.Conv2d(c_out, c_out, { 1, 3 }, { padding = "same", dilation = { 1, 2 } })
  self.depth = lv.nn.Conv3d(1, 1, { 3, 1, 1 }, { padding = "same" })
  self.far = lv.nn.Conv2d(c_out, c_out, 3, { padding = 1 << 20, stride = 1 << 20 })
end
function Part:forward(x)
  x = self.rows(self.context(self.up(x)))
  x = self.depth(x:unsqueeze(1)):squeeze(1)
  return (x + self.far(x):mean()):sin()
end
return Part
]]
  local folder <close> = workshop { own = own, ["inner.part"] = source }
  local clip <close> = clip_in(folder)
  local path, file, small = own_file(folder, clip)
  near(file.psnr, lv.metrics.evaluate(small, clip).psnr, 0.05)
  equal(assert(lv.codec.open(path)):frame(1).shape, { 1, 3, 12, 20 })
end)

-- `ASKS` is what a program asks of its modules before it builds anything.
local asking <const> = [[
local lv <const> = require "lunerv"
local Asking = lv.nn.class "Asking"
function Asking:init(height, width)
  self.cells = { height // 4, width // 4 }
  self.stem = lv.nn.Linear(1, 4 * self.cells[1] * self.cells[2])
  self.head = lv.nn.Conv2d(4, 48, 3, { padding = 1 })
  ASKS
end
function Asking:forward(t)
  local x = self.stem(lv.full(t, 1, 1)):view(1, 4, self.cells[1], self.cells[2])
  return lv.nn.out_image(self.head(self.act and self.act(x) or x):pixel_shuffle(4))
end
return Asking
]]

test("a program may leave fields empty whose names are methods now, or call these", function()
  local Module <const> = require "lunerv.nn.module"
  local function decoded(asks)
    local folder <close> = workshop { asking = asking:gsub("ASKS", asks) }
    local clip <close> = clip_in(folder)
    local model = require "asking"(clip.height, clip.width)
    local small = lv.compress.cem(model, { clip = clip })
    lv.train { model = small, clip = clip, epochs = 1 }
    local path = folder.path .. "/asking.lnv"
    assert(lv.codec.write(path, small, { clip = clip }))
    equal(assert(lv.codec.open(path)):frame(1).shape, { 1, 3, 12, 20 })
  end
  do
    local to <const> = Module.to
    local _ <close> = setmetatable({}, { __close = function() Module.to = to end })
    Module.to = nil -- as it was when the program was written
    decoded "if self.to then error 'not empty' end"
  end
  decoded "self:apply(function(m) m.seen = true end) self.act = lv.nn.GELU():clone()"
end)

test("files with one custom decoder are joined as segments", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part }
  local clip <close> = clip_in(folder)
  local path, file = own_file(folder, clip)
  local joined = folder.path .. "/joined.lnv"
  local info = assert(lv.codec.join(joined, { path, path }))
  assert(info.bytes < 2 * file.bytes, info.bytes) -- the program is stored once
  local video, single = assert(lv.codec.open(joined)), assert(lv.codec.open(path))
  equal({ #video, #video.segments }, { 6, 2 })
  for _, index in ipairs { 4, 1, 6, 3 } do
    equal(video:frame(index):tolist(), single:frame((index - 1) % 3 + 1):tolist())
  end
  lv.seed(1)
  local other = lv.models.hnerv { clip = clip, fc_dim = 4, enc_dim = { 4, 2 }, strides = { 2 } }
  local plain = folder.path .. "/plain.lnv"
  assert(lv.codec.write(plain, lv.compress.cem(other), { clip = clip, verify = false }))
  local _, message = lv.codec.join(joined, { path, plain })
  assert(message:find("section 'decoder program' of file 2", 1, true), message)
end)

test("a boosted decoder, and one of embeddings, are stored too", function()
  local folder <close> = workshop { own = own, ["inner.part"] = part, coded = coded }
  local clip <close> = clip_in(folder)
  local boosted = lv.nn.boost { decoder = require "own"(12, 20), ch_t = 4 }
  local path = folder.path .. "/clip.lnv"
  for _, model in ipairs { boosted, require "coded"() } do
    for _, method in ipairs { "cem", "three_step" } do
      local small = lv.compress[method](model, { clip = clip })
      lv.train { model = small, clip = clip, epochs = 1 }
      local file = assert(lv.codec.write(path, small, { clip = clip }))
      near(file.psnr, assert(lv.codec.open(path)):evaluate(clip).psnr, 0)
    end
  end
end)

test("a decoder that cannot be stored is an error before a file is written", function()
  local folder <close> = workshop {
    own = own, ["inner.part"] = part,
    unlucky = own:gsub('"Own"', '"Unlucky"'):gsub("return lv.nn.out", "x = lv.randn(1, 4, 12, 20)"
      .. " return lv.nn.out"),
    greedy = own:gsub("function Own:forward%(t%)", "%0 print(t)"),
  }
  local clip <close> = clip_in(folder)
  local path = folder.path .. "/clip.lnv"
  local function refused(model, ...)
    local small = lv.compress.cem(model, { clip = clip })
    raises(function() lv.codec.write(path, small, { clip = clip }) end, ...)
    equal(lv.exists(path), false)
  end
  local Own <const> = require "own"
  local Mine <const> = lv.nn.class("Mine", Own)
  refused(Mine(12, 20), "Mine", "return Mine")
  refused(Own(12, 20, { note = print }), "argument 3 of Own.note", "a function")
  refused(Own(12, 20, { note = 0 / 0 }), "argument 3 of Own.note", "nan")
  refused(Own(12, 20, { note = { 1, 2, x = 3 } }), "argument 3 of Own.note", "names among")
  refused(Own(12, 20, { note = { [1.5] = 2 } }), "'1.5' is not a key")
  refused(require "unlucky"(12, 20), "differs from the one made here")
  -- `print` writes here, but not where the file will be read.
  local said <const> = print
  _G.print = function() end
  local _ <close> = setmetatable({}, { __close = function() _G.print = said end })
  refused(require "greedy"(12, 20), "section 'decoder program'", "greedy.lua", "'print'")
  -- Another text under the name of what was loaded.
  assert(lv.write_file(folder.path .. "/inner/part.lua", (part:gsub("sin", "cos"))))
  refused(Own(12, 20), "frame 1", "differs from the one made here")
  raises(function() lv.compress.cem(Own(12, 20)) end, "`clip`")
end)

-- Hostile files -----------------------------------------------------------------------------

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
    local here, there = lv.codec.decode(bytes), lv.codec.decode(bytes, { confined = true })
    for i = 1, 3 do equal(there:frame(i):tolist(), here:frame(i):tolist()) end
  end
end)

test("files that bring their decoders along can be joined", function()
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
