-- lunerv run scripts/compress.lua CLIP --out DIR …: the whole pipeline as a script, to be copied.
-- `lunerv compress CLIP -o FILE.lnv` also chooses the network, for bytes, PSNR or minutes.
local checkpoint <const> = require "lunerv.checkpoint"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local Progress <const> = require "lunerv.progress"
local request <const> = require "lunerv.compress.request"

local o <const> = lv.options.parse(arg, {
  command = "compress",
  usage = "lunerv run scripts/compress.lua CLIP --out DIR [options]",
  about = "Fits a model to a clip, compresses it, and writes DIR/clip.lnv, decoded.mkv (exact), a "
    .. "side-by-side video and metrics.json. After Ctrl-C, --resume continues.",
  positional = { "clip" },
  required = { "out" },
})
if not o then return end

if o.threads then lv.set_threads(o.threads) end
lv.seed(o.seed)
request.check_effects(o)
local clip <close> = assert(lv.video.open_for(o, o.out))
print(clip)

-- 1. A model, as the options describe it.
local settings <const> = lv.compress.model_options(o, clip)
settings.clip = clip
local model <const> = lv.models[o.model](settings)
print(model:summary())
native.work_folder(o.out)
local videos <const> = lv.tasks.videos(o.out, clip, { name = "decoded.mkv" })

-- A run that is stopped before the third part must not continue with that of an earlier run.
if not o.resume then checkpoint.set_aside(o.out .. "/small") end

-- 2. Fit the clip. With --resume this continues, or has nothing left to do.
local fitting <const> = lv.compress.train_options(o, clip)
fitting.model, fitting.clip, fitting.out = model, clip, o.out .. "/fit"
local fitted <const> = lv.train(fitting)
print(("fitted in %s: %s"):format(Progress.duration(fitted.seconds), fitted.metrics))

-- 3. Fine-tune, now with rounded parameters and their bits priced.
local small <const>, training <const> = lv.compress.prepare(model, o)
training.clip, training.out = clip, o.out .. "/small"
local on_epoch <const> = training.on_epoch
function training.on_epoch(e)
  local bpp = small.estimated_bpp and small:estimated_bpp()
  print(("epoch %d: psnr %.2f dB%s"):format(e.epoch, e.psnr,
    bpp and (", about %.4f bpp"):format(bpp) or ""))
  if on_epoch then on_epoch(e) end
end
local run <const> = lv.train(training)
print(("compressed in %s: %s"):format(Progress.duration(run.seconds), run.metrics))

-- 4. Write the file. The reported quality is that of the decoded file.
local file <const> = assert(lv.codec.write(o.out .. "/clip.lnv", small, {
  clip = clip, on_frame = function(frame, output) videos:write(frame, output) end,
}))
for _, section in ipairs(file.sections) do
  print(("%12d  %s"):format(section.bytes, section.name))
end
print(file)

-- 5. The results.
local record <const> = run.record
record.steps, record.seconds = fitted.steps + run.steps, fitted.seconds + run.seconds
record.seconds_per_step = record.seconds / math.max(record.steps, 1)
record.psnr, record.ms_ssim, record.psnr_8bit = file.psnr, file.ms_ssim, file.psnr_8bit
record.bytes, record.bpp = file.bytes, file.bpp
assert(lv.write_file(o.out .. "/metrics.json", lv.json.encode(record) .. "\n"))
videos:close() -- a failure to write a video is raised here, when everything else is on disk
