-- lunerv run scripts/inpaint.lua CLIP --mask centre --out DIR …: a model is fitted to the unmasked
-- part of a clip, and fills in the rest.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "inpaint",
  usage = "lunerv run scripts/inpaint.lua CLIP --out DIR [--mask M] [options]",
  about = "Fits a model to the visible part of a clip and compares it with all of it. --mask is\n"
    .. "the paper's centre or disperse, or an image or video of the frames' size (after --crop\n"
    .. "and --resize), light where pixels are hidden. Writes metrics.json (psnr of whole frames,\n"
    .. "psnr_hidden), reconstruction.mkv (exact), a video of mask, result and original side by\n"
    .. "side, events and checkpoints.",
  positional = { "clip" },
  required = { "out" },
})
if not o then return end

local clip <close> = lv.tasks.open(o)
print(clip)
local run <const> = lv.tasks.fit(clip, lv.tasks.inpainting(clip, { mask = o.mask }), o, print)
print(("hidden pixels, %.1f %% of each frame: %.2f dB"):format(100 * run.metrics.hidden_share,
  run.metrics.psnr_hidden))
