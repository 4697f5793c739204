-- lunerv run scripts/regress.lua CLIP --out DIR …: fits a model to a clip, and measures the
-- quality.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "regress",
  usage = "lunerv run scripts/regress.lua CLIP --out DIR [options]",
  about = "Fits a model to a clip, and writes to DIR: metrics.json, reconstruction.mkv (exact), a "
    .. "side-by-side video, TensorBoard events, checkpoints and a page, report.html.",
  positional = { "clip" },
  required = { "out" },
})
if not o then return end

local clip <close> = lv.tasks.open(o)
print(clip)
lv.tasks.fit(clip, lv.tasks.regression(clip), o, print)
