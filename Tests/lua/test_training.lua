-- Training with batches, patches, datasets, optimiser objects and callbacks: what each does, and
-- that a stopped run resumes to the same bits. What a run ends with is in
-- test_training_end.lua.
local batch_of <const> = require "lunerv.train.batch"
local checkpoint <const> = require "lunerv.checkpoint"
local harness <const> = require "harness"
local lines <const> = require "lines"
local lv <const> = require "lunerv"
local tiny <const> = require "tiny"

local equal <const>, near <const>, raises <const>, test <const> =
  harness.equal, harness.near, harness.raises, harness.test
local clip <const>, Line <const>, train <const>, resumes <const> =
  lines.clip, lines.Line, lines.train, lines.resumes
local height <const>, width <const>, count <const> = lines.height, lines.width, lines.count

-- Batches and accumulation --------------------------------------------------------------------

test("a batch's step is that of the mean gradient, and so is an accumulated one", function()
  local batch = train { batch = 3, epochs = 1, optimiser = "sgd", lr = 1 }
  local accumulated = train { accumulate = 3, epochs = 1, optimiser = "sgd", lr = 1 }
  local both = train { batch = 2, accumulate = 2, steps = 3, optimiser = "sgd" }
  equal({ batch.steps, accumulated.steps, both.steps }, { 2, 2, 3 })
  local one, other = batch.model.image, accumulated.model.image
  assert((one - other):abs():max():item() < 1e-6)
  assert((one - Line().image):abs():max():item() > 1e-4)

  -- By hand: the first three frames in the order of the run, then the remaining two.
  local model <const> = Line()
  lv.seed(1)
  local order = lv.permutation(count)
  local optimiser = lv.optim.SGD(model:parameters(), { lr = 1 })
  local rate = lv.schedule.warmup_cosine { lr = 1, warmup = 0.1, steps = 2 }
  for step, range in ipairs { { 1, 3 }, { 4, 5 } } do
    optimiser:zero_grad()
    for i = range[1], range[2] do
      local frame = clip:sample(order[i])
      local value = lv.loss.l2(model:reconstruct(frame), frame.image)
      value = value * (1 / (range[2] - range[1] + 1))
      value:backward()
    end
    optimiser.lr = rate(step)
    optimiser:step()
  end
  assert((model.image - one):abs():max():item() < 1e-6)
end)

test("a model sees a batch's frames one by one, and their gradients are added as a tree", function()
  local Single <const> = lv.nn.class("Single", Line)
  function Single:reconstruct(frame)
    equal(type(frame.t), "number")
    return lines.at(self, frame.t)
  end
  Single.takes_batches = false
  local run = train { model = Single(), batch = 5, steps = 1, optimiser = "sgd", lr = 1,
    schedule = function() return 1 end }
  -- ((1 + 2) + (3 + 4)) + 5, each a fifth of its frame's.
  local model <const> = Single()
  lv.seed(1)
  local order, gradients = lv.permutation(count), {}
  for i = 1, 5 do
    local frame = clip:sample(order[i])
    local value = lv.loss.l2(model:reconstruct(frame), frame.image)
    gradients[i] = lv.grad(value * (1 / 5), model.image)
  end
  local sum = ((gradients[1] + gradients[2]) + (gradients[3] + gradients[4])) + gradients[5]
  equal(run.model.image:detach():tolist(), lv.no_grad(function()
    return (model.image - sum):tolist()
  end))
end)

test("a normalisation over the batch has its frames computed together", function()
  local Normed <const> = lv.nn.class "Normed"
  function Normed:init()
    self.norm, self.image = lv.nn.BatchNorm2d(3), lv.nn.parameter(lv.rand(1, 3, height, width))
  end
  local seen = {}
  function Normed:reconstruct(frame)
    seen[#seen + 1] = frame.image:size(1)
    return self.norm(frame.image * 0.5 + self.image)
  end
  lv.train { model = Normed(), clip = clip, batch = 3, epochs = 1, loss = "l2",
    evaluate = function() return { psnr = 0 } end }
  equal(seen, { 3, 2 })
end)

test("what a model adds to the events are numbers by name", function()
  local folder <close> = harness.folder()
  local model = Line()
  function model.scalars() return 3 end
  raises(function()
    lv.train { model = model, clip = clip, loss = "l2", out = folder.path .. "/run", epochs = 1 }
  end, "train: scalars: expected the model to return numbers by name, got 3")
end)

test("batches and accumulated steps resume", function()
  equal(resumes({ batch = 2 }, { 1, 3, 5 }).steps, 12)
  equal(resumes({ batch = 2, accumulate = 2, clip_grad = 0.1, guard = true }, { 1, 4 }).steps, 8)
end)

test("every kind takes a batch, and every loss", function()
  local folder <close> = harness.folder()
  local noise <close> = tiny.noise_clip(folder)
  for i, kind in ipairs(lv.models.kinds) do
    lv.seed(3)
    local model = lv.models[kind](tiny.options(kind, { clip = noise, fc_dim = 6,
      strides = { 2, 2 }, enc_dim = { 4, 2 }, block_dim = 8, pe_levels = 4 }))
    model.takes_batches = true
    local names = { "boosted", "l1", "l2", "l1_ssim", "l1_ms_ssim", "l1_freq" }
    local of, value = lv.loss[names[i]], 0
    local losses = {}
    lv.train { model = model, clip = noise, batch = 3, steps = 1, loss = names[i], lr = 1e-30,
      optimiser = "sgd", on_step = function(e) losses[e.step] = e.loss end }
    for k = 1, 3 do
      local frame = noise:sample(k)
      value = value + of(lv.metrics.reconstruct(model, frame), frame.image):item() / 3
    end
    near(losses[1], value, 1e-4 * math.abs(value))
  end
end)

test("frames that cannot be batched are errors", function()
  local Stubborn <const> = lv.nn.class("Stubborn", Line)
  function Stubborn:reconstruct(frame)
    return lines.at(self, type(frame.t) == "table" and frame.t[1] or frame.t)
  end
  raises(function() lv.train { model = Stubborn(), clip = clip, batch = 2, epochs = 1 } end,
    "(2, 3, 12, 16)", "Stubborn", "takes_batches to false")
  raises(function() lv.train { model = Line(), clip = clip, batch = 0 } end, "'batch'")
end)

test("a model that takes no batches is shown their frames one after another", function()
  local folder <close> = harness.folder()
  local noise <close> = tiny.noise_clip(folder)
  local function values(given)
    given.model, given.clip = lv.compress.cem(tiny.model(noise), { steerable = true }), noise
    given.epochs, given.seed = 2, 4
    equal(lv.train(given).steps, 4)
    return tiny.values(given.model)
  end
  equal(values { batch = 2 }, values { accumulate = 2 })
  raises(function()
    lv.compress.cem(tiny.model(noise)):reconstruct { image = lv.zeros(2, 3, 48, 64),
      t = { 0.5, 1 }, index = { 1, 2 } }
  end, "cem: expected one frame at a time, got a batch of 2")
end)

-- Patches -------------------------------------------------------------------------------------

test("a patch is that window of the frame, and resumes", function()
  local function loss(output, image, frame)
    -- The last frame of a pass is alone.
    for i, one in ipairs(frame.frames or { frame }) do
      local window = one.window
      local part = one.image[{ {}, {}, { window[1], window[1] + 4 },
        { window[2], window[2] + 6 } }]
      equal((part - image[{ { i, i } }]):abs():max():item(), 0)
    end
    return lv.loss.l2(output, image)
  end
  resumes({ patch = { 5, 7 }, batch = 2, loss = loss, accumulate = 2 }, { 1, 3 })
end)

test("patches lie at every place of a frame", function()
  lv.seed(1)
  local frames, rows, columns = {}, {}, {}
  for i = 1, 300 do frames[i] = clip:sample(1) end
  for _, frame in ipairs(batch_of.windows(frames, { 5, 7 })) do
    rows[frame.window[1]], columns[frame.window[2]] = true, true
  end
  equal({ #rows, #columns }, { height - 4, width - 6 })
end)

test("a model of whole frames makes no patches", function()
  local folder <close> = harness.folder()
  local noise <close> = tiny.noise_clip(folder)
  raises(function()
    lv.train { model = tiny.model(noise), clip = noise, patch = { 16, 16 }, epochs = 1 }
  end, "(1, 3, 16, 16)", "(1, 3, 48, 64)", "frame.window")
  raises(function() lv.train { model = Line(), clip = clip, patch = { 13, 4 }, epochs = 1 } end,
    "at most the frame's 12x16, got 13x4")
  raises(function() lv.train { model = Line(), clip = clip, patch = 4, epochs = 1 } end,
    "{ height, width }")
end)

test("a mask hides its frame's part of a batch, and of a patch", function()
  local masked = setmetatable({}, { __index = clip, __len = function() return count end })
  function masked:sample(i)
    local frame = clip:sample(i)
    if i ~= 2 then frame.mask = clip.images[i]:gt(0.5):to "f32" end
    return frame
  end
  local seen, model = 0, nil
  local function loss(output, image, frame)
    for i, one in ipairs(frame.frames or { frame }) do
      local y, x, h, w = table.unpack(one.window or { 1, 1, height, width })
      local rows, columns = { y, y + h - 1 }, { x, x + w - 1 }
      local expected = lines.at(model, one.t)
      if one.mask then expected = expected * one.mask end
      local got = output[{ { i, i } }]
      near((got - expected[{ {}, {}, rows, columns }]):abs():max():item(), 0, 1e-6)
      seen = seen + 1
    end
    return lv.loss.l2(output, image)
  end
  for _, patch in ipairs { false, { 4, 9 } } do
    model = Line()
    lv.train { model = model, clip = masked, batch = 3, epochs = 2, loss = loss, lr = 0.01,
      patch = patch or nil }
  end
  equal(seen, 2 * 2 * count)
end)

-- Datasets ------------------------------------------------------------------------------------

-- A pass over the frames, each a little brighter or darker by chance.
local function noisy(pass)
  return coroutine.wrap(function()
    for i = 1, count do
      coroutine.yield { image = clip.images[i] + 0.1 * lv.rand(1):item(), t = i / count,
        index = i, pass = pass }
    end
  end)
end

test("frames may come from a function; a stopped run resumes in the middle of a pass", function()
  local passes = {}
  local run = train { clip = noisy, steps = 12, loss = function(output, image, frame)
    passes[#passes + 1] = frame.pass
    return lv.loss.l2(output, image)
  end }
  equal(run.steps, 12)
  equal(passes, { 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3 })
  resumes({ clip = noisy, steps = 12, eval_every = 1 }, { 1, 5, 7 })
  resumes({ clip = noisy, steps = 7, batch = 2, patch = { 6, 6 }, accumulate = 2 }, { 1, 2, 3 })
end)

test("random numbers of frames from a function are none of the training's", function()
  local function windows(dataset, eval_every)
    local list = {}
    train { clip = dataset, steps = 9, patch = { 6, 6 }, eval_every = eval_every,
      loss = function(output, image, frame)
        list[#list + 1] = frame.window
        return lv.loss.l2(output, image)
      end }
    return list
  end
  local function plain()
    local i = 0
    return function()
      i = i + 1
      if i <= count then return clip:sample(i) end
    end
  end
  local expected = windows(plain, 0)
  equal(windows(noisy, 0), expected)
  equal(windows(noisy, 1), expected)
  assert(expected[1][1] ~= expected[2][1] or expected[1][2] ~= expected[2][2])
end)

test("a dataset of known length has epochs, and frames without numbers get some", function()
  local epochs, indices = {}, {}
  local dataset = setmetatable({ height = height, width = width }, {
    __len = function() return count end,
    __call = function()
      local i = 0
      return function()
        i = i + 1
        return clip.images[i] and { image = clip.images[i] }
      end
    end,
  })
  local run = train { clip = dataset, epochs = 2, batch = 2, on_frame = function(frame)
    indices[#indices + 1] = { frame.index, frame.t }
  end, on_epoch = function(e) epochs[#epochs + 1] = e.step end }
  equal({ run.steps, epochs }, { 6, { 3, 6 } })
  equal(indices, { { 1, 0.2 }, { 2, 0.4 }, { 3, 0.6 }, { 4, 0.8 }, { 5, 1 } })
  near(run.metrics.psnr, lv.metrics.evaluate(run.model, clip).psnr, 1e-9)
end)

test("wrong datasets are errors", function()
  local function refuses(given, ...)
    given.model = Line()
    raises(function() lv.train(given) end, ...)
  end
  refuses({ clip = noisy, epochs = 1 }, "expected `steps`")
  refuses({ clip = noisy, steps = 1, epochs = 1 }, "`steps` or `epochs`, got both")
  refuses({ clip = noisy, steps = 0 }, "steps: expected an integer of at least 1")
  refuses({ clip = function() return 3 end, steps = 1 }, "returns an iterator", "number")
  refuses({ clip = function() return function() end end, steps = 1 }, "got none in pass 1")
  refuses({ clip = function() return function() return {} end end, steps = 1 },
    "a table without an image")
  local sizes = { 4, 6 }
  refuses({ steps = 1, batch = 2, clip = function()
    local i = 0
    return function()
      i = i + 1
      return sizes[i] and { image = lv.zeros(1, 3, 6, sizes[i]), t = 0 }
    end
  end }, "frames of one size", "(1, 3, 6, 4)", "(1, 3, 6, 6)")
end)

-- Optimisers and schedules ----------------------------------------------------------------------

local function in_groups(model)
  return lv.optim.Adam {
    { params = model.image, lr = 0.02 },
    { params = model.slope, optimiser = "sgd", lr = 0.01, momentum = 0.5 },
  }
end

test("an optimiser object trains as the function that makes it, at its own rate", function()
  local by_function = train { optimiser = in_groups, lr = 0.02 }
  local model <const> = Line()
  local optimiser <const> = in_groups(model)
  local by_object = lv.train { model = model, clip = clip, epochs = 4, loss = "l2",
    optimiser = optimiser }
  equal(tiny.values(by_object.model), tiny.values(by_function.model))
  equal(optimiser.lr, 0.02)
end)

test("an optimiser object resumes, and another one is refused", function()
  local folder <close> = harness.folder()
  local function run(make, given)
    given.model, given.clip, given.epochs, given.loss = Line(), clip, 3, "l2"
    given.optimiser = make(given.model)
    return lv.train(given)
  end
  local whole = run(in_groups, {})
  local out <const> = folder.path .. "/run"
  local ok = pcall(run, in_groups, { out = out, on_step = function(e)
    if e.step == 7 then error("stopped on purpose", 0) end
  end })
  equal(ok, false)
  raises(function()
    run(function(model) return lv.optim.Adam(model:parameters(), { lr = 0.02 }) end,
      { out = out, resume = true })
  end, "option 'optimiser'", "adam of 2 parameters", "sgd of 1 parameters")
  equal(tiny.values(run(in_groups, { out = out, resume = true }).model), tiny.values(whole.model))
end)

test("an optimiser of another model's parameters is refused", function()
  local other <const> = Line()
  raises(function()
    lv.train { model = Line(), clip = clip, epochs = 1,
      optimiser = lv.optim.Adam(other:parameters()) }
  end, "parameters of Line, got another's")
  raises(function() lv.train { model = Line(), clip = clip, epochs = 1, optimiser = {} } end,
    "a table without 'step'")
  raises(function() lv.train { model = Line(), clip = clip, epochs = 1, optimiser = "adm" } end,
    "'optimiser'", "adam")
end)

test("parameters that an optimiser object leaves out stay", function()
  local model <const> = Line()
  lv.train { model = model, clip = clip, epochs = 1, loss = "l2", clip_grad = 0.1,
    optimiser = lv.optim.SGD({ model.slope }, { lr = 0.1 }) }
  equal(model.image:tolist(), Line().image:tolist())
  assert((model.slope - Line().slope):abs():max():item() > 0)
end)

test("a rate that restarts falls from the top each time", function()
  local rate <const> = lv.schedule.cosine_restarts { lr = 2, steps = 40 }
  for _, first in ipairs { 1, 11, 21, 31 } do
    near(rate(first), 2, 1e-12)
    near(rate(first + 5), 1, 1e-12)
    assert(rate(first + 9) < 0.1)
  end
  local longer <const> = lv.schedule.cosine_restarts { lr = 1, steps = 80, warmup = 0.125,
    cycles = 3, factor = 2, last = 0.5, decay = 0.1 }
  near(longer(1), 0.1, 1e-12)
  for k, first in ipairs { 11, 21, 41 } do
    local top = 0.1 ^ (k - 1)
    near(longer(first), top, 1e-12)
    near(longer(first + 5 * 2 ^ (k - 1)), 0.75 * top, 1e-12)
  end
  near(longer(80), 0.01 * (0.5 + 0.25 * (math.cos(math.pi * 39 / 40) + 1)), 1e-12)
  raises(function() lv.schedule.cosine_restarts { cycles = 0 } end, "cycles")
  raises(function() lv.schedule.cosine_restarts { factor = 0 } end, "factor")
end)

test("a schedule is an option as it is, and takes steps and rate from the training", function()
  local by_name, by_object, rates = {}, {}, {}
  local function recorder(list) return function(e) list[#list + 1] = e.lr end end
  train { schedule = "cosine_restarts", warmup = 0, on_epoch = recorder(by_name), epochs = 6 }
  train { schedule = lv.schedule.cosine_restarts(), on_epoch = recorder(by_object), epochs = 6 }
  equal(by_object, by_name)
  local own <const> = lv.schedule.cosine_restarts { lr = 0.01, steps = 30 }
  for epoch = 1, 6 do rates[epoch] = own(5 * epoch) end
  equal(by_object, rates)
  resumes({ schedule = lv.schedule.cosine_restarts { cycles = 2 } }, { 3 })
  local folder <close> = harness.folder()
  train { schedule = lv.schedule.cosine_restarts { cycles = 2 }, out = folder.path, stop_at = 3 }
  local _, _, message = train { schedule = lv.schedule.cosine_restarts { cycles = 3 },
    out = folder.path, resume = true }
  assert(tostring(message):find("'schedule'", 1, true), message)
end)

-- Callbacks -------------------------------------------------------------------------------------

test("callbacks get every event, in order, after the functions", function()
  local heard = {}
  local Listener <const> = {}
  Listener.__index = Listener
  for _, event in ipairs { "on_start", "on_step", "on_epoch", "on_frame", "on_end" } do
    Listener[event] = function(self, e)
      heard[#heard + 1] = ("%s %s"):format(self.name, event)
      if event == "on_start" then equal({ e.step, e.steps, e.lr }, { 0, 15, 0.01 }) end
      if event == "on_step" then return self.last ~= e.step end
      if event == "on_end" then equal(e.steps, 3) end
    end
  end
  local function listener(name, last)
    return setmetatable({ name = name, last = last }, Listener)
  end
  lv.train { model = Line(), clip = clip, epochs = 3, loss = "l2", lr = 0.01,
    on_epoch = function() error "no epoch was to end" end,
    on_frame = function() heard[#heard + 1] = "function on_frame" end,
    callbacks = { listener("a", 3), listener "b", { on_end = function()
      heard[#heard + 1] = "c on_end"
    end } } }
  equal(table.concat(heard, ", "), "a on_start, b on_start, "
    .. ("a on_step, b on_step, "):rep(3)
    .. ("function on_frame, a on_frame, b on_frame, "):rep(5) .. "a on_end, b on_end, c on_end")
end)

test("an invalid callback is an error", function()
  local function refuses(callbacks, ...)
    raises(function()
      lv.train { model = Line(), clip = clip, epochs = 1, callbacks = callbacks }
    end, ...)
  end
  refuses({ print }, "expected objects, got function at 1")
  refuses({ { on_stp = print } }, "1: unknown method 'on_stp'", "on_step")
  refuses({ {} }, "one of on_end")
  refuses({ { on_step = 3 } }, "on_step: expected a function, got number")
  refuses(print, "expected a list")
end)

-- What has not changed ----------------------------------------------------------------------------

test("a run without new options says nothing of them, as older checkpoints do", function()
  local folder <close> = harness.folder()
  train { out = folder.path .. "/run", stop_at = 6 }
  local found = checkpoint.latest(folder.path .. "/run")
  for _, name in ipairs { "batch", "accumulate", "ema", "keep_best", "patience", "patch", "steps",
    "eval_every" } do
    equal({ name, found.state.options[name] }, { name })
  end
  equal({ found.state.best, found.state.ema_count }, {})
  for name in pairs(found.tensors) do assert(name:match "^model/" or name:match "^optimiser/") end
  local _, _, message = train { out = folder.path .. "/run", resume = true, batch = 2 }
  assert(tostring(message):find("'batch' is not given", 1, true), message)
end)
