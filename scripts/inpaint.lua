-- lunerv run scripts/inpaint.lua CLIP --mask centre --out DIR …: a model is fitted to the unmasked
-- part of a clip, and fills in the rest.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "inpaint",
  usage = "lunerv run scripts/inpaint.lua CLIP --out DIR [options]",
  about = "Fits a model to the visible pixels of a clip, and measures how well it fills in those "
    .. "that --mask hides.",
  details = "A file for --mask has the frames' size after --crop and --resize. Writes metrics.json "
    .. "(psnr of whole frames, psnr_hidden), reconstruction.mkv (exact), a video of mask, result "
    .. "and original side by side, TensorBoard events and checkpoints.",
  positional = { "clip" },
  required = { "out" },
})
if not o then return end

local clip <close> = lv.tasks.open(o)
print(clip)
local run <const> = lv.tasks.fit(clip, lv.tasks.inpainting(clip, { mask = o.mask }), o, print)
print(("hidden pixels, %.1f %% of each frame: %.2f dB"):format(100 * run.metrics.hidden_share,
  run.metrics.psnr_hidden))
