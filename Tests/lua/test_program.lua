-- Custom decoders in files.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local shop <const> = require "workshop"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test
local workshop <const>, clip_in <const>, lunerv <const> = shop.modules, shop.clip, shop.lunerv
local part <const>, own <const>, own_file <const> = shop.part, shop.own, shop.own_file

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

-- `ASKS` is replaced by what a program asks of itself at the end of `init`.
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
