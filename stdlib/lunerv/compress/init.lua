-- lv.compress: ways to make a model small, each a model for lv.train and lv.codec.write.
local Progress <const> = require "lunerv.progress"
local account <const> = require "lunerv.compress.account"
local checkpoint <const> = require "lunerv.checkpoint"
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local rate <const> = require "lunerv.compress.rate"
local recipes <const> = require "lunerv.recipes"
local segments <const> = require "lunerv.compress.segments"
local request <const> = require "lunerv.compress.request"
local train <const> = require "lunerv.train"

local compress <const> = {
  cem = require "lunerv.compress.cem",
  three_step = require "lunerv.compress.three_step",
  model_options = request.model_options, train_options = request.train_options,
  plan = request.small,
}

-- The model that `o` asks for; o.start, { settings, parameters }, is a network to go on from.
local function build(o, clip)
  local given = o.start and options.copy(o.start.settings)
    or recipes.settings(o.recipe, request.model_options(o), o.model, clip)
  given.clip = clip
  local model = models[o.model](given)
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
          checkpoint.compare(path, found.asked or {}, request.facts(o, clip))
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
  request.check(o)
  if native.exists(o.out) then native.work_folder(o.out) end
  hold_to_its_kind(o, clip)
  account.begin(clip, o)
  local file, problem
  if segments.wanted(o) then
    file, problem = segments.file(path, clip, o, say, compress.segment)
  else
    file, problem = compress.segment(path, clip, o, say)
  end
  if not file then return nil, problem end
  account.finish(path, clip, o, file)
  return file
end

-- compress.file for a clip, or a part of one, that is one segment.
function compress.segment(path, clip, o, say)
  if rate.wanted(o) then return rate.file(path, clip, o, say) end
  local model = build(o, clip)
  say(model:summary())
  native.work_folder(o.out)
  -- A run that is stopped before its second stage must not go on with an earlier one's.
  if not o.resume then checkpoint.set_aside(o.out .. "/small") end

  local fitting = request.train_options(o)
  fitting.model, fitting.clip, fitting.out, fitting.label = model, clip, o.out .. "/fit", o.label
  local fitted = train(fitting)
  say(("fitted in %s: %s"):format(Progress.duration(fitted.seconds), fitted.metrics))

  local small, training = request.small(model, o)
  training.clip, training.out, training.label = clip, o.out .. "/small", o.label
  local run = train(training)
  say(("made small in %s: %s"):format(Progress.duration(run.seconds), run.metrics))

  local file, message = codec.write(path, small, { clip = clip })
  if not file then return nil, message end
  file.seconds, file.model, file.warm = fitted.seconds + run.seconds, model, o.start ~= nil
  return file
end

return compress
