-- The scripts people start from, run as they are on a tiny clip: scripts/examples.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, run <const>, test <const> = harness.equal, harness.run, harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."

local function decibels(line)
  return tonumber(line:match "^psnr ([%d.]+) dB") or error("no psnr in: " .. line)
end

test("the example's loop trains its decoder", function()
  local folder <close> = harness.folder()
  local examples = root .. "/scripts/examples/"
  local path = package.path
  package.path = examples .. "?.lua;" .. path
  local text = assert(lv.read_file(examples .. "train_phase.lua"))
  local lines = run(text, "train_phase.lua", harness.bands(folder.path .. "/bands.mkv"), "10")
  package.path = path
  assert(#lines == 12 and lines[1]:find "6 frames of 60x40.*PhaseDecoder", lines[1])
  assert(decibels(lines[#lines]) > 15, lines[#lines])
end)

test("the example's decoder says which frames it can make", function()
  local chunk = assert(loadfile(root .. "/scripts/examples/phase.lua"))
  harness.raises(function() chunk()(50, 60) end, "multiples of 20", "50x60")
  harness.raises(function() chunk()(40, 60, { chanels = 8 }) end, "'chanels'")
end)

test("a published program's file becomes a video", function()
  local folder <close> = harness.folder()
  local clip <close> = assert(lv.video.open(harness.bands(folder.path .. "/bands.mkv")))
  local model = lv.models.hnerv_boost {
    clip = clip, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 5, 2 }, ch_t = 4,
  }
  local file, out = folder.path .. "/bands.safetensors", folder.path .. "/out.mkv"
  assert(lv.interop.save(file, model, { clip = clip, quantised = true }))
  local script = root .. "/scripts/decode_published.lua"
  local lines = run(assert(lv.read_file(script)), script, file, out, "--fps", "10")
  assert(lines[1]:find "^hnerv_boost: width 6" and lines[2]:find "^6 frames of 60x40", lines[1])
  local decoded <close> = assert(lv.video.open(out))
  harness.equal({ #decoded, decoded.fps }, { 6, 10 })
  local expected = assert(lv.interop.open(file)):frame(4)
  local levels = (expected * 255):round():clamp { min = 0, max = 255 }
  harness.equal((decoded:frame(4) * 255 - levels):abs():amax():item() < 0.01, true)
end)

test("the example boosts its own decoder", function()
  local folder <close> = harness.folder()
  local script = root .. "/scripts/examples/boosted_own.lua"
  local path = package.path
  package.path = root .. "/scripts/examples/?.lua;" .. path
  local clip = harness.bands(folder.path .. "/bands.mkv")
  local lines = run(assert(lv.read_file(script)), script, clip, "3")
  package.path = path
  harness.equal(#lines, 2)
  local plain, boosted = lines[1]:match "^as it is, (%d+)", lines[2]:match "^boosted, (%d+)"
  assert(math.abs(plain / boosted - 1) < 0.15, lines[2])
  for _, line in ipairs(lines) do assert(tonumber(line:match "psnr ([%d.]+)") > 8, line) end
end)

test("the example's file contains its decoder", function()
  local folder <close> = harness.folder()
  local examples = root .. "/scripts/examples/"
  local path = package.path
  package.path = examples .. "?.lua;" .. path
  local text = assert(lv.read_file(examples .. "compress_own.lua"))
  local out, clip = folder.path .. "/own.lnv", harness.bands(folder.path .. "/bands.mkv")
  for _, module in ipairs { "phase", "ladder" } do
    local lines = run(text, "compress_own.lua", clip, out, "12", module)
    local file = assert(lv.codec.open(out))
    equal(file.decoder, ('program@1{"model":{"@":"%s","with":[40,60]}}'):format(module))
    local fitted, bytes, quality = lines[1]:match "psnr_8bit ([%d.]+)",
      lines[#lines]:match "^(%d+) bytes.*psnr_8bit ([%d.]+)"
    equal(tonumber(bytes), file.bytes)
    assert(tonumber(quality) > fitted - 1, lines[#lines])
  end
  package.path = path
end)

test("the example's model is stored in the file that it codes", function()
  local folder <close> = harness.folder()
  local examples = root .. "/scripts/examples/"
  local path = package.path
  package.path = examples .. "?.lua;" .. path
  local out, clip = folder.path .. "/own.lnv", harness.bands(folder.path .. "/bands.mkv")
  local lines = run(assert(lv.read_file(examples .. "own_model.lua")), "own_model.lua", clip, out,
    "2")
  package.path = path
  local file = assert(lv.codec.open(out))
  equal(#file, 6)
  equal(file.segments[1].kinds.weights, "modelled weights")
  equal(tonumber(lines[#lines]:match "^(%d+) bytes"), file.bytes)
  local sizes = {}
  for _, line in ipairs(lines) do
    local name, bytes, program = line:match "^(%a+) +(%d+) bytes of weights, +(%d+) of program"
    if name then sizes[name] = { tonumber(bytes), tonumber(program) } end
  end
  equal({ sizes.gaussian[2], sizes.counts[2] > 0 }, { 0, true })
  assert(math.abs(sizes.counts[1] / sizes.gaussian[1] - 1) < 0.2, sizes.counts[1])
end)
