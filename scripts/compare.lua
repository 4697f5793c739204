-- lunerv run scripts/compare.lua CLIP FILE.lnv DECODED [CURVES.json]: compares a file with x264.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  usage = "lunerv run scripts/compare.lua CLIP FILE.lnv DECODED [CURVES.json]",
  about = "Compares a .lnv file with an x264 stream of the same number of bytes. DECODED is the "
    .. "output of lunerv decompress FILE.lnv in an exact format: .mkv, or a folder of PNGs.",
  details = "x264 has preset veryslow, tune psnr, 4:2:0 and one group of pictures. CURVES.json "
    .. "gets both points, for the page of lunerv report, in the format of rd_curve.lua.",
  positional = { "clip", "file", "decoded" }, optional = { "curves" },
})
if not o then return end
local info <const> = assert(lv.codec.info(o.file))
local clip <close> = assert(lv.video.open(o.clip,
  { first = 1, last = info.frames, size = { info.height, info.width } }))
local decoded <close> = assert(lv.video.open(o.decoded))
if #decoded ~= #clip or decoded.width ~= clip.width or decoded.height ~= clip.height then
  error(("%s has %d frames of %dx%d, the clip %d of %dx%d"):format(o.decoded, #decoded,
    decoded.width, decoded.height, #clip, clip.width, clip.height), 0)
end

local psnr, ms_ssim = 0, 0
for index = 1, #clip do
  local frame, image = decoded:frame(index), clip:frame(index)
  psnr = psnr + lv.metrics.psnr_8bit(frame, image) / #clip
  ms_ssim = ms_ssim + lv.metrics.ms_ssim(frame, image) / #clip
end

local x264 <const> = lv.reference.at_bytes(clip, info.bytes)

if o.curves then
  local function curve(name, of)
    return { name = name, points = { { bytes = of.bytes, bpp = of.bpp, psnr = of.psnr_8bit } } }
  end
  assert(lv.write_file(o.curves, lv.json.encode { curves = {
    curve("lunerv", { bytes = info.bytes, bpp = info.bpp, psnr_8bit = psnr }),
    curve("x264 veryslow", x264),
  } } .. "\n"))
end

local row <const> = "%-18s %10s %9s %14s"
print(row:format("", "bytes", "bpp", "8-bit PSNR"))
print(row:format("lunerv", info.bytes, ("%.4f"):format(info.bpp), ("%.2f dB"):format(psnr)))
print(row:format("x264 veryslow", x264.bytes, ("%.4f"):format(x264.bpp),
  ("%.2f dB"):format(x264.psnr_8bit)))
local summary <const> = "psnr_8bit %.2f dB, ms_ssim %.4f, %d bytes, bpp %.4f; "
  .. "x264 %+.2f dB at %.1f %% of the bytes"
print()
print(summary:format(psnr, ms_ssim, info.bytes, info.bpp, x264.psnr_8bit - psnr,
  100 * x264.bytes / info.bytes))
