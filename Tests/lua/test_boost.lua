-- nn.boost: a conditional decoder around a user's own.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local nn <const> = lv.nn

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

-- A decoder of time: a map of 4 channels on 3 × 4 cells, two blocks inside a Sequential.
local Tower = nn.class "Tower"

function Tower:init()
  self.ground = nn.Linear(1, 4 * 12)
  self.body = nn.Sequential {
    nn.NeRVBlock(4, 6, { scale = 2, act = "gelu" }),
    nn.NeRVBlock(6, 5, { scale = 3, act = "relu" }),
  }
  self.head = nn.Conv2d(5, 3, { kernel = 1 })
end

function Tower:forward(t)
  return self.head(self.body(self.ground(lv.tensor { { t } }):view(1, 4, 3, 4)))
end

local function boosted(given)
  given = given or {}
  given.ch_t, given.pe_levels = given.ch_t or 5, 3
  given.decoder = given.decoder or Tower()
  return nn.boost(given)
end

local function residual_parameters(channels, cond)
  local affine = 2 * ((cond + 1) * cond + (cond + 1) * channels)
  return 2 * (affine + (9 * channels + 1) * channels)
end

test("the innermost blocks that enlarge a map are boosted, in place", function()
  local plain = Tower():parameter_count()
  local model = boosted()
  local body = model.decoder.body
  equal({ body[1].class_name, body[2].class_name }, { "BoostedInPlace", "BoostedInPlace" })
  equal({ body.class_name, model.decoder.head.class_name }, { "Sequential", "Conv2d" })
  equal(model:parameter_count(), plain + residual_parameters(6, 5) + residual_parameters(5, 5)
    + 7 * 10 + 11 * 5)
  equal(model(0.5).shape, { 1, 3, 18, 24 })
  equal(model:stored_parameters(), model:parameter_count())
end)

test("a boosted decoder equals one written by hand", function()
  local model = boosted()
  local t, body = 0.3, model.decoder.body
  local z = model.time(model.position(t))
  local x = model.decoder.ground(lv.tensor { { t } }):view(1, 4, 3, 4)
  for i = 1, 2 do
    local block = body[i].up
    x = body[i].residual(block.conv(x):pixel_shuffle(block.scale):sin(), z)
  end
  local expected = model.decoder.head(x)
  near((model(t) - expected):abs():amax():item(), 0, 1e-6)
  near((model:reconstruct({ t = t, index = 1 }) - expected):abs():amax():item(), 0, 1e-6)
end)

test("a clone of a boosted module is conditioned by itself", function()
  local model = boosted()
  local other = model:clone()
  equal(other(0.3):tolist(), model(0.3):tolist())
  assert(other.decoder.body[1].conditioning == other.conditioning)
  assert(other.conditioning ~= model.conditioning)
  lv.no_grad(function()
    for _, parameter in ipairs(model:parameters()) do parameter:fill_(0) end
  end)
  assert((other(0.3) - model(0.3)):abs():amax():item() > 0)
end)

test("every parameter gets a gradient, and the output depends on time", function()
  local model = boosted()
  local first = model(0.3)
  first:mean():backward()
  for name, parameter in model:named_parameters() do assert(parameter.grad, name) end
  assert((model(0.7) - first):abs():amax():item() > 0)
  equal(model.conditioning.z, nil)
end)

test("activations stay when asked, and blocks may be named", function()
  local decoder = Tower()
  local act = decoder.body[1].act
  local model = boosted { decoder = decoder, act = "keep", conditioning = "adain",
    blocks = { decoder.body[1] } }
  equal(decoder.body[1].up.act == act, true)
  equal(decoder.body[1].residual.tat1.normalise, true)
  equal(decoder.body[2].class_name, "NeRVBlock")
  equal(model(0.5).shape, { 1, 3, 18, 24 })
  local bent = Tower()
  boosted { decoder = bent }
  equal({ bent.body[1].up.act == lv.sin, bent.body[2].up.act == lv.sin }, { true, true })
end)

test("a decoder of images is boosted too", function()
  lv.seed(2)
  local inner = lv.models.hnerv {
    height = 16, width = 24, frames = 2, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 },
  }
  local stored, count = inner:stored_parameters(), inner:parameter_count()
  local frame = { image = lv.rand(1, 3, 16, 24), t = 0.5, index = 1 }
  local model = boosted { decoder = inner, sample = frame }
  equal(inner.stages[2].class_name, "BoostedInPlace")
  equal(inner.stem.act == lv.sin, true) -- what comes before the blocks is the decoder's too
  local output = model:reconstruct(frame)
  equal(output.shape, { 1, 3, 16, 24 })
  equal(model(frame.image, 0.5):tolist(), output:tolist())
  equal(model:decode(model:encode(frame.image), 0.5):tolist(), output:tolist())
  equal(model:stored_parameters() - stored, model:parameter_count() - count)
end)

test("an error names the place inside the boosted decoder", function()
  local model = boosted()
  raises(function() model.decoder.body[1](lv.rand(1, 4, 3, 4)) end, "without a time")
  model.decoder.body[2].residual.conv1.weight = lv.zeros(2, 2, 3, 3)
  raises(function() model(0.5) end, "decoder.body[2].residual.conv1")
  raises(function() model(lv.rand(1)) end, "a time as the last argument")
end)

test("a module that cannot be boosted is an error", function()
  raises(function() nn.boost { decoder = function() end } end, "a module", "function")
  raises(function() nn.boost { decoder = nn.Linear(1, 2), sample = { t = lv.rand(1, 1) } } end,
    "no module in Linear", "blocks")
  local decoder = Tower()
  raises(function() boosted { decoder = decoder, blocks = { decoder.ground } } end,
    "Linear does not make a map")
  raises(function() boosted { blocks = { nn.Linear(1, 2) } } end, "is not called")
  raises(function() boosted { conditioning = "none" } end, "'tat' or 'adain'")
  raises(function() nn.boost { decoder = decoder, chanels = 3 } end, "'chanels'")
  raises(function() nn.boost { decoder = decoder, act = "sine" } end, "'sine'")
end)

test("observing lists the calls of a module's parts", function()
  local decoder, names = Tower(), {}
  local calls = decoder:observe(function() decoder(0.5) end)
  for i, call in ipairs(calls) do names[i] = call.module.class_name end
  equal(names, { "Linear", "Conv2d", "NeRVBlock", "Conv2d", "NeRVBlock", "Sequential", "Conv2d",
    "Tower" })
  equal({ calls[3].inputs[1].shape, calls[3].output.shape }, { { 1, 4, 3, 4 }, { 1, 6, 6, 8 } })
  local outside = decoder.head:observe(function() decoder.ground(lv.rand(1, 1)) end)
  equal(#outside, 0)
  raises(function() decoder:observe(function() error "stopped" end) end, "stopped")
  local last = decoder.head:observe(function() decoder(0.5) end)
  equal(#last, 1)
  -- Here nothing stops later: memory of a call would stay for ever.
  decoder(0.5)
  equal(#last, 1)
end)

test("a module replaces another everywhere", function()
  local shared = nn.Linear(2, 2)
  local list = nn.List { shared, nn.Sequential { shared, "sin" } }
  local new = nn.Linear(2, 2)
  equal(list:replace(shared, new), 2)
  equal({ list[1] == new, list[2][1] == new }, { true, true })
  equal(list:replace(shared, new), 0)
end)
