-- lunerv run scripts/interpolate.lua CLIP --out DIR …: a model is fitted to every other frame; the
-- frames between are interpolated and compared with the real ones.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "interpolate",
  usage = "lunerv run scripts/interpolate.lua CLIP --out DIR [options]",
  about = "Fits a model to frames 1, 3, 5, … of a clip, and measures how well it interpolates "
    .. "those between.",
  details = "Writes metrics.json (psnr and ms_ssim of the interpolated frames, psnr_seen and "
    .. "ms_ssim_seen of the others), reconstruction.mkv (exact, all frames), a side-by-side video, "
    .. "TensorBoard events and checkpoints.",
  positional = { "clip" },
  required = { "out" },
})
if not o then return end

local clip <close> = lv.tasks.open(o)
print(clip)
local run <const> = lv.tasks.fit(clip, lv.tasks.interpolation(clip), o, print)
print(("%d frames not seen: %.2f dB; frames seen: %.2f dB"):format(run.metrics.frames_unseen,
  run.metrics.psnr, run.metrics.psnr_seen))
