-- lunerv run scripts/ablate.lua CLIP --plan NAME --out DIR …: measures what each part of a model
-- contributes.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  command = "ablate",
  usage = "lunerv run scripts/ablate.lua CLIP --plan NAME --out DIR [options]",
  about = "Fits and compresses every variant of a plan, and compares quality, size and time.",
  details = "Writes DIR/ablation.md, .csv and .json: PSNR and its gain, MS-SSIM, parameters, "
    .. "bytes, bits per pixel and time; with --eval-every also curves.svg. Without --size, "
    .. "--params and --fc-dim all variants have the same number of parameters.\n\n"
    .. "Plans:\n"
    .. "  activation         every activation in --model\n"
    .. "  conditioning       every conditioning in --model\n"
    .. "  loss               every loss with --model\n"
    .. "  compression        entropy minimisation against three steps\n"
    .. "  compression_parts  cem as published, and with each of lunerv's additions\n"
    .. "  together           every part alone, and all of them\n"
    .. "  boost              every boosted kind against its baseline, each with its own recipe\n"
    .. "  sine_in_nerv       SINE instead of GELU in NeRV\n"
    .. "  tat_in_enerv       TAT in E-NeRV, with convergence curves\n"
    .. "  cem_on_hnerv       entropy minimisation against three steps on HNeRV",
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
