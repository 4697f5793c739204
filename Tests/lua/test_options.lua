-- Options: command lines, help, checks, presets.
local harness <const> = require "harness"
local options <const> = require "lunerv.options"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local spec <const> = {
  command = "regress", usage = "regress.lua CLIP --out DIR", about = "A test.",
  positional = { "clip" }, required = { "out" },
}

local function parse(...) return options.parse({ ... }, spec) end

test("defaults complete what is given", function()
  equal(options({ width = 3 }, { width = 48, act = "sin" }), { width = 3, act = "sin" })
  equal(options(nil, { width = 48 }), { width = 48 })
  equal(options({ kernel = 3 }, {}, { "kernel" }), { kernel = 3 })
end)

test("an unknown key is refused with the known ones", function()
  raises(function() options({ widht = 3 }, { width = 48, act = "sin" }, { "last" }) end,
    "'widht'", "act, last, width", "test_options.lua")
end)

test("a value of another type is refused", function()
  raises(function() options({ width = "wide" }, { width = 48 }) end, "'width'", "expected number")
  raises(function() options(5, { width = 48 }) end, "table of options")
end)

test("a command line is read", function()
  local o = parse("a.mkv", "--size", "0.35", "--enc-dim", "64,8", "--strides=5_2_2",
    "--fc_dim", "48", "--out", "x", "--resume", "--cache", "512M", "--lr=1e-3")
  equal(o.clip, "a.mkv")
  equal(o.size, 0.35)
  equal(o.enc_dim, { 64, 8 })
  equal(o.strides, { 5, 2, 2 })
  equal(o.fc_dim, 48)
  equal(o.resume, true)
  equal(o.cache, 512 << 20)
  equal(o.lr, 1e-3)
  equal(parse("a", "--out", "x", "--no-resume").resume, false)
  equal(parse("a", "--out", "x", "--frames", "60").frames, { 60 })
end)

test("defaults follow the model", function()
  local boost, hnerv = parse("a", "--out", "x"), parse("a", "--out", "x", "--model", "hnerv")
  equal({ boost.lr, boost.optimiser, boost.loss }, { 3e-3, "adan", "boosted" })
  equal({ hnerv.lr, hnerv.optimiser, hnerv.loss }, { 1e-3, "adam", "l2" })
  equal(boost.ch_t, 32)
  equal(hnerv.ch_t, nil)
  equal(hnerv.act, "gelu")
end)

test("every kind has its own training", function()
  local expected = {
    nerv = { 5e-4, "adam", 0.5, "l1_ssim", 0.2, "silu", 40 },
    nerv_boost = { 3e-3, "adan", 0.9, "boosted", 0.1, "sin", 80 },
    enerv = { 5e-4, "adam", 0.5, "l1_ssim", 0.2, "gelu", 80 },
    enerv_boost = { 1.5e-3, "adan", 0.9, "boosted", 0.1, "sin", 80 },
    hnerv = { 1e-3, "adam", 0.9, "l2", 0.1, "gelu" },
    hnerv_boost = { 3e-3, "adan", 0.9, "boosted", 0.1, "sin", 80 },
  }
  for kind, values in pairs(expected) do
    local o = parse("a", "--out", "x", "--model", kind)
    equal({ o.lr, o.optimiser, o.beta1, o.loss, o.warmup, o.act, o.pe_levels }, values)
  end
end)

test("parameters are counted in thousands and millions", function()
  equal(parse("a", "--out", "x", "--params", "1.5M").params, 1500000)
  equal(parse("a", "--out", "x", "--params", "400k").params, 400000)
  equal(parse("a", "--out", "x", "--params", "4e5").params, 400000)
  raises(function() parse("a", "--out", "x", "--params", "1.5G") end, "--params", "1.5M")
  raises(function() parse("a", "--out", "x", "--params", "-3k") end, "--params", "at least 1")
end)

test("a preset fills what is not given", function()
  local o = parse("a", "--out", "x", "--preset", "bunny-1.5M")
  equal({ o.size, o.strides, o.dec_blks }, { 1.275, { 5, 2, 2, 2, 2 }, { 1, 1, 2, 2, 2 } })
  o = parse("a", "--out", "x", "--preset", "bunny-1.5M", "--params", "1M", "--strides", "5,2,2")
  equal({ o.params, o.strides }, { 1000000, { 5, 2, 2 } })
  equal(o.size, nil)
  raises(function() parse("a", "--out", "x", "--preset", "bunny") end, "--preset", "uvg-3M")
end)

test("wrong command lines are errors", function()
  raises(function() parse("a", "--out", "x", "--epoch", "3") end, "'--epoch'", "--epochs")
  raises(function() parse("a", "--out", "x", "--model", "nerf") end, "'nerf'", "hnerv_boost")
  raises(function() parse("a", "--out", "x", "--epochs", "many") end, "--epochs", "'many'")
  raises(function() parse("a", "--out", "x", "--epochs", "0") end, "--epochs", "at least 1")
  raises(function() parse("a", "--out", "x", "--enc-dim", "64") end, "--enc-dim")
  raises(function() parse("a", "--out", "x", "--enc-dim", "64,a") end, "--enc-dim")
  raises(function() parse("a", "--out") end, "--out needs a value")
  raises(function() parse("a", "--size", "--out", "x") end, "--size needs a value")
  raises(function() parse("a") end, "--out is missing")
  raises(function() parse("--out", "x") end, "CLIP is missing")
  raises(function() parse("a", "b", "--out", "x") end, "'b'")
  raises(function() parse("a", "--out", "x", "--model", "hnerv", "--ch-t", "8") end, "--ch-t")
  raises(function() parse("a", "--out", "x", "-x") end, "'-x'")
  raises(function() parse("a", "-o", "x") end, "'-o'")
end)

test("an option may have a short name", function()
  local o = options.parse({ "a.lnv", "-o", "b.mkv" },
    { command = "decompress", usage = "x", about = "y", positional = { "file" } })
  equal({ o.file, o.output }, { "a.lnv", "b.mkv" })
end)

test("help names every option of a command", function()
  local commands = {}
  for _, option in ipairs(options.catalogue) do
    for _, command in ipairs(option.commands or {}) do
      commands[command] = true
      local text = options.help({ command = command, usage = "x", about = "y" }, true)
      assert(text:gsub("%s+", " "):find(option.doc, 1, true), option.name)
    end
  end
  for _, command in ipairs { "regress", "compress", "decompress", "info", "eval" } do
    assert(commands[command], command)
  end
end)

test("model options are checked by the catalogue", function()
  local o = options.for_model("hnerv_boost", { fc_dim = 8, height = 90 }, { "height" })
  equal({ o.fc_dim, o.height, o.ch_t, o.enc_dim }, { 8, 90, 32, { 64, 16 } })
  raises(function() options.for_model("hnerv", { ch_t = 8 }, {}) end, "'ch_t'", "lower_width")
  raises(function() options.for_model("hnerv", { fc_dim = 2.5 }, {}) end, "'fc_dim'", "integer")
  raises(function() options.for_model("hnerv_boost", { act = "sine" }, {}) end, "'act'", "gelu")
end)
