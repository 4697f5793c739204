-- lunerv run scripts/ablate.lua CLIP --plan NAME --out DIR …: measures what each part of a model
-- contributes.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "ablate",
  usage = "lunerv run scripts/ablate.lua CLIP --plan NAME --out DIR [options]",
  about = "Fits and compresses every variant of a plan and tables PSNR, what it gains, MS-SSIM,\n"
    .. "parameters, bytes, bits per pixel and time: DIR/ablation.md, .csv, .json; curves.svg\n"
    .. "where --eval-every asks for points on the way. --resume goes on where a run stopped.\n"
    .. "Plans:\n"
    .. "  activation, conditioning, loss, compression   one part of --model, all values of it\n"
    .. "  compression_parts   cem as published, and what lunerv adds to it, one by one\n"
    .. "  together       every part alone, and all of them\n"
    .. "  boost          every boosted kind against its baseline, each by its own recipe\n"
    .. "  sine_in_nerv   SINE in place of GELU in NeRV\n"
    .. "  tat_in_enerv   TAT in E-NeRV, with convergence curves\n"
    .. "  cem_on_hnerv   entropy minimisation against three steps on HNeRV\n"
    .. "Without --size, --params or --fc-dim all variants get equal parameters.",
  positional = { "clip" },
  required = { "plan", "out" },
  any_model = true,
})
if not o then return end

local clip <close> = lv.tasks.open(o)
print(clip)
local _ <const>, text <const>, failed <const> = lv.tasks.ablate(clip, o, print)
print(text)
if failed > 0 then error(("%d variants failed"):format(failed), 0) end
