-- Weights in files, coded by probability models of a user's own.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local modelled <const> = require "lunerv.codec.modelled"
local workshop <const> = require "workshop"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".")

-- A decoder of time.
local decoder <const> = [[
local lv <const> = require "lunerv"
local Drawn = lv.nn.class "Drawn"
function Drawn:init(height, width)
  self.cells = { height // 4, width // 4 }
  self.stem = lv.nn.Linear(1, 4 * self.cells[1] * self.cells[2])
  self.head = lv.nn.Conv2d(4, 48, { kernel = 3, padding = 1 })
end
function Drawn:forward(t)
  local x = self.stem(lv.full(t, 1, 1)):view(1, 4, self.cells[1], self.cells[2])
  return lv.nn.out_image(self.head(x):pixel_shuffle(4))
end
return Drawn
]]

-- One model for all tensors; its contexts look at the code before.
local peaks <const> = [[
local slopes <const> = require "inner.slopes"
return {
  family = "own", first = -127,
  context = function(seen, i) return math.min(15, math.abs(seen[i - 1] or 4)) end,
  weights = function(width) return slopes(127, width + 1) end,
}
]]

local slopes <const> = [[
return function(reach, width)
  local list = {}
  for code = -reach, reach do
    list[code + reach + 1] = (1 << 20) // (1 + code * code // width)
  end
  return list
end
]]

-- A model for each tensor: by its name, by its shape, by its number, and none.
local choice <const> = [[
return function(name, shape, index)
  if name == "stem.bias" then return nil end
  if #shape == 4 then
    return { family = "own", context = function(seen, i) return (i - 1) % shape[4] end,
      weights = { [0] = { family = "laplace", mean = 0, scale = 120 },
        { family = "logistic", mean = 0, scale = 110 },
        { family = "gaussian", mean = 0, scale = 130 } } }
  end
  if index == 1 then return { family = "adaptive", first = -40, count = 81 } end
  return { family = "own", first = -2, weights = { 1, 4, 9, 4, 1 } }
end
]]

local modules <const> = {
  drawn = decoder, peaks = peaks, choice = choice, ["inner.slopes"] = slopes,
}

local function small_of(folder, given)
  local clip = workshop.clip(folder)
  lv.seed(4)
  local small = lv.compress.cem(require "drawn"(clip.height, clip.width),
    given)
  lv.train { model = small, clip = clip, epochs = 2 }
  return small, clip
end

local function small_of_library(folder, kind)
  local clip = workshop.clip(folder)
  lv.seed(3)
  local o = { clip = clip, fc_dim = 8, strides = { 2, 2 }, lower_width = 4 }
  if kind == "enerv" then o.block_dim = 16 else o.enc_dim = { 4, 2 } end
  local small = lv.compress.cem(lv.models[kind](o))
  lv.train { model = small, clip = clip, epochs = 1 }
  return small, clip
end

local function values_of(video, frames)
  local list = {}
  for i = 1, frames or #video do list[i] = video:frame(i):tolist() end
  return list
end

-- A copy of a file's bytes decodes to the same frames in another process, in an empty folder.
local function decodes_elsewhere(path, video)
  local folder <close> = harness.folder()
  local copy = folder.path .. "/copy.lnv"
  assert(lv.write_file(copy, assert(lv.read_file(path))))
  local text, code = workshop.lunerv("decompress copy.lnv -o out.mkv", folder.path)
  equal({ code, text:match "3 frames of 20x12" }, { 0, "3 frames of 20x12" })
  local seen <close> = assert(lv.video.open(folder.path .. "/out.mkv"))
  for i = 1, 3 do
    local levels = (video:frame(i) * 255):round():clamp { min = 0, max = 255 }
    equal((levels - seen:frame_u8(i):to "f32"):abs():amax():item(), 0)
  end
end

test("a custom model is stored with a custom decoder", function()
  local folder <close> = workshop.modules(modules)
  local small, clip <close> = small_of(folder, { clip = workshop.clip(folder) })
  local path = folder.path .. "/own.lnv"
  local file = assert(lv.codec.write(path, small, { clip = clip, model = require "peaks" }))
  equal(file.segments[1].kinds.weights, "modelled weights")
  equal(assert(lv.read_file(path)):byte(6), 3) -- what older programs cannot read, and say so
  -- The weights are those that the built-in models store.
  local plain = lv.codec.write(folder.path .. "/plain.lnv", small, { clip = clip })
  equal({ file.psnr, file.ms_ssim }, { plain.psnr, plain.ms_ssim })

  local text = workshop.lunerv(("info '%s' --json"):format(path))
  local sum = 0
  for _, section in ipairs(lv.json.decode(text).sections) do sum = sum + section.bytes end
  equal(sum, #assert(lv.read_file(path)))

  local video = assert(lv.codec.open(path))
  for name in pairs(modules) do
    assert(os.remove(folder.path .. "/" .. name:gsub("%.", "/") .. ".lua"))
  end
  folder.clear()
  decodes_elsewhere(path, video)
end)

test("a custom model is stored with a decoder of the library", function()
  local folder <close> = workshop.modules(modules)
  local path = folder.path .. "/own.lnv"
  for _, kind in ipairs { "hnerv_boost", "enerv" } do
    local small, clip <close> = small_of_library(folder, kind)
    for _, name in ipairs { "peaks", "choice" } do
      local model = require(name)
      local file = assert(lv.codec.write(path, small, { clip = clip, model = model }))
      equal(file.decoder:match "^[a-z_]+@1", kind .. "@1")
      local plain = lv.codec.encode(small, { clip = clip })
      equal(values_of(assert(lv.codec.open(path))), values_of(lv.codec.decode(plain)))
      -- Those who trust it decode in their own process.
      local asked
      local trusted = lv.codec.decode(assert(lv.read_file(path)),
        { models = function(of) asked = of return model end })
      equal(asked, name)
      equal(values_of(trusted, 1), values_of(lv.codec.decode(plain), 1))
    end
    decodes_elsewhere(path, assert(lv.codec.open(path)))
  end
end)

test("a model is chosen by name, shape and number, and steps may be those of rows", function()
  local folder <close> = workshop.modules(modules)
  local small, clip <close> = small_of(folder, { clip = workshop.clip(folder), channel = true })
  local asked = {}
  local choose = require "choice"
  package.loaded.choice = function(name, shape, index)
    asked[index] = name .. " " .. table.concat(shape, "x")
    return choose(name, shape, index)
  end
  local bytes = lv.codec.encode(small, { clip = clip, model = require "choice" })
  equal(asked, { "stem.weight 60x1", "stem.bias 60", "head.weight 48x4x3x3", "head.bias 48" })
  local plain, rebuild = lv.codec.encode(small, { clip = clip })
  equal(values_of(lv.codec.decode(bytes)), values_of(lv.codec.decode(plain, { build = rebuild })))
  raises(function() lv.codec.decode(bytes, { build = rebuild }) end, "requires `models` too")
  raises(function() lv.codec.decode(bytes, { models = choose }) end, "requires `build` too")
end)

local function hex(bytes)
  local text = {}
  for i = 1, #bytes do text[i] = ("%02x"):format(bytes:byte(i)) end
  return table.concat(text)
end

-- The slots of a decoder with tensors of these shapes.
local function slots_of(shapes)
  local list = {}
  for i, shape in ipairs(shapes) do
    list[i] = { name = "t" .. i, tensor = lv.zeros(table.unpack(shape)) }
  end
  return list
end

test("modelled weights have these bytes, for ever", function()
  local slots = slots_of { { 2, 3 }, { 4 }, { 2, 1 } }
  local function model(name)
    if name == "t2" then return nil end
    return { family = "own", first = -2, context = function(seen) return #seen % 2 end,
      weights = { [0] = { 1, 4, 9, 4, 1 }, { family = "laplace", mean = 0, scale = 64 } } }
  end
  local weights = { lv.tensor { { 0.5, -1, 0 }, { 1, 4.5, -0.5 } }, lv.tensor { 0, 0.25, 0, -0.25 },
    lv.tensor { { 0.5 }, { 3 } } }
  local steps = { lv.tensor { 0.5 }, lv.tensor { 0.25 }, lv.tensor { 0.5, 1 } }
  local kind, bytes = modelled.encode("m.n", model, slots, weights, steps)
  equal(kind, "modelled weights")
  equal(hex(bytes), "036d2e6ea900382f19000000a387c383cbe70f7304a73c4be800c00b")
  local tensors = modelled.decode(bytes, slots, function(name)
    equal(name, "m.n")
    return model
  end)
  for i, tensor in ipairs(tensors) do equal(tensor:tolist(), weights[i]:tolist()) end
  -- Every shorter one, and one with more, is damaged.
  for count = 0, #bytes + 1 do
    local changed = count > #bytes and bytes .. "\0" or bytes:sub(1, count)
    if count ~= #bytes then
      raises(function() modelled.decode(changed, slots, function() return model end) end,
        "section 'modelled weights': ")
    end
  end
end)

test("files with models are joined as segments", function()
  local folder <close> = workshop.modules(modules)
  local path, joined = folder.path .. "/own.lnv", folder.path .. "/joined.lnv"
  local small, clip <close> = small_of_library(folder, "hnerv_boost")
  assert(lv.codec.write(path, small, { clip = clip, model = require "choice" }))
  local info = assert(lv.codec.join(joined, { path, path }))
  equal({ #info.segments, info.segments[2].kinds.weights }, { 2, "modelled weights" })
  local one, two = assert(lv.codec.open(path)), assert(lv.codec.open(joined))
  for _, i in ipairs { 5, 1, 4, 6 } do
    equal(two:frame(i):tolist(), one:frame((i - 1) % 3 + 1):tolist())
  end
  -- A file has one program.
  local other = folder.path .. "/other.lnv"
  assert(lv.codec.write(other, small, { clip = clip, model = require "peaks" }))
  local _, message = lv.codec.join(joined, { path, other })
  assert(message:find("section 'decoder program' of file 2", 1, true), message)
end)

test("a model that cannot be stored is an error before a file is written", function()
  local folder <close> = workshop.modules {
    drawn = decoder, peaks = peaks, ["inner.slopes"] = slopes,
    fickle = "local n = 0 return { family = 'own', first = 0, context = function() n = n + 1 "
      .. "return n % 7 // 3 end, weights = { [0] = { 1 }, { 1, 2 }, { 3, 2, 1 } } }",
    named = "return function(name) if name:find 'stem' then return nil end "
      .. "return { family = 'laplace', mean = 0, scale = 100 } end",
    floats = "return { family = 'own', first = 0, weights = { 1.5 } }",
    wrong = "return function(name) return { 1, 2 } end",
  }
  local small, clip <close> = small_of(folder, { clip = workshop.clip(folder) })
  local path = folder.path .. "/clip.lnv"
  local function refused(model, ...)
    raises(function() lv.codec.write(path, small, { clip = clip, model = model }) end, ...)
    equal(lv.exists(path), false)
  end
  refused({ family = "laplace", mean = 0, scale = 9 }, "no module returns it", "require")
  refused(function() end, "no module returns it")
  refused(lv.nn.GELU(), "model: expected a table with a family, or a function")
  refused("laplace", "option 'model': expected table or function, got string")
  refused(require "fickle", "make the same choices")
  refused(require "floats", "weights: weight 1", "got 1.5: floats may differ")
  refused(require "wrong", "the model of 'stem.weight': expected a table with a family", "without")
  -- Strings have methods here, but not where the file will be read.
  refused(require "named", "section 'decoder program'", "named.lua:1", "strings have no 'find'")
  -- Another text under the name of what was loaded.
  require "peaks"
  assert(lv.write_file(folder.path .. "/inner/slopes.lua", (slopes:gsub("code %* code", "code"))))
  refused(require "peaks", "section '")
end)

-- Hostile files -----------------------------------------------------------------------------

test("models that mean harm do none", function()
  local folder <close> = workshop.modules(modules)
  local small, clip <close> = small_of_library(folder, "hnerv_boost")
  local path = folder.path .. "/own.lnv"
  assert(lv.codec.write(path, small, { clip = clip, model = require "peaks" }))
  local forge = workshop.forger(path)
  local own = "return { family = 'own', first = 0, "
  for _, case in ipairs {
    { "while true do end", "seconds of processor time" },
    { "return function() while true do end end", "seconds of processor time" },
    { own .. "context = function() while true do end end, weights = {} }", "processor time" },
    { own .. "weights = function() while true do end end }", "processor time" },
    { own .. "context = function(seen, i) setmetatable(seen, { __newindex = function() while true "
      .. "do end end }) return 1 end, weights = { { 1 } } }", "processor time" },
    { "error 'no'", "peaks.lua:1: no" },
    { own .. "context = function() error 'no' end, weights = { 1 } }", "peaks.lua:1: no" },
    { "return function() return nil end", "section 'modelled weights': " },
    { own .. "weights = { 1 } }", "section 'modelled weights': " },
    { own .. "context = function(seen) seen[1] = 'x' return 1 end, weights = { { 1, 2 } } }",
      "section '" },
    { own .. "context = function(seen) seen[9] = {} return 1 end, weights = { { 1, 2 } } }",
      "section '" },
    { own .. "context = function() return 0.5 end, weights = { 1 } }", "an integer or a text" },
    { own .. "context = function() return {} end, weights = { 1 } }", "an integer or a text" },
    { own .. "weights = { 1.0 } }", "got 1.0: floats may differ" },
    { own .. "weights = { -1 } }", "expected an integer from 0" },
    { own .. "weights = 'x' }", "expected a function or a table, got string" },
    { own .. "weights = {} }", "got an empty one" },
    { own .. "weights = setmetatable({}, { __len = function() return 1 << 53 end, __index = "
      .. "function() return 1 end }) }", "got an empty one" },
    { own .. "weights = { family = 'own' } }", "section 'decoder program'" },
    { own .. "context = function() return 1 end, weights = { { family = 'adaptive', first = 0, "
      .. "count = 1 << 30 } } }", "does not adapt, got adaptive" },
    { "return { family = 'adaptive', first = 0, count = 1 << 30 }", "section 'decoder program'" },
    { "return { family = 'gaussian', mean = 1 << 40, scale = 0 }", "section 'decoder program'" },
    { "return { family = 'nonsense' }", "unknown family 'nonsense'" },
    { "return { family = 'own', first = 1 << 40, weights = { 1 } }", "first: expected an integer" },
    { "return 7", "'peaks' does not return a probability model" },
    { "return {}", "'peaks' does not return a probability model" },
    { "return function() return 7 end", "expected a table with a family, or nil, got number" },
    { "local t = {} for i = 1, 70000 do t[i] = 1 end " .. own .. "weights = t }",
      "section 'decoder program'" },
    { "local t = {} for i = 1, 1 << 30 do t[i] = 1 end " .. own .. "weights = t }", "memory" },
    { "local function f(...) return 1, f(1, ...) end return f", "stack overflow" },
    { "require 'os'", "module 'os' is not in the file" },
  } do
    workshop.harmless(folder.path .. "/h.lnv",
      forge { ["decoder program"] = native.lnv_program({ "peaks" }, { case[1] }) }, case[2])
  end
end)

test("modelled weights that lie are errors", function()
  local folder <close> = workshop.modules(modules)
  local small, clip <close> = small_of_library(folder, "hnerv_boost")
  local path, target = folder.path .. "/own.lnv", folder.path .. "/h.lnv"
  assert(lv.codec.write(path, small, { clip = clip, model = require "peaks" }))
  local forge, names, payloads = workshop.forger(path)
  local weights
  for i, name in ipairs(names) do
    if name == "modelled weights" then weights = payloads[i] end
  end
  local stream = weights:sub(7)
  for _, case in ipairs {
    { "", "'modelled weights': it ends too early" },
    { "\xffpeaks", "'modelled weights': it ends too early" },
    { "\0" .. stream, "module '' is not in the file" },
    { "\5other" .. stream, "module 'other' is not in the file" },
    { "\6lunerv" .. stream, "'lunerv' does not return a probability model" },
    { "\12inner.slopes" .. stream, "section '" }, { "\5peaks", "'modelled weights'" },
    { "\5peaks" .. stream .. "\0", "'modelled weights'" },
    { "\5peaks" .. ("\xff"):rep(99), "'modelled weights'" },
    { "\5peaks" .. stream:sub(1, -5), "'modelled weights'" },
  } do
    workshop.harmless(target, forge { ["modelled weights"] = case[1] }, case[2])
  end
  -- Without a program.
  local kept, parts = {}, {}
  for i, name in ipairs(names) do
    if name ~= "decoder program" then kept[#kept + 1], parts[#parts + 1] = name, payloads[i] end
  end
  workshop.harmless(target, native.lnv_pack(kept, parts), "'decoder program': it is missing")
  -- Bits, here and there: other weights, or an error that names a section.
  local refused = 0
  for at = 1, #weights, #weights // 12 do
    local changed = weights:sub(1, at - 1) .. string.char(weights:byte(at) ~ 1 << at % 8)
      .. weights:sub(at + 1)
    local ok, message = pcall(lv.codec.decode, forge { ["modelled weights"] = changed })
    refused = refused + (ok and 0 or 1)
    assert(ok or tostring(message):find("section '", 1, true), message)
  end
  assert(refused > 6, refused)
end)

-- lv.coder --------------------------------------------------------------------------------------

test("contexts may name models of other families", function()
  local codes = (lv.randn(3000) * 6):round():to "i32"
  local laplace = { family = "laplace", mean = 0, scale = 104 }
  local each = { family = "own", context = function(_, i) return i % 2 end,
    weights = { [0] = laplace, laplace } }
  local bytes, parts = lv.coder.encode { { symbols = codes, model = each } }
  equal(bytes, (lv.coder.encode { { symbols = codes, model = laplace } }))
  equal(lv.coder.decode(bytes, parts)[1]:tolist(), codes:tolist())
  near(lv.coder.bits(codes, each), lv.coder.bits(codes, laplace), 1e-6)
  -- Without contexts, of those that learn as well.
  local learning = lv.coder.fit(codes, { "adaptive" })
  equal((lv.coder.encode { { symbols = codes, model = { family = "own", weights = learning } } }),
    (lv.coder.encode { { symbols = codes, model = learning } }))
  raises(function()
    lv.coder.bits(codes, { family = "own", context = function() return 1 end,
      weights = { learning } })
  end, "weights of context 1: expected a model that does not adapt, got adaptive")
  raises(function() lv.coder.bits({ 1 }, { family = "own", weights = { 1, 2 } }) end,
    "own: first: expected an integer, got nil")
end)

test("the frequencies of contexts have bounds", function()
  local list = {}
  for i = 1, 5000 do list[i] = i % 3 end
  raises(function()
    lv.coder.bits(list, { family = "own", context = function(_, i) return i end,
      weights = function() return { family = "laplace", mean = 0, scale = 0 } end })
  end, "context of symbol 4645: ", "at most 16777216 are kept")
end)

-- Its model chooses by the names of the library's parameters, and by families.
test("a file with modelled weights is read", function()
  local video = assert(lv.codec.open(root .. "/files/v1-level3.lnv"))
  equal({ #video, video.width, video.height, video.bytes }, { 3, 20, 12, 2603 })
  equal(video.segments[1].kinds.weights, "modelled weights")
  near(video:frame(1):sum():item(), 348.09985351562, 1e-3)
  near(video:frame(3):sum():item(), 347.20474243164, 1e-3)
end)

-- Slices --------------------------------------------------------------------------------------

-- A model that predicts every row of a matrix from the row above, in integers; the codes of the
-- tensor before it choose how sharply.
local rows <const> = [[
local lv <const> = require "lunerv"
return function(name, shape, index, codes)
  if #shape < 2 then return nil end
  local before = codes["stem.bias"]
  local scale = before and 60 + before:numel() % 7 or 70
  local dims = #shape - 1
  local inner = { table.unpack(shape, dims + 1) }
  return { family = "slices", dims = dims, of = index == 1 and "gaussian" or nil,
    parameters = function(seen, k)
      local above = seen[k - 1] or lv.zeros(table.unpack(inner)):to "i32"
      return above * 128, lv.full(scale, table.unpack(inner)):to "i32"
    end }
end
]]

test("weights coded slice by slice are stored with their model", function()
  local folder <close> = workshop.modules { drawn = decoder, rows = rows }
  local small, clip <close> = small_of(folder, { clip = workshop.clip(folder) })
  local path = folder.path .. "/rows.lnv"
  local file = assert(lv.codec.write(path, small, { clip = clip, model = require "rows" }))
  equal({ file.segments[1].kinds.weights, assert(lv.read_file(path)):byte(6) },
    { "sliced weights", 4 })
  decodes_elsewhere(path, assert(lv.codec.open(path)))
end)

test("slices have these bytes, for ever", function()
  local symbols = lv.tensor({ { 0, 1, -2, 300 }, { 3, -70000, 0, 5 },
    { 2147483647, 0, 1, -2147483648 } }, { dtype = "i32" })
  local model = { family = "slices", of = "laplace", parameters = function(seen, k)
    local means = lv.tensor({ -130, 40, 256 * k, 70000 }, { dtype = "i32" })
    if seen[1] then means = means + seen[1] end
    return means, lv.tensor({ 0, 60, 100, 255 }, { dtype = "i32" })
  end }
  local bytes, parts = lv.coder.encode { { symbols = symbols, model = model } }
  local hexadecimal = bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  equal(hexadecimal,
    "a7f1efaf0705000009fddffff46445c49b73dd1649ff7fff33b546b900fdffbc")
  equal(lv.coder.decode(bytes, parts)[1]:tolist(), symbols:tolist())
  local bits = lv.coder.bits(symbols, model)
  assert(bits < 8 * #bytes and bits > 8 * (#bytes - 12), bits)
end)

test("a model gets u8 slices as i32, as in decoding", function()
  local symbols = lv.tensor({ { 0, 200 }, { 255, 3 } }, { dtype = "u8" })
  local model = { family = "slices", parameters = function(seen)
    local before = seen[#seen] or lv.zeros(2):to "i32"
    return before * 256, before * 0 + 80 -- beyond what a byte holds
  end }
  local bytes, parts = lv.coder.encode { { symbols = symbols, model = model } }
  equal(lv.coder.decode(bytes, parts)[1]:tolist(), symbols:tolist())
end)

test("impossible slices are errors", function()
  local symbols = lv.tensor { { 0, 1 }, { 2, 3 } }:to "i32"
  local function of(means, scales, more)
    local model = { family = "slices", parameters = function() return means, scales end }
    for key, value in pairs(more or {}) do model[key] = value end
    return function() lv.coder.encode { { symbols = symbols, model = model } } end
  end
  local good = lv.tensor { 0, 0 }:to "i32"
  raises(of(nil, good), "coder.encode: slices: means of slice 1: expected a tensor (2), got nil")
  raises(of(good, lv.zeros(3):to "i32"), "scales of slice 1: expected a tensor (2), got (3)")
  raises(of(lv.zeros(2), good), "slices: means: expected 2 numbers as i32, got 2 as f32")
  raises(of(good, good - 1), "slices: scales: expected integers from 0 to 255, got -1")
  raises(of(good, good, { of = "cauchy" }),
    "unknown family 'cauchy' (known: gaussian, laplace, logistic)")
  raises(of(good, good, { mean = 3 }), "slices: unknown field 'mean'")
  raises(function()
    lv.coder.encode { { symbols = { 1, 2 }, model = { family = "slices",
      parameters = function() return good, good end } } }
  end, "slices: expected symbols of at least 2 dimensions, got 1")
  raises(of(good, good, { dims = 2 }), "dims: expected an integer from 1 to 1 for symbols of 2")
end)
