-- lunerv run scripts/diagnose.lua CLIP RUN --out DIR …: the parts of a fitted decoder, their cost,
-- and images of its feature maps.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "diagnose",
  usage = "lunerv run scripts/diagnose.lua CLIP RUN --out DIR [--against RUN] [options]",
  about = "Parameters and multiply-adds of every part of a decoder, frames a second it decodes,\n"
    .. "how many of its channels differ, and pictures of them. RUN is the folder of a run on\n"
    .. "CLIP (regress.lua's --out, compress.lua's --out with /fit), --against another, such as\n"
    .. "one with GELU beside one with SINE. Writes report.md, report.json, parts-N.svg, PNG\n"
    .. "images of the parts' feature maps, maps-N-PART.png, and of two runs diversity.svg.",
  positional = { "clip", "run" },
  required = { "out" },
})
if not o then return end

if o.threads then lv.set_threads(o.threads) end
local clip <close> = assert(lv.video.open_for(o, o.out))
local report <const> = lv.diagnose.report(clip, { o.run, o.against }, o)
print(report)
