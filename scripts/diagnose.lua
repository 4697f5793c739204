-- lunerv run scripts/diagnose.lua CLIP RUN --out DIR …: the parts of a fitted decoder, their cost,
-- and images of its feature maps.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "diagnose",
  usage = "lunerv run scripts/diagnose.lua CLIP RUN --out DIR [options]",
  about = "Measures every part of a fitted decoder: parameters, multiply-adds, speed, and how "
    .. "diverse its channels are, with images of them. RUN is the folder of a run on CLIP: "
    .. "regress.lua's --out, or compress.lua's with /fit.",
  details = "Writes report.md, report.json, parts-N.svg, images of the feature maps of each part, "
    .. "maps-N-PART.png, and with --against diversity.svg.",
  positional = { "clip", "run" },
  required = { "out" },
})
if not o then return end

if o.threads then lv.set_threads(o.threads) end
local clip <close> = assert(lv.video.open_for(o, o.out))
local report <const> = lv.diagnose.report(clip, { o.run, o.against }, o)
print(report)
