-- What a training ends with: averaged weights, those of the best evaluation, and when patience is
-- over; the same for a run that was stopped.
local Average <const> = require "lunerv.train.average"
local checkpoint <const> = require "lunerv.checkpoint"
local Guard <const> = require "lunerv.guard"
local harness <const> = require "harness"
local lines <const> = require "lines"
local lv <const> = require "lunerv"
local tiny <const> = require "tiny"

local equal <const>, near <const>, raises <const>, test <const> =
  harness.equal, harness.near, harness.raises, harness.test
local clip <const>, Line <const>, train <const>, resumes <const> =
  lines.clip, lines.Line, lines.train, lines.resumes
local count <const> = lines.count

-- Averaged weights ------------------------------------------------------------------------------

test("a run with ema ends with the mean of its weights, and trains as without", function()
  local _, expected = train {}
  local means, model = {}, Line()
  for i, tensor in ipairs(model:parameters()) do means[i] = tensor:detach():clone() end
  local losses, n = {}, 0
  local run = lv.train { model = model, clip = clip, epochs = 4, loss = "l2", lr = 0.01,
    ema = 0.6, eval_every = 2, on_step = function(e)
      losses[e.step], n = e.loss, n + 1
      local keep = math.min(0.6, (1 + n) / (10 + n))
      for i, tensor in ipairs(model:parameters()) do
        means[i] = means[i] * keep + tensor:detach() * (1 - keep)
      end
    end }
  equal(losses, expected)
  for i, tensor in ipairs(run.model:parameters()) do
    assert((tensor - means[i]):abs():max():item() < 1e-6)
  end
  near(run.metrics.psnr, lv.metrics.evaluate(run.model, clip).psnr, 1e-9)
  resumes({ ema = 0.9, eval_every = 1 }, { 1, 5, 8 })
end)

test("an evaluation that fails leaves the training its own weights", function()
  local folder <close> = harness.folder()
  local whole = train { ema = 0.9, eval_every = 2 }
  local calls = 0
  local _, _, message = train { ema = 0.9, eval_every = 2, out = folder.path .. "/run",
    evaluate = function()
      calls = calls + 1
      error("no judgement", 0)
    end }
  assert(tostring(message):find("no judgement", 1, true), message)
  equal(calls, 1)
  local resumed = train { ema = 0.9, eval_every = 2, out = folder.path .. "/run", resume = true }
  equal(tiny.values(resumed.model), tiny.values(whole.model))
end)

test("going back from a divergence takes the averages along", function()
  local model <const> = Line()
  local average <const> = Average.new(model, 0.9)
  local guard <const> = Guard.new(model, lv.optim.SGD(model:parameters()), average)
  local kept
  local function step(loss)
    equal(guard:judge(loss), loss == loss and "good" or "bad")
    guard:commit()
    if guard.snapshot and not kept then kept = average.list[1].mean:tolist() end
    if loss ~= loss then return end
    lv.no_grad(function() model.image:add_(0.1) end)
    average:update()
  end
  for _ = 1, 25 do step(1) end
  assert(kept[1][1][1][1] ~= average.list[1].mean:tolist()[1][1][1][1])
  step(0 / 0)
  equal(average.list[1].mean:tolist(), kept)
end)

test("a model has its own weights again after the means, also if that was interrupted", function()
  local model <const> = Line()
  local average <const> = Average.new(model, 0.5)
  local own <const> = model.image:tolist()
  lv.no_grad(function() average.list[1].mean:mul_(2) end)
  do
    local _ <close> = average:apply()
    equal(model.image[{ 1, 1, 1, 1 }]:item(), 2 * own[1][1][1][1])
  end
  equal(model.image:tolist(), own)
  average:apply()
  average:restore()
  equal(model.image:tolist(), own)
end)

test("ema is a share", function()
  raises(function() lv.train { model = Line(), clip = clip, ema = 1 } end, "'ema'", "below 1")
  raises(function() lv.train { model = Line(), clip = clip, ema = 0 } end, "'ema'")
end)

-- The best evaluation ---------------------------------------------------------------------------

-- An evaluation that takes its PSNR from a list, one for each epoch of five steps.
local function judged_by(list, model, seen)
  return function(subject)
    local epoch = model.step and model.step() // count or 0
    seen[epoch] = subject.image:tolist()
    return { psnr = list[epoch], ms_ssim = 0, psnr_8bit = list[epoch] }
  end
end

-- A run of five epochs, the third of them the best. It fails at step `stop_at`.
local function best_run(given, list)
  local step, seen, resumed = 0, {}, nil
  local o = { keep_best = true, epochs = 5, clip = clip, loss = "l2", lr = 0.01, model = Line() }
  for name, value in pairs(given) do o[name] = value end
  o.stop_at = nil
  o.callbacks = { { on_start = function(_, e) step, resumed = e.step, e.step > 0 end } }
  function o.on_step(e)
    step = e.step
    if step == given.stop_at then error("stopped on purpose", 0) end
  end
  o.evaluate = judged_by(list or { 20, 21, 25, 24.5, 24 }, { step = function() return step end },
    seen)
  local ok, run = pcall(lv.train, o)
  return ok and run, seen, run, resumed
end

test("the best evaluation's weights are what the run ends with", function()
  local folder <close> = harness.folder()
  local run, seen, problem = best_run { out = folder.path .. "/run" }
  assert(run, problem)
  local at_best = train { epochs = 5, stop_at = 15, out = folder.path .. "/plain",
    checkpoint_steps = 15 }
  equal(at_best, false)
  local third = checkpoint.latest(folder.path .. "/plain").tensors
  equal(run.model.image:tolist(), third["model/image"]:tolist())
  equal(run.model.slope:tolist(), third["model/slope"]:tolist())
  equal(seen[3], run.model.image:tolist())
  equal({ run.steps, run.best.epoch, run.best.step, run.best.psnr }, { 25, 3, 15, 25 })
  equal(run.record.best, { epoch = 3, step = 15, psnr = 25 })

  local loaded = assert(Line():load(folder.path .. "/run/best.safetensors"))
  equal(tiny.values(loaded), tiny.values(run.model))
  local found = checkpoint.latest(folder.path .. "/run")
  equal(checkpoint.weights(found).image:tolist(), run.model.image:tolist())
  assert((found.tensors["model/image"] - run.model.image):abs():max():item() > 0)
end)

test("the best is kept across a resume, wherever the run stopped", function()
  local folder <close> = harness.folder()
  for _, more in ipairs { {}, { ema = 0.7 } } do
    local whole, judged = best_run(more)
    equal(whole.model.image:tolist(), judged[3])
    for _, stop_at in ipairs { 7, 15, 18, 25 } do
      local out = ("%s/%s-%d"):format(folder.path, more.ema or "own", stop_at)
      local stopped = best_run { out = out, stop_at = stop_at, ema = more.ema }
      equal(stopped, false)
      local run, _, problem, resumed = best_run { out = out, resume = true, ema = more.ema }
      assert(run, problem)
      assert(resumed)
      equal(tiny.values(run.model), tiny.values(whole.model))
      equal(run.best, whole.best)
      local again = best_run { out = out, resume = true, ema = more.ema }
      equal(tiny.values(again.model), tiny.values(whole.model))
    end
  end
end)

test("the last weights may be the best, and NaN never is", function()
  local run, seen = best_run({}, { 20, 21, 22, 0 / 0, 26 })
  equal({ run.best.epoch, run.best.psnr }, { 5, 26 })
  equal(run.model.image:tolist(), seen[5])
  equal(best_run({}, { 0 / 0, 21, 20, 0 / 0, 20 }).best.epoch, 2)
end)

test("patience ends a run, across a resume as well", function()
  local list <const> = { 20, 19, 21, 20, 20.5, 30, 30 }
  local folder <close> = harness.folder()
  local run = best_run({ patience = 2, epochs = 7, keep_best = false }, list)
  equal({ run.steps, run.best.epoch, run.best.since }, { 25, 3, 2 })
  local out <const> = folder.path .. "/run"
  equal(best_run({ patience = 2, epochs = 7, out = out, stop_at = 22 }, list), false)
  local resumed = best_run({ patience = 2, epochs = 7, out = out, resume = true }, list)
  equal({ resumed.steps, resumed.best.epoch }, { 25, 3 })
  local again = best_run({ patience = 2, epochs = 7, out = out, resume = true }, list)
  equal(again.steps, 25)
  local _, _, message = best_run({ patience = 3, epochs = 7, out = out, resume = true }, list)
  assert(tostring(message):find("'patience'", 1, true), message)
end)

test("embeddings that are put have no mean", function()
  local folder <close> = harness.folder()
  local noise <close> = tiny.noise_clip(folder)
  local function run(ema)
    local cem = lv.compress.cem(tiny.model(noise), { latents_after = 0.4 })
    return lv.train { model = cem, clip = noise, epochs = 6, ema = ema, seed = 2 }.model
  end
  local averaged <const>, own <const> = run(0.99), run()
  equal(averaged.latents.values:tolist(), own.latents.values:tolist())
  assert((averaged.model.head.weight - own.model.head.weight):abs():max():item() > 0)
end)
