-- lunerv run scripts/examples/own_penalty.lua scripts/sample/bunny.mp4 OUT.lnv [EPOCHS]: entropy
-- minimisation with a custom penalty. Bits are estimated by a Laplace distribution of the codes,
-- whose scale is their mean magnitude: it tolerates outliers that a normal distribution does not.
local lv <const> = require "lunerv"

-- −log₂ of e^(−|c|/b)/2b, summed. No code costs less than nothing: b is at least ⅓.
local function laplace_bits(codes)
  local size = (codes + lv.quant.noise(codes)):abs()
  local scale = size:mean() + 1 / 3
  return (size / scale + (scale * 2):log()):sum() / math.log(2)
end

lv.seed(1)
local clip <close> = assert(lv.video.open(arg[1]))
local epochs <const> = tonumber(arg[3]) or 10
local model <const> = lv.models.hnerv_boost { clip = clip, size = 0.2 }
lv.train { model = model, clip = clip, epochs = epochs }

local small <const> = lv.compress.cem(model, {
  target_bpp = 0.05, families = { "laplace", "adaptive" },
  penalty = function(codes, name)
    -- Biases are few, and each shifts a whole channel: they are not priced.
    return laplace_bits(codes) * (name:match "bias$" and 0 or 1)
  end,
})
lv.train { model = small, clip = clip, epochs = math.max(1, epochs // 2) }
print(assert(lv.codec.write(arg[2], small, { clip = clip })))
