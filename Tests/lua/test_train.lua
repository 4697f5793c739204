-- The training loop: resuming, guards, callbacks, what it writes.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local tiny <const> = require "tiny"
local checkpoint <const> = require "lunerv.checkpoint"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- Trains a fresh tiny model; returns the run and the loss of every step it made, by step.
local function train(clip, given)
  local losses = {}
  local stop_at = given.stop_at
  given.stop_at = nil
  given.model, given.clip, given.epochs = tiny.model(clip), clip, given.epochs or 4
  function given.on_step(e)
    losses[e.step] = e.loss
    if e.step == stop_at then error("stopped on purpose", 0) end
  end
  local ok, run = pcall(lv.train, given)
  return ok and run, losses, run
end

test("a resumed run equals one that never stopped, from any step", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local whole, expected = train(clip, { out = folder.path .. "/whole" })
  assert(whole, "the whole run failed")
  equal(whole.steps, 12)
  for _, stop_at in ipairs { 1, 3, 7 } do
    local out = ("%s/stopped-%d"):format(folder.path, stop_at)
    local stopped, _, message = train(clip, { out = out, stop_at = stop_at })
    equal(stopped, false)
    assert(tostring(message):find("on purpose", 1, true), message)
    local resumed, losses = train(clip, { out = out, resume = true })
    for step = 1, 12 do equal(losses[step], step > stop_at and expected[step] or nil) end
    equal(tiny.values(resumed.model), tiny.values(whole.model))
  end
end)

test("every kind trains its own way, resumes, and is rebuilt from a checkpoint", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  for _, kind in ipairs(lv.models.kinds) do
    local function run(out, given)
      lv.seed(3)
      given.model = lv.models[kind](tiny.options(kind, {
        clip = clip, fc_dim = 6, strides = { 2, 2 }, enc_dim = { 4, 2 }, block_dim = 8,
        pe_levels = 4,
      }))
      given.clip, given.epochs, given.out = clip, 2, ("%s/%s-%s"):format(folder.path, kind, out)
      return lv.train(given)
    end
    local whole = run("whole", {})
    local ok = pcall(run, "stopped", {
      on_step = function(e) if e.step == 4 then error("stopped on purpose", 0) end end,
    })
    equal(ok, false)
    local resumed = run("stopped", { resume = true })
    equal(tiny.values(resumed.model), tiny.values(whole.model))

    local found = checkpoint.latest(whole.out)
    local facts, config = found.state.options, {}
    equal({ facts.lr, facts.loss, facts.optimiser, facts.warmup }, { lv.options.default("lr", kind),
      lv.options.default("loss", kind), lv.options.default("optimiser", kind),
      lv.options.default("warmup", kind) })
    equal(facts.beta1, facts.optimiser == "adam" and lv.options.default("beta1", kind) or nil)
    for name in pairs(whole.model.config) do config[name] = facts[name] end
    equal(lv.models.build(config):summary(), whole.model:summary())
  end
end)

test("a finished run is not trained further", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local first = train(clip, { out = folder.path .. "/run", epochs = 1 })
  local again, losses = train(clip, { out = folder.path .. "/run", epochs = 1, resume = true })
  equal(losses, {})
  equal(tiny.values(again.model), tiny.values(first.model))
end)

test("on_epoch ends the training, for good", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local given = { out = folder.path .. "/run", on_epoch = function(e) return e.epoch < 2 end }
  equal(train(clip, given).steps, 6)
  local again = train(clip, { out = folder.path .. "/run", resume = true })
  equal(again.steps, 6)
end)

local function checkpoints(out)
  local names = {}
  for _, name in ipairs(lv.list_dir(out)) do
    if name:match "^checkpoint" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

test("the last two checkpoints are kept, and a damaged one is passed over", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local out = folder.path .. "/run"
  local _, expected = train(clip, { out = folder.path .. "/whole" })
  train(clip, { out = out, checkpoint_steps = 2, stop_at = 8 })
  equal(checkpoints(out), { "checkpoint-000006.safetensors", "checkpoint-000008.safetensors" })
  lv.write_file(out .. "/checkpoint-000008.safetensors", "damaged")
  local resumed, losses = train(clip, { out = out, resume = true })
  assert(resumed)
  equal({ losses[6], losses[7], losses[12] }, { nil, expected[7], expected[12] })
end)

test("when every checkpoint is damaged, that is an error", function()
  local folder <close> = harness.folder()
  lv.write_file(folder.path .. "/checkpoint-000008.safetensors", "damaged")
  raises(function() checkpoint.latest(folder.path) end, "no checkpoint", folder.path)
end)

test("other options than the stored ones are refused by name", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local out = folder.path .. "/run"
  train(clip, { out = out, stop_at = 2 })
  local _, _, message = train(clip, { out = out, resume = true, lr = 1e-4 })
  assert(tostring(message):find("'lr'", 1, true), message)
  _, _, message = train(clip, { out = out, resume = true, epochs = 9 })
  assert(tostring(message):find("'epochs'", 1, true), message)
end)

test("a new run moves an old one's checkpoints aside", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local out = folder.path .. "/run"
  train(clip, { out = out, stop_at = 5 })
  train(clip, { out = out, stop_at = 2 })
  equal(checkpoints(out), { "checkpoint-000002.safetensors" })
  equal(checkpoints(out .. "/previous"), { "checkpoint-000005.safetensors" })
end)

test("a NaN loss stops before the update", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local calls = 0
  local function loss(output, image)
    calls = calls + 1
    return lv.loss.l2(output, image) * (calls == 5 and 0 / 0 or 1)
  end
  local _, losses, message =
    train(clip, { out = folder.path .. "/run", loss = loss, checkpoint_steps = 4 })
  equal(losses[5], nil)
  assert(tostring(message):find("nan", 1, true), message)
  assert(tostring(message):find("checkpoint-000004.safetensors", 1, true), message)
end)

test("metrics are written", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local out, frames = folder.path .. "/run", 0
  local run = train(clip, {
    out = out, epochs = 2, eval_every = 1, on_frame = function() frames = frames + 1 end,
  })
  equal(frames, 3)
  local m = lv.json.decode(assert(lv.read_file(out .. "/metrics.json")))
  equal(m.model, "hnerv_boost")
  equal(m.steps, 6)
  equal(m.parameters_stored, run.model:stored_parameters())
  harness.near(m.psnr, run.metrics.psnr, 1e-9)
  for _, name in ipairs {
    "seconds", "seconds_per_step", "ms_ssim", "psnr_8bit", "peak_rss_bytes", "seed", "threads",
    "command",
  } do
    assert(m[name] ~= nil, name)
  end
end)

test("a model without reconstruct is a function of time", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local OfTime = lv.nn.class "OfTime"
  function OfTime:init()
    self.position = lv.nn.PositionEncoding { levels = 4 }
    self.grey = lv.nn.Linear(8, 3)
  end
  function OfTime:forward(t)
    return self.grey(self.position(t)):view(1, 3, 1, 1) + lv.zeros(1, 3, 48, 64)
  end
  local run = lv.train { model = OfTime(), clip = clip, epochs = 1, loss = "l2" }
  equal(run.steps, 3)
end)

test("a resumed network knows where its weights started, whatever was drawn before", function()
  local folder <close> = harness.folder()
  local clip <close> = tiny.noise_clip(folder)
  local parameter = require "lunerv.nn.parameter"
  local function fit(seed, resume)
    lv.seed(seed)
    local model = lv.models.hnerv {
      clip = clip, fc_dim = 6, strides = { 2, 2 }, enc_dim = { 4, 2 },
    }
    lv.train {
      model = model, clip = clip, epochs = 1, out = folder.path .. "/run", resume = resume,
      seed = 1,
    }
    return parameter.origins(model)
  end
  local first = fit(1)
  assert(next(first))
  equal(fit(2, true), first)
end)

test("missing arguments of training are errors", function()
  raises(function() lv.train {} end, "a model and a clip")
  raises(function() lv.train { model = {}, clip = {}, epoch = 3 } end, "'epoch'", "epochs")
  raises(function() lv.train { model = {}, clip = {}, epochs = 0 } end, "'epochs'")
end)
