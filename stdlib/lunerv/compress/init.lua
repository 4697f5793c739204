-- lv.compress: ways to make a model small, each a model for lv.train and lv.codec.write.
local Progress <const> = require "lunerv.progress"
local checkpoint <const> = require "lunerv.checkpoint"
local catalogue <const> = require "lunerv.options.catalogue"
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local rate <const> = require "lunerv.compress.rate"
local recipes <const> = require "lunerv.recipes"
local segments <const> = require "lunerv.compress.segments"
local train <const> = require "lunerv.train"

local compress <const> = {
  cem = require "lunerv.compress.cem",
  three_step = require "lunerv.compress.three_step",
}

local function chosen(o, names)
  local values = {}
  for _, name in ipairs(names) do values[name] = o[name] end
  return values
end

-- The values of `o` that are options of a model kind, of lv.train.
function compress.model_options(o) return chosen(o, options.model_names(o.model)) end
function compress.train_options(o) return chosen(o, options.train_names()) end

-- What stands beside the options of a command line.
local extras <const> = { clip = true, label = true, start = true }

-- Options that say how a run is done, not what comes of it.
local incidental <const> = { "out", "output", "resume", "json", "threads", "cache", "minutes",
  "eval_every", "checkpoint_every", "checkpoint_steps" }

-- What a run has in common with the one it continues: all options of the command line but those
-- that change nothing, and the clip's size.
function compress.asked(o, clip)
  local facts = { clip_frames = #clip, clip_height = clip.height, clip_width = clip.width }
  for _, option in ipairs(options.catalogue) do
    facts[option.name] = options.plain(o[option.name])
  end
  for _, name in ipairs(incidental) do facts[name] = nil end
  facts.deinterlace = o.deinterlace or nil -- as in runs from before there was such an option
  facts.recipe = recipes.identity(o.recipe)
  return facts
end

-- The bytes that o.bpp and o.bytes allow a file of `clip`; nil for any number.
function compress.bytes_asked(o, clip)
  local bytes = o.bpp and math.floor(o.bpp * #clip * clip.height * clip.width / 8)
  if o.bytes then bytes = math.min(o.bytes, bytes or o.bytes) end
  return bytes or nil
end

-- The steps that make a fitted model small by `o.method`: the model for lv.codec.write, and what
-- lv.train is told of it. `o` holds the options of the command line.
function compress.plan(model, o)
  local training = compress.train_options(o)
  training.epochs, training.lr, training.warmup = o.compress_epochs, o.compress_lr, 0
  -- By default what suits the method.
  training.optimiser, training.beta1 = o.compress_optimiser, nil
  training.schedule = o.compress_schedule
  if o.method == "three_step" then
    local small = compress.three_step(model, { bits = o.bits })
    -- Weights go in steps over the first half; the second heals.
    local steps = math.max(1, o.compress_epochs // 2)
    function training.on_epoch(e) small:prune(o.prune * math.min(1, e.epoch / steps)) end
    training.model = small
  else
    training.model = compress.cem(model, {
      bits = o.bits, target_bpp = o.target_bpp,
      lambda = o.lambda or compress.cem.price(model.kind, o.loss),
      channel = o.channel, predict = o.predict, rdo = o.rdo, steerable = o.steerable,
      families = o.families and o.families ~= "all" and { o.families } or nil,
      seeded = o.seeded, rate_every = o.rate_every, latents_after = o.latents_after,
    })
  end
  return training.model, training
end

-- The model that `o` asks for; o.start, { settings, parameters }, is a network to go on from.
local function build(o, clip)
  local settings = o.start and options.copy(o.start.settings)
    or recipes.settings(o.recipe, compress.model_options(o), o.model, clip)
  settings.clip = clip
  local model = models[o.model](settings)
  if o.start then model:load_state_dict(o.start.parameters) end
  return model
end

-- A run that was begun in segments, or within a budget, is not resumed as one of another kind: all
-- it did would be lost unnoticed. What tells of it in o.out is removed where it is not resumed.
local function hold_to_its_kind(o, clip)
  local in_segments = segments.wanted(o)
  local records <const> = {
    { "segments.json", in_segments, "in segments (--gop, --scene-cuts)" },
    -- A clip may turn out to be one segment, whose plan lies here.
    { "plan.json", rate.wanted(o) or in_segments and native.exists(o.out .. "/segments.json"),
      "within a budget (--bpp, --bytes, --psnr, --minutes)" },
  }
  for _, record in ipairs(records) do
    local path, is_ours, name = o.out .. "/" .. record[1], record[2], record[3]
    if not is_ours and native.exists(path) then
      if not o.resume then
        native.remove(path)
      else
        local ok, found = pcall(native.json_decode, native.read_file(path) or "")
        if ok and type(found) == "table" then
          checkpoint.compare(path, found.asked or {}, compress.asked(o, clip))
        end
        errors.fail("usage", "cannot resume: %s is of a run %s", path, name)
      end
    end
  end
end

-- Fits a model to `clip`, makes it small and writes the file `path`; `say` is told, line by line,
-- what is being done. `o` holds the options of the command line; checkpoints of both parts lie in
-- o.out, from which o.resume goes on. What o.gop and o.scene_cuts ask for is
-- compress/segments.lua's, o.bpp, o.bytes, o.psnr and o.minutes compress/rate.lua's. Returns what
-- lv.codec.write does, with `seconds` and, of a clip in one segment, `model`.
function compress.file(path, clip, o, say)
  for name in pairs(o) do
    if not catalogue.by_name[name] and not extras[name] then
      errors.raise("compress.file: unknown option '%s'", tostring(name))
    end
  end
  if native.exists(o.out) then native.work_folder(o.out) end
  hold_to_its_kind(o, clip)
  local way = segments.wanted(o) and segments.file or compress.segment
  return way(path, clip, o, say)
end

-- compress.file for a clip, or a part of one, that is one segment.
function compress.segment(path, clip, o, say)
  if rate.wanted(o) then return rate.file(path, clip, o, say) end
  local model = build(o, clip)
  say(model:summary())
  native.work_folder(o.out)
  -- A run that is stopped before its second stage must not go on with an earlier one's.
  if not o.resume then checkpoint.set_aside(o.out .. "/small") end

  local fitting = compress.train_options(o)
  fitting.model, fitting.clip, fitting.out, fitting.label = model, clip, o.out .. "/fit", o.label
  local fitted = train(fitting)
  say(("fitted in %s: %s"):format(Progress.duration(fitted.seconds), fitted.metrics))

  local small, training = compress.plan(model, o)
  training.clip, training.out, training.label = clip, o.out .. "/small", o.label
  local run = train(training)
  say(("made small in %s: %s"):format(Progress.duration(run.seconds), run.metrics))

  local file, message = codec.write(path, small, { clip = clip })
  if not file then return nil, message end
  file.seconds, file.model, file.warm = fitted.seconds + run.seconds, model, o.start ~= nil
  return file
end

return compress
