-- lunerv run scripts/decode_published.lua FILE.safetensors OUT …: decodes the frames of a network
-- that another program trained.
local lv <const> = require "lunerv"
local Progress <const> = require "lunerv.progress"

local o <const> = lv.options.parse(arg, {
  command = "decode_published",
  usage = "lunerv run scripts/decode_published.lua FILE OUT [options]",
  about = "Decodes a network that a published program trained (NeRV, E-NeRV, HNeRV or a boosted "
    .. "kind), quantised or not, to a video (OUT.mkv is exact) or a folder of PNGs.",
  positional = { "file", "out" },
  any_model = true,
})
if not o then return end

if o.threads then lv.set_threads(o.threads) end
local source <close> = o.source and assert(lv.video.open(o.source)) or nil
local size <const> = o.frame_size or {}
local published <const> = assert(lv.interop.open(o.file, {
  height = size[1], width = size[2], frames = o.frame_count, fc_hw = o.fc_hw, act = o.act,
  out_image = o.out_image, pe_base = o.pe_base, clip = source,
}))
print(published.model:summary())

local writer <const> = assert(lv.video.writer(o.out, {
  width = published.width, height = published.height, fps = source and source.fps or o.fps,
  sources = { o.file, o.source },
}))
local progress <const>, began <const> = Progress.new(), lv.time()
for i = 1, published.frames do
  writer:write(published:frame(i))
  if progress:due() then progress:show(("frame %d of %d"):format(i, published.frames)) end
end
writer:close()
progress:clear()
print(("%d frames of %dx%d in %s"):format(published.frames, published.width, published.height,
  Progress.duration(lv.time() - began)))
