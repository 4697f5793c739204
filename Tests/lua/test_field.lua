-- The codecs of scripts/examples/field: they compute what their PyTorch twins do
-- (scripts/bench/field_twins.py), and their files decode without the scripts.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local workshop <const> = require "workshop"

local equal <const>, near <const>, test <const> = harness.equal, harness.near, harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."
local field <const> = root .. "/scripts/examples/field/"
local before <const> = package.path
package.path = field .. "?.lua;" .. before

local codecs <const> = { "ffnerv", "hinerv", "motion", "coolchic" }

local function largest(tensor) return tensor:abs():amax():item() end

-- The bits of a frame's latents.
local function bits_of(model, index)
  local grids, bits = require "coolchic_context".grids, 0
  local now, earlier = model:latents(index), model:latents(index - 1)
  for k, grid in ipairs(grids) do
    bits = require "coolchic_rate"(model.context, k, now[k], earlier[k]:detach(), now[grid.coarser])
      + bits
  end
  return bits
end

for _, name in ipairs(codecs) do
  test(name .. " agrees with its PyTorch twin", function()
    local fixture, metadata = lv.load_safetensors(
      ("%s/Tests/lua/files/field_%s.safetensors"):format(root, name))
    local arguments = lv.json.decode(metadata.arguments)
    local model, frames = require(name)(table.unpack(arguments)), arguments[3]
    lv.no_grad(function()
      for key, parameter in model:named_parameters() do parameter:copy_(fixture[key]) end
    end)
    -- The previous frame is made first, if a frame depends on it.
    local function frame(index)
      local images = {}
      for k, other in ipairs(model.references and model:references(index) or {}) do
        images[k] = frame(other):detach()
      end
      return model(index / frames, index, images)
    end
    -- While gradients are recorded, neighbours are the frames last computed: so compute them all.
    for index = 1, frames do frame(index) end
    for _, index in ipairs { 1, 3, 6 } do
      local expected = fixture["frame." .. index]
      near(largest(frame(index) - expected), 0, 1e-4)
      near(largest(lv.no_grad(function() return frame(index) end) - expected), 0, 1e-4)
    end
    local loss = lv.mse_loss(frame(3), fixture.image)
    if fixture.bits then
      local bits = bits_of(model, 3)
      near(bits:item(), fixture.bits:item(), 1e-5 * fixture.bits:item())
      loss = loss + bits / 1000
    end
    loss:backward()
    local count = 0
    for key, parameter in model:named_parameters() do
      local expected = fixture["grad." .. key]
      near(largest(parameter.grad - expected), 0, 1e-3 * largest(expected))
      count = count + 1
    end
    assert(count > 15, count)
  end)
end

test("a patch of hinerv is the frame's crop", function()
  lv.seed(2)
  local model = require "hinerv"(90, 110, 9, { width = 16, least = 8 })
  lv.no_grad(function()
    local whole = model(4 / 9)
    local windows = { { 1, 1, 30, 40 }, { 23, 38, 33, 51 }, { 61, 81, 30, 30 }, { 45, 7, 1, 1 } }
    for _, w in ipairs(windows) do
      local part = model:reconstruct { t = 4 / 9, window = w }
      local crop = whole:slice(3, w[1], w[1] + w[3] - 1):slice(4, w[2], w[2] + w[4] - 1)
      equal(part.shape, crop.shape)
      near(largest(part - crop), 0, 1e-5)
    end
  end)
end)

test("a decoder of ffnerv makes a frame in one pass of its network, to the same bits", function()
  lv.seed(3)
  local model = require "ffnerv"(40, 60, 9, { width = 16, least = 8 })
  local function frame(index)
    return lv.no_grad(function() return model(index / 9):tolist() end)
  end
  local expected = {}
  for index = 1, 9 do expected[index] = frame(index) end
  assert(#model:parameters() > 10) -- what is kept is none of its parameters
  for _, parameter in ipairs(model:parameters()) do parameter.requires_grad = false end
  local passes, network = 0, model.network
  local forward = network.forward
  function network.forward(...)
    passes = passes + 1
    return forward(...)
  end
  for index = 1, 9 do equal(frame(index), expected[index]) end
  equal(passes, 9)
  for _, index in ipairs { 2, 9, 5 } do equal(frame(index), expected[index]) end
end)

-- Files ------------------------------------------------------------------------------------------

local function clip_of(folder)
  return assert(lv.video.open(harness.bands(folder.path .. "/bands.mkv")))
end

local tiny <const> = {
  ffnerv = { width = 16, least = 8, grids = { { 2, 2 }, { 1, 1 } } },
  hinerv = { width = 16, least = 8, blocks = 1, wider = 2 },
  motion = { width = 16, least = 8, grids = { { 2, 2 }, { 1, 1 } }, group = 4 },
}

local modules <const> = { "ffnerv", "hinerv", "grids", "motion", "coolchic", "coolchic_context",
  "coolchic_encoder", "coolchic_model", "coolchic_rate" }

-- A file of a few steps.
local function file_of(name, clip, path)
  lv.seed(4)
  if name == "coolchic" then
    local function clocked(model, _, given)
      given.model, given.clip, given.steps = model, clip, 8
      given.progress = function(step) return step end
      return given
    end
    local small = require "coolchic_encoder"(clip, { bytes = 4000, deadline = 0,
      clocked = clocked })
    return assert(lv.codec.write(path, small, { clip = clip, model = require "coolchic_model" }))
  end
  local model = require(name)(clip.height, clip.width, #clip, tiny[name])
  local small = lv.compress.cem(model, { clip = clip })
  lv.train { model = small, clip = clip, steps = 8, loss = "l2",
    patch = name == "hinerv" and { 24, 32 } or nil }
  return assert(lv.codec.write(path, small, { clip = clip }))
end

local function levels(frame) return (frame * 255):round():clamp(0, 255):to "u8":tolist() end

for _, name in ipairs(codecs) do
  test("a file of " .. name .. " decodes without the script", function()
    local folder <close> = harness.folder()
    local clip <close> = clip_of(folder)
    local path = folder.path .. "/own.lnv"
    file_of(name, clip, path)
    package.path = before
    for _, module in ipairs(modules) do package.loaded[module] = nil end
    equal(pcall(require, name), false)
    local here, forwards = assert(lv.codec.open(path)), {}
    for i = 1, #here do forwards[i] = here:frame(i):tolist() end
    -- In any order, from the start or not.
    local again = assert(lv.codec.open(path))
    for _, i in ipairs { 6, 2, 5, 1, 1, 4, 3 } do equal(again:frame(i):tolist(), forwards[i]) end
    for _, threads in ipairs { 1, 8 } do
      local out = ("%s/frames-%d.mkv"):format(folder.path, threads)
      local text, code = workshop.lunerv(("decompress '%s' -o '%s' --threads %d"):format(path, out,
        threads))
      assert(code == 0, text)
      local decoded <close> = assert(lv.video.open(out))
      equal(#decoded, #here)
      for i = 1, #decoded do
        equal(levels(decoded:frame(i)), levels(here:frame(i)))
      end
    end
    package.path = field .. "?.lua;" .. before
  end)
end

test("unused parts of frames have no weight", function()
  local folder <close> = harness.folder()
  local clip <close> = clip_of(folder)
  lv.seed(4)
  local model = require "motion"(clip.height, clip.width, #clip, tiny.motion)
  local small = lv.compress.cem(model, { clip = clip })
  -- The first frame of a group has no motion.
  local sums = small:sensitivities(clip)
  local by_name = {}
  for i, slot in ipairs(small.slots) do by_name[slot.name] = sums[i] end
  assert(by_name["motion.weight"] and by_name["image.weight"]:sum():item() > 0)
end)

-- The second has frames that do without a part of the network.
for _, name in ipairs { "hinerv", "motion" } do
  test("the driver's file of " .. name .. " fits the bits that were asked for", function()
    local folder <close> = harness.folder()
    local clip, out = harness.bands(folder.path .. "/bands.mkv"), folder.path .. "/own.lnv"
    local script = field .. "encode.lua"
    local lines = harness.run(assert(lv.read_file(script)), script, clip, out, "--codec", name,
      "--minutes", ("%g"):format(0.1 * harness.patience), "--bpp", "8", "--json")
    equal(#lines, 1)
    local printed, info = lv.json.decode(lines[1]), assert(lv.codec.info(out))
    equal({ printed.bytes, printed.codec }, { info.bytes, name })
    assert(printed.bpp <= 8 and printed.psnr_8bit > 10, lines[1])
    assert(printed.seconds < 60 * harness.patience, lines[1])
  end)
end

package.path = before
