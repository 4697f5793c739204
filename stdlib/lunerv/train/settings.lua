-- The options of lv.train, checked and completed.
local datasets <const> = require "lunerv.train.dataset"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local options <const> = require "lunerv.options"
local recipes <const> = require "lunerv.recipes"

local settings <const> = {}

-- What training takes in addition to, or in more forms than, the options of options/catalogue.lua.
local extras <const> = {
  { "model", nil, "the model to train; required", type = "module" },
  { "clip", nil, "the source of the frames; required: a clip, or a function (pass) that begins "
    .. "a pass and returns an iterator of frames { image, t, index }",
    type = "lunerv.Clip|function" },
  { "loss", "boosted", "loss function: a name in lv.loss, or (output, image, frame, share) → "
    .. "scalar tensor; share is the completed share of the training, from 0 to below 1",
    type = "string|function" },
  { "schedule", "warmup_cosine", "decay of the learning rate: a name in lv.schedule, a "
    .. "schedule from it, or (step, steps, lr) → learning rate; lr is the peak",
    type = "string|function|table" },
  { "optimiser", "adan", "optimiser: adam, adan, muon, sgd, soap, an optimiser of "
    .. "lv.optim, whose lr is the peak unless `lr` is given, or (model, { lr = }) → optimiser; "
    .. "lr is the peak learning rate", type = "string|function|lunerv.Optimiser" },
  { "steps", nil, "number of steps, instead of epochs; required if the number of frames is not "
    .. "known", type = "integer" },
  { "patch", nil, "{ height, width } of a random window of each frame, on which a step trains; "
    .. "for models that read `frame.window`", type = "list" },
  { "on_step", nil, "called after each step with { step, steps, epoch, loss, psnr, seconds, "
    .. "seconds_per_step }; training ends when it returns false; a call that Ctrl-C stops is made "
    .. "again, so that no step is missing", type = "function" },
  { "on_epoch", nil, "called after each epoch with { epoch, step, loss, psnr, lr, seconds, "
    .. "evaluation }; training ends when it returns false", type = "function" },
  { "on_frame", nil, "called in the evaluation at the end with each frame and its reconstruction",
    type = "function" },
  { "callbacks", nil, "a list of objects with any of the methods on_start, on_step, on_epoch, "
    .. "on_frame and on_end, which are called in this order after the functions above",
    type = "table[]" },
  { "frames", true, "store three frames and their reconstructions in OUT/frames, for the page",
    type = "boolean" },
  { "evaluate", nil, "(model, clip, on_frame) instead of metrics.evaluate; the numbers it "
    .. "returns, including psnr, ms_ssim and psnr_8bit, are recorded", type = "function" },
  { "facts", nil, "plain data by name that must agree with the run that is resumed",
    type = "table" },
  { "label", nil, "beginning of the progress lines", type = "string" },
  { "progress", nil, "(step, steps) → number of completed steps, for the `share` of the loss, if "
    .. "a training ends by the clock", type = "function" },
  { "command", nil, "the command line, for the record of the run", type = "string" },
}

local takes <const> = options.describe("train", options.train_names(), extras)

-- Structural similarity needs at least this many pixels in each direction.
local smallest_side <const> = 5

local function is_whole(value, least)
  return math.type(value) == "integer" and value >= least
end

-- Whether `value` is callable as a schedule: a function, or one of lv.schedule.
local function is_callable(value)
  return type(value) == "function"
    or type(value) == "table" and (getmetatable(value) or {}).__call ~= nil
end

local function is_object(optimiser)
  return type(optimiser) == "userdata" or type(optimiser) == "table"
end

-- A custom optimiser has the methods of those of lv.optim.
local function check_optimiser(optimiser)
  for _, name in ipairs { "step", "zero_grad", "state", "load_state" } do
    if type(optimiser) == "table" and type(optimiser[name]) ~= "function" then
      errors.raise("train: optimiser: expected a name, an optimiser of lv.optim or a function, got "
        .. "a table without '%s'", name)
    end
  end
end

local function check_subjects(o)
  if not o.model or not o.clip then
    errors.raise("train: expected a model and a clip, got no %s", o.model and "clip" or "model")
  end
  if type(o.model) ~= "table" or rawget(o.model, "class_name") then
    errors.raise("train: model: expected a module, got %s", type(o.model) == "table"
      and "the class " .. o.model.class_name or errors.type_of(o.model))
  end
  if type(o.clip) == "string" then
    errors.raise("train: clip: expected a clip, got a string: open it with lv.video.open")
  end
  local is_clip_like = type(o.clip) == "table" or type(o.clip) == "function"
    or type(o.clip) == "userdata" and not native.is_tensor(o.clip)
  if not is_clip_like then
    errors.raise("train: clip: expected a clip, or a function that begins a pass, got %s",
      errors.type_of(o.clip))
  end
end

local function check_patch(patch)
  local fits = type(patch) == "table" and #patch == 2 and is_whole(patch[1], 1)
    and is_whole(patch[2], 1)
  if not fits then
    errors.raise("train: patch: expected { height, width }, integers of at least 1, got %s",
      type(patch) == "table" and "{ " .. errors.list(patch) .. " }" or tostring(patch))
  end
end

local function check(o)
  check_subjects(o)
  for _, name in ipairs { "on_step", "on_epoch", "on_frame", "evaluate", "progress" } do
    if o[name] ~= nil and type(o[name]) ~= "function" then
      errors.raise("train: %s: expected a function, got %s", name, errors.type_of(o[name]))
    end
  end
  if o.steps ~= nil then
    if not is_whole(o.steps, 1) then
      errors.raise("train: steps: expected an integer of at least 1, got %s", tostring(o.steps))
    end
    if o.epochs then errors.raise "train: expected `steps` or `epochs`, got both" end
  end
  if o.patch ~= nil then check_patch(o.patch) end
  if is_object(o.optimiser) then check_optimiser(o.optimiser) end
end

-- The learning rate of an optimiser or a schedule that is an object; nil if there is none.
local function rate_of(o)
  if is_object(o.optimiser) then return o.optimiser.lr end
  return type(o.schedule) == "table" and o.schedule.lr or nil
end

-- Completes the options of the catalogue: from the recipe, the model, the kind.
local function complete(o)
  if o.recipe ~= nil then options.check("recipe", o.recipe, "train") end
  local recipe = recipes.options(o.recipe, o.model.kind)
  for name, value in pairs(recipe) do
    if type(value) ~= "function" then options.check(name, value, "recipe " .. o.recipe) end
  end
  for _, name in ipairs(options.train_names()) do
    local value = o[name]
    if value == nil then
      local own = recipe[name]
      if own == nil then own = (o.model.train_defaults or {})[name] end
      o[name] = own == nil and options.default(name, o.model.kind) or own
    elseif not (type(value) == "function" or name == "optimiser" and is_object(value)
      or name == "schedule" and is_callable(value)) then
      options.check(name, value, "train")
    end
  end
end

--- The options of a training, checked and completed; its clip in the form of train/source.lua.
function settings.of(given)
  local o = options(given, {}, takes.known, "train")
  check(o)
  o.clip = datasets.of(o.clip)
  if o.frames == nil then o.frames = true end
  if o.clip.height and math.min(o.clip.height, o.clip.width) < smallest_side then
    errors.data("train: clip: expected frames of at least %d pixels either way, got %dx%d",
      smallest_side, o.clip.width, o.clip.height)
  end
  if o.lr == nil then o.lr = rate_of(o) end
  complete(o)
  if not o.clip.is_dataset and not o.clip.sample then
    errors.raise("train: clip: expected a clip, which has a method `sample`, got %s",
      errors.type_of(o.clip))
  end
  if o.steps then o.epochs = nil end
  if o.epochs and #o.clip == 0 then
    errors.raise "train: clip: expected `steps`, since its number of frames is not known"
  end
  -- Without evaluations there is no best one.
  if (o.keep_best or o.patience) and o.eval_every == 0 then o.eval_every = 1 end
  return o
end

-- The parameters that an optimiser object updates, all of which must be the model's: others would
-- be missing from checkpoints. nil if it does not say.
function settings.parameters(optimiser, model)
  local groups, known, list = optim.groups(optimiser), {}, {}
  if not groups then return nil end
  for _, parameter in ipairs(model:parameters()) do known[parameter] = true end
  for i, group in ipairs(groups) do
    for k, parameter in ipairs(group.params) do
      if not known[parameter] then
        errors.raise("train: optimiser: expected parameters of %s, got another's: group %d, "
          .. "parameter %d", model.class_name, i, k)
      end
      list[#list + 1] = parameter
    end
  end
  return list
end

return settings
