-- The record of a finished compression: OUT/metrics.json, and a few frames for its page. A failure
-- to write them is only a warning.
local codec <const> = require "lunerv.codec"
local errors <const> = require "lunerv.errors"
local frames <const> = require "lunerv.report.frames"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local report <const> = require "lunerv.train.report"
local sources <const> = require "lunerv.sources"

local record <const> = {}

local function path_of(o) return o.out .. "/metrics.json" end

-- Removes the record of an earlier run in the folder, unless other processes may share the run.
-- Returns it as text, if there was one, for `restore`.
function record.begin(clip, o, shared)
  sources.keep(path_of(o), clip.source)
  if shared or not native.exists(path_of(o)) then return nil end
  local text = native.read_file(path_of(o))
  native.remove(path_of(o))
  return text
end

function record.restore(o, text)
  if text then native.write_file(path_of(o), text) end
end

local function write(path, o, file)
  local model = file.model
  local facts = {
    file = path, model = o.model, seed = o.seed, threads = native.threads(),
    parameters_stored = model and model:stored_parameters() or nil,
    bytes = file.bytes, bpp = file.bpp, psnr = file.psnr, psnr_8bit = file.psnr_8bit,
    ms_ssim = file.ms_ssim, seconds = file.seconds,
    peak_rss_bytes = native.stats().peak_rss_bytes, command = report.command(o),
  }
  errors.must(native.write_file(path_of(o), native.json_encode(facts) .. "\n"))
end

-- Decoded frames of the file. If the clip is not in memory, only these frames are read.
local function write_frames(path, clip, o)
  local kept, decoded = frames.of(o.out, clip), errors.must(codec.open(path, { confined = false }))
  for _, index in ipairs(metrics.spread(#clip, frames.count)) do
    local image
    if clip.handle or not clip.part then
      image = clip:sample(index).image
    else
      local part <close> = clip:part(index, index)
      image = part:frame(1)
    end
    kept:add(index, image, decoded:frame(index))
  end
end

-- Writes the record of `file`, which is at `path`.
function record.finish(path, clip, o, file)
  for _, step in ipairs { function() write(path, o, file) end,
    function() write_frames(path, clip, o) end } do
    local ok, problem = errors.attempt(step)
    if not ok then
      native.stderr(("warning: the record of %s is incomplete: %s\n"):format(
        native.printable(path), errors.reason(problem)))
    end
  end
end

return record
