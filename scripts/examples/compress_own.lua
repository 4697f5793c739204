-- lunerv run scripts/examples/compress_own.lua CLIP OUT.lnv [EPOCHS [MODULE]]: writes a file that
-- contains its decoder, the one in phase.lua or in another module. `lunerv decompress OUT.lnv -o
-- OUT.mkv` needs only the file.
local lv <const> = require "lunerv"
local Decoder <const> = require(arg[4] or "phase")

lv.seed(1)
local clip <close> = assert(lv.video.open(arg[1]))
local epochs <const> = tonumber(arg[3]) or 30
local model <const> = Decoder(clip.height, clip.width)

local fitted <const> = lv.train { model = model, clip = clip, epochs = epochs }
print(("%d parameters, fitted: %s"):format(model:parameter_count(), fitted.metrics))

local small <const> = lv.compress.cem(model, { clip = clip })
lv.train { model = small, clip = clip, epochs = math.max(1, epochs // 3) }

local file <const> = assert(lv.codec.write(arg[2], small, { clip = clip }))
for _, section in ipairs(file.sections) do
  print(("%8d  %s"):format(section.bytes, section.name))
end
print(file)
