-- The authors' files: names, shapes, round trips, and files that do not hold together.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local tiny <const> = require "tiny"
local interop <const> = lv.interop

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- A configuration as the published programs print it.
local config <const> = {
  sft_block = "res_sft", ch_t = 16, act = "sin", embed = "pe_1.25_80", enc_strds = { 5, 2, 2 },
  enc_dim = "16_8", enc_blks = 1, dec_strds = { 5, 2, 2 }, ks = "0_1_5", reduce = 1.2,
  dec_blks = { 1, 1, 2 }, lower_width = 12, out_bias = "tanh", fc_dim = 24,
}

local function model_of(kind)
  return lv.models[kind](interop.options_from_published(kind, config, 180, 320, 132))
end

test("published names", function()
  local expected = {
    ["stem.up.conv.weight"] = "decoder.0.conv.downconv.weight",
    ["stem.residual.conv1.bias"] = "decoder.0.sft_block.conv0.bias",
    ["stages.3.up.conv.weight"] = "decoder.3.conv.upconv.0.weight",
    ["stages.4.residual.tat2.gamma.2.bias"] = "decoder.4.sft_block.sft1.SFT_scale_conv1.bias",
    ["stages.1.residual.tat1.beta.1.weight"] = "decoder.1.sft_block.sft0.SFT_shift_conv0.weight",
    ["stages.1.conv.bias"] = "decoder.1.conv.upconv.0.bias",
    ["time.2.weight"] = "stem_t.2.weight",
    ["encoder.stages.1.conv.weight"] = "encoder.downsample_layers.0.0.weight",
    ["encoder.stages.1.norm.weight"] = "encoder.downsample_layers.0.1.weight",
    ["encoder.stages.3.conv.weight"] = "encoder.downsample_layers.2.1.weight",
    ["encoder.stages.3.norm.bias"] = "encoder.downsample_layers.2.0.bias",
    ["encoder.stages.2.blocks.1.scale"] = "encoder.stages.1.0.gamma",
    ["encoder.stages.2.blocks.1.project.weight"] = "encoder.stages.1.0.pwconv2.weight",
    ["head.bias"] = "head_layer.bias",
  }
  for ours, theirs in pairs(expected) do
    equal(interop.published_name("hnerv_boost", ours), theirs)
  end
  equal(interop.published_name("hnerv_boost", "position.bases"), nil)
end)

test("every parameter has a separate published name", function()
  for kind, count in pairs { hnerv = 51, hnerv_boost = 155 } do
    local list, seen = interop.published_parameters(model_of(kind)), {}
    equal(#list, count)
    for _, entry in ipairs(list) do
      assert(not seen[entry[1]], entry[1])
      seen[entry[1]] = true
    end
  end
end)

test("published parameters are loaded, 1×1 convolutions as linear layers", function()
  local source, target = model_of "hnerv_boost", model_of "hnerv_boost"
  local published = {}
  for _, entry in ipairs(interop.published_parameters(source)) do
    local name, tensor = entry[1], entry[2]:detach()
    if name:match "^stem_t.*weight$" then
      tensor = tensor:view(tensor:size(1), tensor:size(2), 1, 1)
    end
    published[name] = tensor
  end
  interop.load_published(target, published)
  equal(target.time[1].weight:tolist(), source.time[1].weight:tolist())
  published["stem_t.0.bias"] = nil
  raises(function() interop.load_published(target, published) end, "stem_t.0.bias")
end)

-- Files -------------------------------------------------------------------------------------

local bits <const> = { U8 = "B", F32 = "f", F16 = "H" }

-- Writes a safetensors file as another program would: { name, type, shape, list of numbers (for
-- F16 their bits) }, …, without metadata.
local function write_foreign(path, entries)
  local header, body, offset = {}, {}, 0
  for i, entry in ipairs(entries) do
    local bytes = {}
    for k, number in ipairs(entry[4]) do bytes[k] = string.pack("<" .. bits[entry[2]], number) end
    bytes = table.concat(bytes)
    header[i] = ('"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'):format(entry[1],
      entry[2], table.concat(entry[3], ","), offset, offset + #bytes)
    body[i], offset = bytes, offset + #bytes
  end
  local text = "{" .. table.concat(header, ",") .. "}"
  text = text .. (" "):rep(-#text % 8)
  assert(lv.write_file(path, string.pack("<I8", #text) .. text .. table.concat(body)))
end

local function flat(tensor) return tensor:clone():view(-1):tolist() end

-- A small model of `kind` whose widths, repeats and strides no default has.
local function odd_model(kind, given)
  local o = tiny.options(kind, {
    height = 47, width = 70, frames = 3, fc_dim = 9, strides = { 3, 2 }, dec_blks = { 1, 2 },
    lower_width = 4, reduce = lv.options.applies("enc_dim", kind) and 1.5 or 3, enc_dim = { 6, 5 },
    enc_strides = { 3, 4 }, block_dim = 8, stem_dim = 7, pe_levels = 6, ch_t = 3,
  })
  for name, value in pairs(given or {}) do o[name] = value end
  lv.seed(11)
  return lv.models[kind](o)
end

-- The largest difference of frame 2 as `model` makes it of its embedding, and as the file does.
local function difference(model, published, embeddings)
  return lv.no_grad(function()
    local ours = embeddings and model:decode(embeddings:slice(1, 2, 2), 2 / 3) or model(2 / 3)
    return (ours - published:frame(2)):abs():amax():item()
  end)
end

test("a foreign file's strides and widths are read off its shapes", function()
  local folder <close> = harness.folder()
  for _, kind in ipairs(lv.models.kinds) do
    local model = odd_model(kind)
    local embeddings = model.decode and lv.rand(3, 5, 4, 6)
    local entries = {}
    for i, entry in ipairs(interop.published_values(model)) do
      if not entry[1]:match "^encoder" then
        entries[#entries + 1] = { entry[1], "F32", entry[2].shape, flat(entry[2]), i }
      end
    end
    if embeddings then
      entries[#entries + 1] = { "embed", "F32", embeddings.shape, flat(embeddings) }
    end
    local path = ("%s/%s.safetensors"):format(folder.path, kind)
    write_foreign(path, entries)
    local published = assert(interop.open(path, { height = 47, width = 70, frames = 3 }))
    equal({ published.kind, published.frames, published.model.encoder },
      { kind, 3, nil })
    equal({ published.model.config.strides, published.model.config.dec_blks },
      { { 3, 2 }, { 1, 2 } })
    equal(difference(model, published, embeddings), 0)
  end
end)

test("a quantised file with halves for its ranges is decoded", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/quantised.safetensors"
  local model = odd_model("hnerv", { encoder = false })
  local entries = {}
  -- Every value is q / 128 − 1: as halves, 2⁻⁷ is 0x2000 and −1 is 0xbc00.
  local function add(name, tensor)
    local quant = (tensor * 128 + 128):round():clamp { min = 0, max = 255 }
    local rows = tensor.shape[1]
    local each_row = { rows }
    for i = 2, #tensor.shape do each_row[i] = 1 end
    local mins = {}
    for i = 1, rows do mins[i] = 0xbc00 end
    local levels = quant:to "i32":view(-1):tolist()
    entries[#entries + 1] = { name .. ".quant", "U8", tensor.shape, levels }
    entries[#entries + 1] = { name .. ".min", "F16", each_row, mins }
    entries[#entries + 1] = { name .. ".scale", "F16", { 1 }, { 0x2000 } }
    return quant * 0.0078125 - 1
  end
  local values = {}
  for _, entry in ipairs(interop.published_values(model)) do
    values[entry[1]] = add(entry[1], entry[2])
  end
  local embeddings = add("embed", lv.rand(3, 5, 4, 6))
  write_foreign(path, entries)
  interop.load_published(model, values)
  local published = assert(interop.open(path, { height = 47, width = 70 }))
  equal(difference(model, published, embeddings), 0)
  equal(published.frames, 3)
  equal(assert(interop.open(path)).height, 48)
end)

test("models saved under the published names are loaded again", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/clip.mkv"
  local writer = assert(lv.video.writer(path, { width = 70, height = 47, fps = 25 }))
  for _ = 1, 3 do writer:write(lv.rand(1, 3, 47, 70)) end
  writer:close()
  local clip <close> = assert(lv.video.open(path))
  for _, kind in ipairs(lv.models.kinds) do
    local model = odd_model(kind)
    local frame = clip:sample(2)
    local expected = lv.no_grad(function() return model:reconstruct(frame) end)
    local function deviation(file, given)
      local published = assert(interop.open(file, given))
      return (published:frame(2) - expected):abs():amax():item()
    end
    local file = ("%s/%s.safetensors"):format(folder.path, kind)
    assert(interop.save(file, model, { clip = model.decode and clip }))
    -- A NeRV's first layer is turned to other times, and not bit for bit.
    harness.near(deviation(file), 0, kind == "nerv" and 1e-6 or 0)
    assert(interop.save(file, model, { clip = model.decode and clip, quantised = true }))
    local quantised = deviation(file)
    assert(quantised > 0 and quantised < 0.02, quantised)
    if model.decode then -- without embeddings, the encoder makes them of the clip
      assert(interop.save(file, model))
      equal(deviation(file, { clip = clip }), 0)
      raises(function() interop.open(file) end, "'embed'", "a clip")
      raises(function() interop.save(file, model, { quantised = true }) end, "a clip")
    end
  end
end)

-- Files that scripts/bench/make_published.py wrote, with the frames that PyTorch made of them.
test("files of NeRV's and of E-NeRV's own programs show the frames that these decode", function()
  local folder <close> = harness.folder()
  local here = arg[0]:match "^(.*)/[^/]*$" or "."
  for _, kind in ipairs { "nerv", "enerv" } do
    local stored = assert(lv.load_safetensors(("%s/files/published_%s.safetensors"):format(here,
      kind)))
    local frames, list = stored.frames, {}
    for name, tensor in pairs(stored) do
      if name ~= "frames" then list[#list + 1] = { name, tensor } end
    end
    local path = ("%s/%s.safetensors"):format(folder.path, kind)
    assert(lv.save_safetensors(path, list))
    local given = { frames = 5, fc_hw = { 2, 3 }, act = kind == "nerv" and "silu" or nil }
    local published = assert(interop.open(path, given))
    equal({ published.kind, published.height, published.width }, { kind, 12, 18 })
    for i = 1, 5 do
      local deviation = (published:frame(i) - frames:slice(1, i, i)):abs():amax():item()
      assert(deviation < 1e-5, ("%s, frame %d: %g"):format(kind, i, deviation))
    end
    -- Read as those of the boosted kinds' program, they show something else.
    given.interleaved = false
    local other = assert(interop.open(path, given)):frame(2)
    local deviation = (other - frames:slice(1, 2, 2)):abs():amax():item()
    assert(deviation > 0.01, deviation)
  end
end)

test("a prefix that all names share is dropped", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/wrapped.safetensors"
  local model, list = odd_model "hnerv", { { "embed", lv.rand(3, 5, 4, 6) } }
  for _, entry in ipairs(interop.published_values(model)) do
    if not entry[1]:match "^encoder" then list[#list + 1] = entry end
  end
  local metadata = { height = "47", width = "70", frames_total = "3" }
  assert(lv.save_safetensors(path, list, metadata))
  local stored, _, names = lv.load_safetensors(path)
  local plain = assert(interop.open(path)):frame(2)
  for _, prefix in ipairs { "module.", "_orig_mod.", "state_dict.", "module._orig_mod." } do
    for _, wrapped in ipairs { "embed", prefix .. "embed" } do
      for i, name in ipairs(names) do
        list[i] = { name == "embed" and wrapped or prefix .. name, stored[name] }
      end
      assert(lv.save_safetensors(path, list, metadata))
      equal((assert(interop.open(path)):frame(2) - plain):abs():amax():item(), 0)
    end
  end
  -- One that not all share does not count.
  for i, name in ipairs(names) do
    list[i] = { name:match "head" and "module." .. name or name, stored[name] }
  end
  assert(lv.save_safetensors(path, list, metadata))
  raises(function() interop.open(path) end, "'head_layer.weight' is missing")
end)

test("a NeRV is written as NeRV's own program reads it", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/nerv.safetensors"
  local model = odd_model "nerv"
  assert(interop.save(path, model))
  local stored = assert(lv.load_safetensors(path))
  equal({ stored["stem.0.weight"].shape, stored["head_layers.2.weight"].shape,
    stored["layers.1.conv.conv.weight"].shape, stored["head_layer.weight"] },
    { { 7, 12 }, { 3, 4, 1, 1 }, { 16, 9, 3, 3 } })
  -- The first layer for frame 2 there, time 1/3, is what it is here at 2/3.
  local first = stored["stem.0.weight"]:tolist()
  local ours = lv.no_grad(function()
    return (model.stem[1](model.position(2 / 3)) - model.stem[1].bias):view(-1):tolist()
  end)
  for row = 1, 7 do
    local sum = 0
    for k = 0, 5 do
      local angle = 1.25 ^ k * math.pi / 3
      sum = sum + first[row][2 * k + 1] * math.sin(angle) + first[row][2 * k + 2] * math.cos(angle)
    end
    harness.near(sum, ours[row], 1e-5)
  end
  raises(function() interop.save(path, odd_model("nerv", { pe_levels = 80 })) end, "pe_levels",
    "80 levels")
end)

test("a file that does not hold together is refused", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/broken.safetensors"
  local model = odd_model("nerv_boost")
  local whole = interop.published_values(model)
  local sizes = { height = 47, width = 70, frames = 3 }

  -- The file with some entries changed by `change(name, tensor)`: a tensor, or nil to leave it out.
  local function with(change, given)
    local list = {}
    for _, entry in ipairs(whole) do
      local tensor = change(entry[1], entry[2])
      if tensor then list[#list + 1] = { entry[1], tensor } end
    end
    assert(lv.save_safetensors(path, list))
    return function() return interop.open(path, given or sizes) end
  end
  local function without(name)
    return with(function(key, tensor) return key ~= name and tensor or nil end)
  end
  local function reshaped(name, ...)
    local shape = { ... }
    return with(function(key, tensor)
      return key == name and lv.zeros(table.unpack(shape)) or tensor
    end)
  end
  local same = function(_, tensor) return tensor end
  equal(with(same)().kind, "nerv_boost")
  raises(without "stem.0.weight", "not the parameters of a published kind")
  raises(without "stem.2.weight", "'stem.2.weight' is missing")
  raises(without "layers.1.sft_block.conv0.bias", "'layers.1.sft_block.conv0.bias' is missing")
  raises(reshaped("layers.0.conv.upconv.0.weight", 80, 9, 3, 3), "not a square multiple")
  raises(reshaped("layers.0.conv.upconv.0.weight", 81), "dimensions")
  raises(reshaped("layers.1.conv.upconv.0.weight", 16, 9, 1, 1), "kernels 3,1")
  raises(reshaped("stem_t.0.weight", 6, 12, 2, 1), "'stem_t.0.weight'")
  raises(with(same, { frames = 3 }), "the first map has 96 cells")
  raises(with(same, { height = 47, width = 70 }), "height, width and number")
  raises(with(same, { height = 480, width = 70, frames = 3 }), "cells")
  raises(function() with(same)():frame(4) end, "from 1 to 3", "4")
  local missing, message = interop.open(folder.path .. "/nothing.safetensors")
  equal(missing, nil)
  assert(message:find "nothing.safetensors", message)

  assert(lv.save_safetensors(path, { { "stem.0.weight.quant", lv.zeros(2, 2) } }))
  raises(function() interop.open(path) end, "'stem.0.weight.quant' has no min and scale")
  assert(lv.save_safetensors(path, { { "w.quant", lv.zeros(2, 2) }, { "w.min", lv.zeros(1) },
    { "w.scale", lv.zeros(1) } }))
  raises(function() interop.open(path) end, "'w.quant': expected u8")
  assert(lv.save_safetensors(path, { { "w.quant", lv.zeros(2, 2):to "u8" },
    { "w.min", lv.zeros(3) }, { "w.scale", lv.zeros(1) } }))
  raises(function() interop.open(path) end, "'w'", "broadcast")
end)

test("values of other widths and further entries are taken on request alone", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/wide.safetensors"
  local model, given = odd_model "hnerv", { height = 47, width = 70 }
  local embed = lv.rand(3, 5, 4, 6)
  local function save(change)
    local list = {}
    for _, entry in ipairs(interop.published_values(model)) do
      if not entry[1]:match "^encoder" then list[#list + 1] = { entry[1], entry[2] } end
    end
    list[#list + 1] = { "embed", embed }
    change(list)
    assert(lv.save_safetensors(path, list))
  end
  local function open(options)
    for name, value in pairs(given) do options[name] = value end
    return assert(interop.open(path, options))
  end

  save(function(list)
    for i, entry in ipairs(list) do list[i] = { entry[1], entry[2]:to "f64" } end
  end)
  raises(function() open {} end, "'embed': expected f32, got f64")
  local narrow = open { dtype = "f32" }
  equal({ difference(model, narrow, embed), narrow.skipped }, { 0, {} })
  raises(function() open { dtype = "f16" } end, "option 'dtype': expected 'f32'", "'f16'")

  save(function(list) list[1][2] = list[1][2]:to "f64" end)
  raises(function() open {} end, "expected f32, got f64 (the option dtype = 'f32' converts)")
  save(function(list) list[1][2] = list[1][2]:to "f64" * 1e60 end)
  local none, problem = interop.open(path, { height = 47, width = 70, dtype = "f32" })
  assert(none == nil and problem:find("range of f32", 1, true), problem)

  save(function(list)
    table.insert(list, { "epoch", lv.ones(1) })
    table.insert(list, { "head_layer.steps", lv.ones(1):to "i32" })
  end)
  raises(function() open {} end, "has no", "epoch")
  local skipping = open { extra = "skip" }
  equal({ difference(model, skipping, embed), skipping.skipped },
    { 0, { "epoch", "head_layer.steps" } })
  raises(function() open { extra = "some" } end, "interop.open: option 'extra'", "'some'")

  -- The same of tensors that a script holds; what is refused changes nothing.
  local tensors, target = assert(lv.load_safetensors(path)), odd_model("hnerv", { encoder = false })
  local name = interop.published_values(target)[1][1]
  tensors.embed = nil
  local before = interop.published_values(target)[2][2]:clone():view(-1):tolist()
  raises(function() interop.load_published(target, tensors) end, "has no")
  tensors[name] = tensors[name]:to "f64"
  raises(function() interop.load_published(target, tensors, { extra = "skip" }) end,
    ("'%s': expected f32, got f64"):format(name))
  equal(interop.published_values(target)[2][2]:view(-1):tolist(), before)
  local loaded, skipped = interop.load_published(target, tensors, { dtype = "f32", extra = "skip" })
  equal({ loaded == target, skipped }, { true, { "epoch", "head_layer.steps" } })
  tensors[name] = tensors[name] * 1e60
  raises(function()
    interop.load_published(target, tensors, { dtype = "f32", extra = "skip" })
  end, ("'%s': expected values within the range of f32"):format(name))
end)

test("every published name and shape is ours", function()
  local root = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."
  local folder = os.getenv "LUNERV_GOLDENS" or root .. "/../shared/goldens"
  local text = lv.read_file(folder .. "/published_parameter_names.json")
  if not text then
    print "skipped: published names (no published_parameter_names.json in LUNERV_GOLDENS)"
    return
  end
  local kinds = 0
  for kind, published in pairs(lv.json.decode(text)) do
    kinds = kinds + 1
    local model = lv.models[kind](
      interop.options_from_published(kind, published.config, 180, 320, 132))
    local ours = {}
    for _, entry in ipairs(interop.published_values(model)) do ours[entry[1]] = entry[2].shape end
    equal(ours, published.params)
  end
  equal(kinds, 5)
end)
