-- lunerv run scripts/diagnose.lua: its figures, pictures and comparisons.
local harness <const> = require "harness"
local kernels <const> = require "lunerv.bench.kernels"
local lv <const> = require "lunerv"
local tiny <const> = require "tiny"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."

local function clip_in(folder)
  local path = folder.path .. "/clip.mkv"
  local writer = assert(lv.video.writer(path, { width = 64, height = 48, fps = 25 }))
  lv.seed(7)
  for _ = 1, 2 do writer:write(lv.rand(1, 3, 48, 64)) end
  writer:close()
  return path
end

local function options_of(kind)
  return tiny.options(kind, { fc_dim = 8, strides = { 4, 2 }, lower_width = 4, dec_blks = { 1 },
    enc_dim = { 4, 2 }, block_dim = 16 })
end

test("the parts cover all of a decoder and its multiplications", function()
  local frame = { image = lv.rand(1, 3, 48, 64), t = 0.5, index = 1 }
  for _, kind in ipairs(lv.options.kinds) do
    local o = options_of(kind)
    o.height, o.width, o.frames = 48, 64, 2
    local model = lv.models[kind](o)
    local parts = lv.diagnose.parts(model, frame)
    local encoder = model.encoder and model.encoder:parameter_count() or 0
    equal(parts.parameters, model:parameter_count() - encoder)
    local sum = 0
    for _, part in ipairs(parts) do sum = sum + part.parameters end
    equal(sum, parts.parameters)

    -- Convolutions, as the kernels were asked for them.
    local embedding = model.encode and model:encode(frame.image):evaluate()
    local convolutions = 0
    for _, c in ipairs(kernels.recorded(function()
      lv.no_grad(function()
        local output = embedding and model:decode(embedding, frame.t) or model(frame.t)
        output:evaluate()
      end)
    end)) do
      convolutions = convolutions + c.count * c.gflop * 1e9 / 2
    end
    local macs = parts.macs_per_pixel * 48 * 64
    local linear = 0
    for _, part in ipairs(parts) do
      local class = (model[part.name] or {}).class_name
      if class == "MLP" or class == "Transformer" then linear = linear + part.macs end
    end
    near((macs - linear) / convolutions, 1, 0.05)
  end
end)

test("a stage's work is that of its convolution", function()
  local model = lv.models.hnerv {
    height = 48, width = 64, frames = 2, fc_dim = 8, strides = { 4, 2 }, enc_dim = { 4, 2 },
    lower_width = 4, ks = { 0, 1, 5 },
  }
  local parts = lv.diagnose.parts(model, { image = lv.rand(1, 3, 48, 64), t = 1, index = 1 })
  local by_name = {}
  for i, part in ipairs(parts) do by_name[i] = { part.name, part.macs, part.map.shape } end
  equal(by_name, {
    { "stem", 2 * 8 * 6 * 8, { 1, 8, 6, 8 } },
    { "stages.1", 8 * 7 * 16 * 6 * 8, { 1, 7, 24, 32 } },
    { "stages.2", 7 * 6 * 4 * 9 * 24 * 32, { 1, 6, 48, 64 } },
    { "head", 6 * 3 * 9 * 48 * 64, { 1, 3, 48, 64 } },
  })
end)

test("every layer with weights counts, also those of a class that extends one", function()
  local nn = lv.nn
  local Own = nn.class("Own", nn.Conv2d)
  local Decoder = nn.class "Decoder"
  function Decoder:init()
    self.grid = nn.parameter(lv.rand(1, 4, 3, 5))
    self.up = nn.ConvTranspose2d(4, 6, 2, { stride = 2 })
    self.own = Own(6, 8, 3, { padding = 1 })
    self.masked = nn.MaskedConv2d(8, 4, 3)
    self.volume = nn.Conv3d(1, 2, { 3, 1, 1 }, { padding = { 1, 0, 0 } })
    self.head = nn.Conv2d(8, 3, 1)
  end
  function Decoder:forward()
    local x = self.masked(self.own(self.up(self.grid)))
    return self.head(self.volume(x:view(1, 1, 4, 6, 10)):view(1, 8, 6, 10))
  end
  local parts = lv.diagnose.parts(Decoder(), { image = lv.rand(1, 3, 6, 10), t = 1, index = 1 })
  local macs = {}
  for _, part in ipairs(parts) do macs[part.name] = part.macs end
  equal(macs, { grid = 0, up = 4 * 3 * 5 * 6 * 4, own = 8 * 60 * 6 * 9, masked = 4 * 60 * 8 * 9,
    volume = 2 * 4 * 60 * 3, head = 3 * 60 * 8 })
end)

test("diversity counts the channels that differ", function()
  local maps = lv.diagnose.maps
  lv.seed(5)
  local x = lv.randn(1, 6, 40, 50)
  near(maps.diversity(x), 6, 0.1)
  near(maps.diversity(x:slice(2, 1, 1):expand(1, 6, 40, 50) * 3 + 1), 1, 1e-4)
  near(maps.diversity(lv.cat({ x, -x, lv.full(2, 1, 4, 40, 50) }, 2)), 6, 0.1)
  equal(maps.diversity(lv.zeros(1, 3, 4, 5)), 0)
end)

test("a picture has every channel, black to white", function()
  local x = lv.arange(1, 7 * 40 * 300):view(1, 7, 40, 300)
  local picture = lv.diagnose.maps.picture(x)
  -- Six across and two rows, halved, with gaps of 4.
  equal(picture.shape, { 1, 3, 2 * 24, 6 * 154 })
  equal({ picture:amin():item(), picture:amax():item() }, { 0, 1 })
  -- A channel of 16×16 becomes 8 times as large.
  equal(lv.diagnose.maps.picture(lv.rand(1, 1, 16, 16)).shape, { 1, 3, 132, 6 * 132 })
end)

test("runs are described and shown side by side", function()
  local folder <close> = harness.folder()
  local path = clip_in(folder)
  for _, act in ipairs { "sin", "gelu" } do
    local clip <close> = assert(lv.video.open(path))
    local o = options_of "hnerv_boost"
    o.clip, o.act = clip, act
    lv.train { model = lv.models.hnerv_boost(o), clip = clip, epochs = 1,
      out = folder.path .. "/" .. act }
  end
  local script, out = root .. "/scripts/diagnose.lua", folder.path .. "/out"
  local function diagnose(...)
    return harness.run(assert(lv.read_file(script)), script, path, folder.path .. "/sin", "--out",
      out, ...)
  end
  local lines = diagnose("--against", folder.path .. "/gelu", "--frame", "2")
  assert(lines[1]:find "hnerv_boost %(sin%)" and lines[1]:find "hnerv_boost %(gelu%)", lines[1])
  local data = lv.json.decode(assert(lv.read_file(out .. "/report.json")))
  equal(#data, 2)
  for i, one in ipairs(data) do
    assert(one.speed.one_core > 0 and one.speed.all_cores > 0)
    assert(lv.read_file(("%s/parts-%d.svg"):format(out, i)):find "stages.2")
    for _, name in ipairs { "stem", "stages.1", "stages.2", "head" } do
      local picture <close> = assert(lv.video.open(("%s/maps-%d-%s.png"):format(out, i, name)))
      equal(#picture, 1)
    end
  end
  local function of(i) return ("%.1f of 8"):format(data[i].parts[1].diversity) end
  assert(lines[1]:find("| stem | " .. of(1) .. " | " .. of(2) .. " |", 1, true), lines[1])
  assert(assert(lv.read_file(out .. "/diversity.svg")):find(of(2) .. " channels", 1, true))
  raises(function() diagnose("--frame", "3") end, "frame: expected at most 2")
  raises(function() diagnose("--resize", "24,32") end, "64x48", "32x24")
  raises(function() diagnose("--against", folder.path .. "/none") end, "no checkpoint")
end)
