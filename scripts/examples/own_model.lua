-- lunerv run scripts/examples/own_model.lua scripts/sample/bunny.mp4 OUT.lnv [EPOCHS]: weights
-- coded with a custom probability model, counts.lua, which is stored in the file: `lunerv
-- decompress OUT.lnv -o OUT.mkv` needs only the file.
local lv <const> = require "lunerv"

lv.seed(1)
local clip <close> = assert(lv.video.open(arg[1]))
local epochs <const> = tonumber(arg[3]) or 10
local model <const> = lv.models.hnerv_boost { clip = clip, size = 0.2 }
lv.train { model = model, clip = clip, recipe = "fast", epochs = epochs }
local small <const> = lv.compress.cem(model,
  { target_bpp = 0.05, lambda = 0.5, families = { "gaussian", "laplace", "adaptive" } })
lv.train { model = small, clip = clip, recipe = "fast", epochs = math.max(1, epochs // 2) }

-- The bytes of the weights, and of the program that decodes them.
local function report(name, sections)
  local sum = { weights = 0, ["decoder program"] = 0 }
  for _, section in ipairs(sections) do sum[section.name] = section.bytes end
  print(("%-9s %7d bytes of weights, %4d of program"):format(name, sum.weights,
    sum["decoder program"]))
end

for _, family in ipairs { "gaussian", "laplace", "adaptive" } do
  local file = assert(lv.codec.write(arg[2], small,
    { clip = clip, families = { family }, verify = false }))
  report(family, file.sections)
end
local file <const> = assert(lv.codec.write(arg[2], small,
  { clip = clip, model = require "counts" }))
report("counts", file.sections)
print(file)
