-- lv.compress: methods that compress a model; each returns a model for lv.train and lv.codec.write.
local Progress <const> = require "lunerv.progress"
local bridge <const> = require "lunerv.bridge"
local record <const> = require "lunerv.compress.record"
local camera <const> = require "lunerv.compress.camera"
local checkpoint <const> = require "lunerv.checkpoint"
local codec <const> = require "lunerv.codec"
local continuation <const> = require "lunerv.compress.continuation"
local errors <const> = require "lunerv.errors"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local rate <const> = require "lunerv.compress.rate"
local request <const> = require "lunerv.compress.request"
local saved <const> = require "lunerv.saved"
local segment_files <const> = require "lunerv.compress.segment_files"
local segments <const> = require "lunerv.compress.segments"
local train <const> = require "lunerv.train"

local compress <const> = {
  cem = require "lunerv.compress.cem",
  three_step = require "lunerv.compress.three_step",
  model_options = request.model_options, train_options = request.train_options,
  prepare = request.prepare,
}

-- Builds the model that `o` asks for; o.start, { settings, parameters }, is a network to continue
-- from.
local function build(o, clip)
  local given
  if o.start then
    given = continuation.settings(o.start, clip, o.follow_camera)
  else
    given = request.model_options(o, clip)
    given.static_path = o.follow_camera and (o.static_dim or 0) > 0 and camera.path(clip) or nil
  end
  given.clip = clip
  local model = models[o.model](given)
  if o.start then continuation.load(model, o.start) end
  return model
end

-- A run started in segments, or within a budget, cannot be resumed as a run of another kind: its
-- work would be lost silently. If the run is not resumed, its record in o.out is renamed.
local function hold_to_its_kind(o, clip)
  local in_segments = segments.wanted(o)
  local records <const> = {
    { "segments.json", in_segments, "in segments (--gop, --scene-cuts)" },
    -- A clip may turn out to be a single segment, whose plan is stored here.
    { "plan.json", rate.wanted(o) or in_segments and native.exists(o.out .. "/segments.json"),
      "within a budget (--bpp, --bytes, --psnr, --minutes)" },
  }
  for _, entry in ipairs(records) do
    local path, is_ours, name = o.out .. "/" .. entry[1], entry[2], entry[3]
    if not is_ours and native.exists(path) then
      if not o.resume and not o.share then
        native.rename(path, o.out .. "/previous-" .. entry[1])
      else
        local found = saved.table(path)
        if found then
          checkpoint.compare("compress.file", path, found.asked or {}, request.facts(o, clip))
        end
        errors.fail("usage", "compress.file: cannot resume: %s is of a run %s", path, name)
      end
    end
  end
end

--- Fits a model to a clip, compresses it and writes a file: what `lunerv compress` does.
--- `o` holds the options of that command, as lv.options.parse returns them. Checkpoints are in the
--- folder o.out, from which o.resume continues. With o.bpp, o.bytes, o.psnr or o.minutes, it plans
--- the size of the network and the number of passes. With o.gop or o.scene_cuts it works segment by
--- segment. The segments are shared with the other ranks or, with o.share, with all processes that
--- are given the same o.out. One process writes the file; the result of the others has the field
--- `elsewhere`. nil and an error if the file cannot be written.
---
---     local o = lv.options.parse({ "clip.mp4", "-o", "clip.lnv", "--bpp", "0.1" },
---       { command = "compress_file", usage = "", positional = { "clip" } })
---     o.out = "work"
---     local file = assert(lv.compress.file("clip.lnv", clip, o, print))
---
---@param path string
---@param clip lunerv.Clip
---@param o table
---@param say fun(line: string)  receives progress
---@return table?  the result of lv.codec.write, with seconds and, for one segment, model
---@return lunerv.Error?
function compress.file(path, clip, o, say)
  request.check(o)
  if segments.shared(o) and not segments.wanted(o) then
    errors.fail("usage", "compress.file: expected --gop or --scene-cuts where processes share a "
      .. "clip: they share its segments")
  end
  if native.exists(o.out) then native.work_folder(o.out) end
  if native.ranks() == 0 then hold_to_its_kind(o, clip) end
  local earlier = record.begin(clip, o, segments.shared(o))
  if earlier and o.resume then
    say("note: this run is finished; omit --resume to start a new one")
  end
  local function finish(file) record.finish(path, clip, o, file) end
  local file, problem = bridge.on_error(function()
    if segments.wanted(o) then
      return segments.file(path, clip, o, say, compress.segment, finish)
    end
    local result, message = compress.segment(path, clip, o, say)
    if result then finish(result) end
    return result, message
  end, function(failure)
    -- A refusal to resume leaves the earlier run as it was.
    if errors.is(failure, "usage") then record.restore(o, earlier) end
  end)
  if not file then return nil, problem end
  file.contents = nil
  return file
end

--- The old name of lv.compress.prepare.
---
---@param model lunerv.Module
---@param o table
---@return lunerv.Module
---@return table
function compress.plan(model, o)
  errors.renamed("lv.compress.plan", "lv.compress.prepare")
  return request.prepare(model, o)
end

--- lv.compress.file for a clip, or a part of one, that is one segment.
---
---@param path string
---@param clip lunerv.Clip
---@param o table
---@param say fun(line: string)
---@return table?
---@return lunerv.Error?
function compress.segment(path, clip, o, say)
  if rate.wanted(o) then return rate.file(path, clip, o, say) end
  local model = build(o, clip)
  say(model:summary())
  native.work_folder(o.out)
  -- A run that is stopped early must not continue with an earlier run's second stage.
  if not o.resume then segment_files.set_aside(o.out) end

  local fitting = request.train_options(o, clip)
  fitting.model, fitting.clip, fitting.out, fitting.label = model, clip, o.out .. "/fit", o.label
  fitting.frames = false -- the file's own frames are kept
  local fitted = train(fitting)
  say(("fitted in %s: %s"):format(Progress.duration(fitted.seconds), fitted.metrics))

  local small, training = request.prepare(model, o)
  training.clip, training.out, training.label = clip, o.out .. "/small", o.label
  training.frames = false
  local run = train(training)
  say(("compressed in %s: %s"):format(Progress.duration(run.seconds), run.metrics))

  local file, message = codec.write(path, small, { clip = clip })
  if not file then return nil, message end
  file.seconds, file.model = fitted.seconds + run.seconds, model
  return file
end

return errors.refuse_unknown(compress, "lv.compress")
