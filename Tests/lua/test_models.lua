local harness <const> = require "harness"
local lv <const> = require "lunerv"
local budget <const> = require "lunerv.models.budget"
local geometry <const> = require "lunerv.models.geometry"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local function bunny(given)
  given.height, given.width = given.height or 180, given.width or 320
  given.frames = given.frames or 132
  return given
end

test("strides follow the frame size", function()
  equal(geometry.strides(180, 320), { 5, 2, 2 })
  equal(geometry.strides(720, 1280), { 5, 2, 2, 2, 2 })
  equal(geometry.strides(1080, 1920), { 5, 3, 2, 2, 2 })
  equal(geometry.strides(144, 176), { 4, 2, 2 })
end)

test("halves round to even", function()
  equal({ geometry.round(2.5), geometry.round(3.5), geometry.round(2.51), geometry.round(2.4) },
    { 2, 4, 3, 2 })
end)

test("hnerv_boost at 180p has the published width and size", function()
  local model = lv.models.hnerv_boost(bunny {
    size = 0.35, enc_dim = { 64, 8 }, strides = { 5, 2, 2 },
  })
  equal(model.config.fc_dim, 48)
  equal(model:parameter_count(), 411311)
  equal(model.encoder:parameter_count(), 97688)
  equal(model:stored_parameters(), 411311 - 97688 + 8 * 9 * 16 * 132)
  equal(#model.stages, 4)
end)

test("hnerv_boost at 720p has the published width and size", function()
  local model = lv.models.hnerv_boost(bunny {
    height = 720, width = 1280, size = 1.275, enc_dim = { 64, 16 }, strides = { 5, 2, 2, 2, 2 },
    dec_blks = { 1, 1, 2, 2, 2 },
  })
  equal(model.config.fc_dim, 86)
  equal(model:parameter_count(), 1411674)
end)

test("parameters are counted without building the model", function()
  for _, kind in ipairs { "hnerv", "hnerv_boost" } do
    local model = lv.models[kind](bunny {
      fc_dim = 30, enc_dim = { 16, 4 }, strides = { 3, 2, 2 }, enc_strides = { 3, 2, 2, 2 },
    })
    equal(budget.hnerv_decoder(model.config, 30),
      model:parameter_count() - model.encoder:parameter_count())
  end
end)

test("an exact number of parameters is kept to", function()
  local model = lv.models.hnerv_boost(bunny { params = 4e5, strides = { 5, 2, 2 } })
  local wider = lv.models.hnerv_boost(bunny {
    fc_dim = model.config.fc_dim + 1, strides = { 5, 2, 2 },
  })
  assert(model:stored_parameters() <= 4e5)
  assert(wider:stored_parameters() > 4e5)
end)

test("a share of the size sets the embedding", function()
  local model = lv.models.hnerv(bunny { size = 1, enc_dim = { 8, 0.1 }, strides = { 5, 2, 2 } })
  equal(model.config.enc_dim[2], 100000 * 10 // 10 // 132 // 144)
end)

test("frames that the strides do not divide are padded and cropped", function()
  local model = lv.models.hnerv_boost(bunny {
    height = 21, width = 30, frames = 4, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 },
    ch_t = 4,
  })
  equal(model.padding.bottom, 3)
  equal(model.padding.right, 2)
  local image = lv.randn(1, 3, 21, 30)
  equal(model:encode(image).shape, { 1, 2, 6, 8 })
  equal(model(image, 0.5).shape, { 1, 3, 21, 30 })
  equal(model:reconstruct({ image = image, t = 0.5, index = 2 }).shape, { 1, 3, 21, 30 })
  raises(function() model:encode(lv.randn(1, 3, 20, 30)) end, "21x30", "20x30")
end)

test("the encoder may go deeper than the decoder", function()
  local model = lv.models.hnerv(bunny {
    height = 24, width = 32, frames = 2, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 },
    enc_strides = { 2, 2, 2 },
  })
  equal(model(lv.randn(1, 3, 24, 32), 1).shape, { 1, 3, 24, 32 })
end)

test("conditioning can be changed or left out", function()
  for _, conditioning in ipairs { "tat", "adain", "none" } do
    local model = lv.models.hnerv_boost(bunny {
      height = 16, width = 24, frames = 2, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 },
      conditioning = conditioning,
    })
    equal(model(lv.randn(1, 3, 16, 24), 1).shape, { 1, 3, 16, 24 })
    equal(budget.hnerv_decoder(model.config, 6),
      model:parameter_count() - model.encoder:parameter_count())
  end
end)

test("a configuration rebuilds its model", function()
  local model = lv.models.hnerv_boost(bunny { size = 0.2, enc_dim = { 16, 0.2 } })
  local again = lv.models.build(model.config)
  equal(again:summary(), model:summary())
  again:load_state_dict(model:state_dict())
end)

test("what cannot be built is refused", function()
  raises(function() return lv.models.nerf end, "'nerf'", "hnerv, hnerv_boost")
  raises(function() lv.models.hnerv { fc_dim = 8 } end, "a clip")
  raises(function() lv.models.hnerv(bunny { size = 0.01 }) end, "size")
  raises(function() lv.models.hnerv(bunny { params = 100 }) end, "params")
  raises(function() lv.models.hnerv(bunny { fcdim = 8 }) end, "'fcdim'", "fc_dim")
end)
