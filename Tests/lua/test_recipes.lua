-- Recipes: defaults, files of a user, identities.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local Guard <const> = require "lunerv.guard"
local checkpoint <const> = require "lunerv.checkpoint"
local recipes <const> = require "lunerv.recipes"
local request <const> = require "lunerv.compress.request"
local tiny <const> = require "tiny"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- What a command line means to a script.
local function parsed(command, ...)
  return lv.options.parse({ "clip.mp4", ... }, { command = command, usage = "", about = "",
    positional = { "clip" } })
end

test("a recipe fills what is not given, and gives way to what is", function()
  local plain = parsed "regress"
  equal({ plain.recipe, plain.optimiser, plain.schedule, plain.guard },
    { nil, "adan", "warmup_cosine", false })
  local fast = parsed("regress", "--recipe", "fast")
  equal({ fast.optimiser, fast.schedule, fast.guard }, { "muon", "warmup_linear", true })
  local own = parsed("regress", "--recipe", "fast", "--optimiser", "adam", "--no-guard")
  equal({ own.optimiser, own.schedule, own.guard }, { "adam", "warmup_linear", false })
  equal(parsed("compress_file").recipe, "fast")
  equal(parsed("ablate").compress_optimiser, nil)
  local ablated = parsed("ablate", "--recipe", "fast")
  equal({ ablated.optimiser, ablated.schedule, ablated.guard }, { "muon", "warmup_linear", true })
  local published = parsed("compress_file", "--recipe", "published", "--model", "nerv")
  equal({ published.optimiser, published.lr, published.compress_optimiser, published.predict },
    { "adam", 5e-4, "adan", false })
end)

test("a custom recipe is a file, functions and all, and part of a run's identity", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local path = folder.path .. "/mine.lua"
  local text = [[
    local lv = require "lunerv"
    return { about = "one of my own", options = function(kind)
      return {
        lr = kind == "hnerv_boost" and 0.5 or 0.25, epochs = 2,
        schedule = function(step, steps) return 0.01 * (1 - step / steps) end,
        optimiser = function(model, o)
          assert(o.lr == 0.5)
          return lv.optim.Muon { { params = model:parameters(), momentum = 0.9 } }
        end,
        loss = function(output, image, frame, share)
          assert(frame.t > 0 and share >= 0 and share < 1)
          return lv.loss.l2(output, image) * (1 + share)
        end,
      }
    end }
  ]]
  assert(lv.write_file(path, text))
  local given = { model = tiny.model(clip), clip = clip, recipe = path,
    out = folder.path .. "/run" }
  local run = lv.train(given)
  equal(run.steps, 6)
  local facts = checkpoint.latest(run.out).state.options
  equal({ facts.lr, facts.optimiser, facts.loss, facts.schedule }, { 0.5, "custom", "custom",
    "custom" })
  assert(facts.recipe:match "^mine%.lua %(%x+%)$", facts.recipe)
  given.model, given.resume, given.recipe = tiny.model(clip), true, nil
  raises(function() lv.train(given) end, "cannot resume")
end)

test("a half trunk by the fast recipe has the blocks of the finest map, no more in all", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local function blocks_and_size(name, given, chosen)
    local settings = lv.options.for_model("hnerv_boost", { strides = { 2, 2 }, enc_dim = { 8, 4 } })
    for key, value in pairs(given) do settings[key] = value end
    recipes.change(name, settings, "hnerv_boost", clip, chosen)
    settings.clip = clip
    local model = lv.models.hnerv_boost(settings)
    return model.config.dec_blks, model:stored_parameters()
  end
  local _, published = blocks_and_size("published", { size = 0.05 })
  local _, whole = blocks_and_size("fast", { size = 0.05 })
  local blocks, half = blocks_and_size("fast", { size = 0.05, head_scale = 2 })
  equal(blocks, { 2 })
  for _, count in ipairs { whole, half } do
    assert(count <= published and count > 0.9 * published, count)
  end
  equal((blocks_and_size("fast", { size = 0.05, head_scale = 2, dec_blks = { 3 } })), { 3 })
  equal((blocks_and_size("fast", { size = 0.05, head_scale = 2 }, { dec_blks = true })),
    { 1, 1, 2 })
  equal((blocks_and_size("fast", { params = 40000, head_scale = 2 })), { 2 })
  equal((blocks_and_size("published", { size = 0.05, head_scale = 2 })), { 1, 1, 2 })
end)

test("a loss gets the share of the training that is done, by its clock if it has one", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local heard = {}
  lv.train { model = tiny.model(clip), clip = clip, epochs = 1,
    progress = function(step, steps) return (step + steps) / 2 end,
    loss = function(output, image, _, share)
      heard[#heard + 1] = share
      return lv.loss.l2(output, image)
    end }
  equal(heard, { 0.5, 4 / 6, 5 / 6 })
end)

test("NeRV and E-NeRV by the fast recipe leave their parameters to the trunk", function()
  local clip = { height = 180, width = 320, frames = 132 }
  setmetatable(clip, { __len = function(c) return c.frames end })
  local function of(name, kind, given)
    local settings = lv.options(given or {}, {}, { "size", "stem_dim", "block_dim", "fc_dim" })
    recipes.change(name, settings, kind, clip)
    settings.clip = clip
    return lv.models[kind](settings)
  end
  for kind, option in pairs { nerv = "stem_dim", nerv_boost = "stem_dim", enerv = "block_dim",
    enerv_boost = "block_dim" } do
    local usual = lv.options.default(option, kind)
    local before = of("published", kind, { size = 0.22, [option] = usual })
    local after = of("fast", kind, { size = 0.22, [option] = usual })
    equal(before.config[option], usual)
    assert(after.config[option] <= 64 and after.config.fc_dim > before.config.fc_dim)
    assert(after:stored_parameters() <= before:stored_parameters())
    assert(after:stored_parameters() > 0.95 * before:stored_parameters())
    -- A user's choice stays.
    equal(of("fast", kind, { size = 0.22, [option] = 40 }).config[option], 40)
    equal(of("fast", kind, { fc_dim = 16, [option] = usual }).config[option], usual)
  end
end)

test("the second stage does not get the recipe's optimiser of the first", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local path = folder.path .. "/mine.lua"
  assert(lv.write_file(path, 'return { about = "mine", options = { optimiser = "muon" } }'))
  local function planned(...)
    local o = parsed("compress_file", "--recipe", ...)
    local _, training = lv.compress.prepare(tiny.model(clip), o)
    return training.optimiser
  end
  equal(planned(path), "adam")
  equal(planned("published"), "adan")
  equal(type(planned "fast"), "function")
  equal(planned("published", "--method", "three_step"), "adan")
  local o = parsed("compress_file", "--method", "three_step", "--families", "laplace")
  raises(function() request.check_effects(o) end, "--families: expected the method cem")
  for words, expected in pairs {
    ["--method three_step --lambda 0.1"] = "--lambda: expected the method cem",
    ["--prune 0.5"] = "--prune: expected the method three_step",
    ["--bpp 0.1 --target-bpp 0.1"] = "--target-bpp: expected no --bpp",
    ["--min-gop 9"] = "--min-gop: expected --scene-cuts",
    ["--chain 2"] = "--chain: expected --gop or --scene-cuts",
  } do
    local list = {}
    for word in words:gmatch "%S+" do list[#list + 1] = word end
    local given = parsed("compress_file", table.unpack(list))
    raises(function() request.check_effects(given) end, expected)
  end
  request.check_effects(parsed("compress_file", "--method", "three_step", "--no-seeded"))
  request.check_effects(parsed("compress_file", "--prune", "0.5", "--resume"))
  raises(function() parsed("regress", "--size", "1", "--params", "1M") end,
    "expected one of --size and --params")
end)

test("an invalid recipe is a one-line error", function()
  local folder <close> = harness.folder()
  raises(function() recipes.get "slow" end, "recipe: expected one of fast, published", "'slow'")
  raises(function() recipes.get(folder.path .. "/none.lua") end, "recipe: ", "none.lua")
  local path = folder.path .. "/wrong.lua"
  assert(lv.write_file(path, "return 1"))
  raises(function() recipes.get(path) end, "to return a table, got number")
  path = folder.path .. "/unknown.lua"
  assert(lv.write_file(path, "return { options = { speed = 1 } }"))
  raises(function() parsed("regress", "--recipe", path) end, "unknown option 'speed'")
  path = folder.path .. "/syntax.lua"
  assert(lv.write_file(path, "return {"))
  raises(function() recipes.get(path) end, "recipe: ", "syntax.lua:1")
end)

-- A loss that is NaN, or far too high, at some steps.
local function spoiled(at)
  local step = 0
  return function(output, image)
    step = step + 1
    local factor = at[step]
    local value = lv.loss.l2(output, image)
    return factor and value * factor or value
  end
end

test("a guarded run returns from NaN, twice", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local rates = {}
  local function run(at, given)
    local options = { model = tiny.model(clip), clip = clip, epochs = 40, optimiser = "adam",
      lr = 1e-3, schedule = function() return 1e-3 end, guard = true, loss = spoiled(at) }
    for name, value in pairs(given or {}) do options[name] = value end
    return lv.train(options)
  end
  local nan = 0 / 0
  local trained = run({ [60] = nan, [90] = nan }, { out = folder.path .. "/run" })
  equal(trained.steps, 120)
  assert(trained.metrics.psnr == trained.metrics.psnr)
  -- Rates are in the checkpoint's guard.
  local state = checkpoint.latest(trained.out).state.guard
  rates[1], rates[2] = state.factor, state.returns
  equal(rates, { 0.25, 2 })
  raises(function() run { [60] = nan, [70] = nan, [80] = nan } end, "the loss became nan")
  -- Before there is a good state there is nothing to go back to.
  raises(function() run { [2] = nan } end, "the loss became nan after step 1")
end)

test("a guard sees a collapse that triples no loss", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local model = tiny.model(clip)
  local optimiser = lv.optim.Adam(model:parameters())
  local function first_bad(psnr)
    local guard = Guard.new(model, optimiser)
    local function verdict(value)
      local result = guard:judge(1, value)
      guard:commit()
      return result
    end
    -- Frames differ by 5 dB.
    for step = 1, 400 do equal(verdict(30 + step % 2 * 5), "good") end
    local good = model.head.bias:tolist()
    lv.no_grad(function() model.head.bias:add_(1) end)
    for step = 1, 400 do
      if verdict(psnr) == "bad" then
        equal(guard.factor, 0.5)
        equal(model.head.bias:tolist(), good)
        return step
      end
    end
  end
  local step = first_bad(22)
  assert(step and step > 20 and step < 120, step)
  equal(first_bad(27), nil)
end)

test("a guarded run takes no loss below 0 for a divergence", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local trained = lv.train { model = tiny.model(clip), clip = clip, epochs = 30, lr = 1e-3,
    optimiser = "adam", guard = true, out = folder.path .. "/run",
    loss = function(output, image) return lv.loss.l2(output, image) - 1 end }
  equal(checkpoint.latest(trained.out).state.guard.returns, 0)
end)

test("a guarded run goes back from a loss that stays high, and resumes to the bit", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local high = {}
  for step = 70, 100 do high[step] = 1000 end
  local function run(out, given)
    local options = { model = tiny.model(clip), clip = clip, epochs = 40, optimiser = "muon",
      lr = 1e-3, guard = true, out = folder.path .. "/" .. out,
      loss = function(output, image, _, share)
        local step = math.floor(share * 120 + 0.5) + 1
        return lv.loss.l2(output, image) * (high[step] or 1)
      end }
    for name, value in pairs(given or {}) do options[name] = value end
    return lv.train(options)
  end
  local whole = run "whole"
  local found = checkpoint.latest(whole.out)
  assert(found.state.guard.returns >= 1)
  for _, stop_at in ipairs { 69, 72, 110 } do
    local out = "stopped-" .. stop_at
    pcall(run, out, { on_step = function(e)
      if e.step == stop_at then error("stopped on purpose", 0) end
    end })
    equal(tiny.values(run(out, { resume = true }).model), tiny.values(whole.model))
  end
end)
