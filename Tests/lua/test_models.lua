-- The models: sizes, shapes, padding, budgets, heads.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local geometry <const> = require "lunerv.models.geometry"
local kinds <const> = require "lunerv.models.kinds"
local tiny <const> = require "tiny"

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

-- Parameters of the decoder, as the built modules have them.
local function built(model)
  return model:parameter_count() - (model.encoder and model.encoder:parameter_count() or 0)
end

test("the kinds of time alone have the published widths and sizes at 180p", function()
  local enerv = lv.models.enerv_boost(bunny { size = 0.35, strides = { 5, 2, 2 } })
  equal({ enerv.config.fc_dim, enerv:stored_parameters() }, { 14, 584142 })
  local nerv = lv.models.nerv_boost(bunny { size = 0.22, strides = { 5, 2, 2 } })
  equal({ nerv.config.fc_dim, nerv:stored_parameters() }, { 9, 447797 })
end)

-- Small models of every kind, `each(kind, options)`.
local function small_models(each)
  for _, kind in ipairs(kinds.list) do
    for _, conditioning in ipairs(kind.boosted and { "tat", "adain", "none" } or { "none" }) do
      each(kind.name, tiny.options(kind.name, {
        height = 16, width = 24, frames = 2, fc_dim = 6, strides = { 2, 2 }, enc_dim = { 4, 2 },
        conditioning = conditioning, block_dim = 8, pe_levels = 4, stem_dim = 8,
      }))
    end
  end
end

test("parameters are counted without building the model", function()
  small_models(function(kind, given)
    for _, width in ipairs { 4, 8, 9 } do -- 8: E-NeRV needs no layer between equal widths
      for _, blocks in ipairs { { 1 }, { 2, 1 } } do
        given.fc_dim, given.dec_blks = width, blocks
        local model = lv.models[kind](given)
        equal(model:count(model.config, width), built(model))
      end
    end
  end)
  for _, kind in ipairs(kinds.where(function(kind) return kind.embeds end)) do
    local model = lv.models[kind](bunny {
      fc_dim = 30, enc_dim = { 16, 4 }, strides = { 3, 2, 2 }, enc_strides = { 3, 2, 2, 2 },
    })
    equal(model:count(model.config, 30), built(model))
  end
end)

test("every kind makes frames, and conditioning can be changed or left out", function()
  small_models(function(kind, given)
    local model = lv.models[kind](given)
    local image = model:reconstruct { image = lv.rand(1, 3, 16, 24), t = 0.5, index = 1 }
    equal(image.shape, { 1, 3, 16, 24 })
    if kinds.by_name[kind].boosted then
      equal(model.time == nil, given.conditioning == "none")
    end
    equal(lv.models.build(model.config):summary(), model:summary())
  end)
end)

test("kinds of time alone take several times at once", function()
  for _, kind in ipairs(kinds.where(function(kind) return not kind.embeds end)) do
    local model = lv.models[kind](bunny { height = 16, width = 24, fc_dim = 6, strides = { 2, 2 } })
    local both, second = model { 0.25, 0.5 }, model(0.5)
    equal(both.shape, { 2, 3, 16, 24 })
    assert((both:slice(1, 2, 2) - second):abs():amax():item() < 1e-5)
  end
end)

test("the first map covers the frame, or is as given", function()
  local model = lv.models.enerv_boost(bunny {
    height = 217, width = 333, fc_dim = 4, strides = { 5, 2, 2 }, block_dim = 8,
  })
  equal(model.grid, { 11, 17 })
  equal(model(0.5).shape, { 1, 3, 217, 333 })
  local given = bunny { fc_dim = 4, strides = { 5, 2, 2 }, fc_hw = { 10, 16 } }
  equal(lv.models.nerv(given)(0.5).shape, { 1, 3, 180, 320 })
  given.fc_hw = { 8, 16 }
  raises(function() lv.models.nerv(given) end,
    "fc_hw: expected at least 9,16 for frames of 180x320, got 8,16")
end)

test("stages of stride 1 keep their width in the kinds of time alone", function()
  local model = lv.models.nerv_boost(bunny { fc_dim = 40, strides = { 5, 1, 2, 2 } })
  local widths = {}
  for i, stage in ipairs(model:plan(model.config, 40)) do widths[i] = stage.to end
  equal(widths, { 40, 40, 20, 20, 12, 12 })
end)

test("the papers' sizes have names", function()
  local expected = {
    { "hnerv", "bunny-1.5M", 96 }, { "hnerv_boost", "bunny-1.5M", 86 },
    { "nerv_boost", "bunny-3M", 55 }, { "enerv_boost", "bunny-0.75M", 21 },
  }
  for _, case in ipairs(expected) do
    local model = lv.models[case[1]](bunny { height = 720, width = 1280, preset = case[2] })
    equal(model.config.fc_dim, case[3])
  end
  for _, kind in ipairs(lv.models.kinds) do
    local model = lv.models[kind](bunny {
      height = 1080, width = 1920, frames = 600, preset = "uvg-3M",
    })
    local stored = model:stored_parameters()
    assert(stored <= 3e6 and stored > 2.88e6, stored)
    equal(model.config.strides, { 5, 3, 2, 2, 2 })
  end
  local own = lv.models.nerv(bunny { preset = "uvg-3M", fc_dim = 5, strides = { 5, 2, 2 } })
  equal({ own.config.fc_dim, own.config.strides }, { 5, { 5, 2, 2 } })
  raises(function() lv.models.nerv(bunny { preset = "bunny-2M" }) end, "preset", "bunny-1.5M")
end)

test("a trunk may stop short of the frame's resolution", function()
  small_models(function(kind, given)
    given.strides, given.height, given.width = { 2, 2, 2 }, 19, 27 -- no stride divides them
    for _, scale in ipairs { 2, 4 } do
      given.head_scale = scale
      local model = lv.models[kind](given)
      equal(model:count(model.config, model.config.fc_dim), built(model))
      equal(#geometry.trunk(model.config), scale == 2 and 2 or 1)
      local frame = { image = lv.rand(1, 3, 19, 27), t = 0.5 }
      equal(model:reconstruct(frame).shape, { 1, 3, 19, 27 })
      local again = lv.models.build(model.config)
      equal(again:summary(), model:summary())
    end
  end)
end)

test("a static map is added at half of the resolution, or below", function()
  small_models(function(kind, given)
    given.strides, given.static_dim = { 2, 2, 2 }, 2
    for scale, expected in pairs { { 2, 12, 16 }, { 2, 12, 16 }, nil, { 1, 6, 8 } } do
      given.head_scale, given.height, given.width = scale, 19, 27 -- padded to 24x32
      local model = lv.models[kind](given)
      equal(model:count(model.config, model.config.fc_dim), built(model))
      local stage, height, width = table.unpack(expected)
      local count = 0
      for name, parameter in model:named_parameters() do
        if name:match "%.static$" then
          assert(name:find(("stages.%d."):format(stage), 1, true), name)
          equal(parameter.shape, { 1, 2, height, width })
          count = count + 1
        end
      end
      equal(count, 1)
      local frame = { image = lv.rand(1, 3, 19, 27), t = 0.5 }
      equal(model:reconstruct(frame).shape, { 1, 3, 19, 27 })
      equal(lv.models.build(model.config):summary(), model:summary())
    end
  end)
  equal(geometry.static_map({ strides = { 4 } }, { 2, 3 }),
    { stage = 1, height = 8, width = 12, cell = 1 })
  raises(function()
    lv.interop.save("none.pth", lv.models.hnerv(bunny(tiny.options("hnerv", { static_dim = 1 }))))
  end, "interop.save: expected a model without a static map")
end)

test("a size means as many parameters whatever the head's scale", function()
  for _, kind in ipairs(lv.models.kinds) do
    local counts = {}
    for _, scale in ipairs { 1, 2, 4 } do
      counts[scale] = lv.models[kind](bunny(tiny.options(kind, {
        size = 0.35, strides = { 5, 2, 2 }, head_scale = scale, enc_dim = { 64, 8 },
      }))):stored_parameters()
    end
    for _, scale in ipairs { 2, 4 } do
      assert(counts[scale] <= counts[1] and counts[scale] > 0.9 * counts[1])
    end
  end
end)

test("strides that leave the head its scale are found, others refused", function()
  equal(geometry.strides(180, 320, 2), { 5, 2, 2 })
  equal(geometry.trunk { strides = { 5, 2, 2 }, head_scale = 4 }, { 5 })
  equal(geometry.trunk { strides = { 5, 4 }, head_scale = 2 }, { 5, 2 })
  raises(function() geometry.trunk { strides = { 5, 3 }, head_scale = 2 } end,
    "head_scale: expected strides that end in a factor of 2, got 5,3")
  raises(function() geometry.trunk { strides = { 4 }, head_scale = 4 } end, "head_scale")
end)

test("an exact number of parameters is kept to", function()
  for _, kind in ipairs(lv.models.kinds) do
    local model = lv.models[kind](bunny { params = 7e5, strides = { 5, 2, 2 } })
    local wider = lv.models[kind](bunny {
      fc_dim = model.config.fc_dim + 1, strides = { 5, 2, 2 },
    })
    assert(model:stored_parameters() <= 7e5)
    assert(wider:stored_parameters() > 7e5)
  end
end)

test("a layer that falls away does not hide wider models that fit", function()
  -- At width 128 E-NeRV needs no layer between its transformer and its stages.
  local options = { strides = { 5, 2, 2 } }
  options.fc_dim = 128
  local wide = lv.models.enerv(bunny(options))
  local narrower = lv.models.enerv(bunny { fc_dim = 127, strides = { 5, 2, 2 } })
  local limit = wide:stored_parameters()
  local model = lv.models.enerv(bunny { params = limit, strides = { 5, 2, 2 } })
  equal(model.config.fc_dim, 128)
  assert(narrower:stored_parameters() < limit)
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

test("a decoder alone has no encoder", function()
  local model = lv.models.hnerv_boost(bunny {
    height = 16, width = 24, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 }, encoder = false,
  })
  equal(model:stored_parameters(), model:parameter_count() + 2 * 4 * 6 * 132)
  equal(model:decode(lv.randn(1, 2, 4, 6), 0.5).shape, { 1, 3, 16, 24 })
  raises(function() model(lv.rand(1, 3, 16, 24), 0.5) end, "no encoder")
end)

test("a configuration rebuilds its model", function()
  local model = lv.models.hnerv_boost(bunny { size = 0.2, enc_dim = { 16, 0.2 } })
  local again = lv.models.build(model.config)
  equal(again:summary(), model:summary())
  again:load_state_dict(model:state_dict())
end)

test("impossible models are errors", function()
  raises(function() return lv.models.nerf end, "lv.models has no 'nerf': did you mean 'nerv'?")
  raises(function() return lv.models.unet end,
    "lv.models has no 'unet' (known: build, enerv, enerv_boost, hnerv, hnerv_boost, kinds, nerv, ")
  raises(function() lv.models.build { kind = "nerf" } end,
    "unknown model 'nerf': did you mean 'nerv'? (known: enerv, ")
  raises(function() lv.models.build(3) end, "models.build: expected a configuration, got number")
  raises(function() lv.models.hnerv { fc_dim = 8 } end, "a clip")
  raises(function() lv.models.hnerv(bunny { size = 0.01 }) end, "size")
  raises(function() lv.models.hnerv(bunny { params = 100 }) end, "params")
  raises(function() lv.models.nerv(bunny { size = 1e-3 }) end,
    "size: expected at least 0.0", "0.001")
  raises(function() lv.models.enerv_boost(bunny { size = 0.001 }) end, "size: expected at least")
  raises(function() lv.models.enerv(bunny { params = 4e5 }) end,
    "models.enerv: params: expected at least 499,")
  raises(function() lv.models.enerv(bunny { fc_dim = 3 }) end, "fc_dim", "at least 4")
  raises(function() lv.models.nerv(bunny { enc_dim = { 64, 8 } }) end, "'enc_dim'")
  raises(function() lv.models.hnerv(bunny { fc_dim = 8, widths = { 9 }, strides = { 2, 2 } }) end,
    "widths: expected 2 numbers")
  raises(function() lv.models.hnerv(bunny { fcdim = 8 }) end, "'fcdim'", "fc_dim")
end)

-- The options that a refusal says would do, each way as a table.
local function advised(message)
  local ways = {}
  for way in (message:match "or lower (.*)$" .. " or "):gmatch "(.-) or " do
    local given = {}
    for name, value in way:gmatch "([%a_]+) to ([%d,]+)" do
      local first, second = value:match "^(%d+),(%d+)$"
      given[name] = second and { tonumber(first), tonumber(second) } or tonumber(value)
    end
    ways[#ways + 1] = given
  end
  return ways
end

local function film(given)
  given.height, given.width = 720, 1280
  return bunny(given)
end

test("a refused budget says what would make it fit, and that is true", function()
  for _, case in ipairs {
    { "hnerv", 120000, 1 }, { "hnerv", 40000, 1 }, { "hnerv_boost", 1e5, 1 }, { "nerv", 120000, 2 },
    { "enerv", 3e5, 1 },
  } do
    local kind, limit = case[1], case[2]
    local function build(given)
      given.params = limit
      return lv.models[kind](film(given))
    end
    local ok, problem = pcall(build, {})
    assert(not ok and problem.where, tostring(problem))
    local ways = advised(problem.message)
    equal(#ways, case[3])
    for _, given in ipairs(ways) do assert(build(given):stored_parameters() <= limit) end
    -- The reported minimum is enough, one less is not.
    local least = problem.data.least_params
    assert(least > limit)
    limit = least
    equal(build({}):stored_parameters(), least)
    limit = least - 1
    raises(function() build {} end, "raise params")
  end
  raises(function() lv.models.hnerv(film { params = 120000 }) end,
    "test_models.lua:", "models.hnerv: params: expected at least 353,648 for strides 5,2,2,2,2 and "
    .. "enc_dim 64,16, got 120,000: raise params, or lower enc_dim to 64,3")
  raises(function() lv.models.nerv(film { params = 1000 }) end,
    "raise params (with stem_dim 8 and lower_width 1 it needs 2,360)")
  raises(function() lv.models.hnerv(film { size = 0.1 }) end,
    "models.hnerv: size: expected at least 0.3045 (million parameters) for strides 5,2,2,2,2 and "
    .. "enc_dim 64,16, got 0.1: raise size, or lower enc_dim to 64,5")
  lv.models.hnerv(film { size = 0.1, enc_dim = { 64, 5 } })
end)
