-- lunerv run scripts/examples/own_quantiser.lua scripts/sample/bunny.mp4 OUT.lnv [EPOCHS]: entropy
-- minimisation with a custom quantiser. It learns the logarithm of its step size, and rounds with a
-- dead zone: numbers up to 0.6 steps from zero become zero, since zeros cost least.
local lv <const> = require "lunerv"
local nn <const> = lv.nn

local DeadZone <const> = nn.class "DeadZone"

function DeadZone:init(weight, bits)
  local step = 2 * weight:detach():abs():amax():item() / (2 ^ bits - 1)
  self.exponent = nn.parameter(lv.tensor { math.log(math.max(step, 1e-6)) })
end

function DeadZone:steps() return self.exponent:exp() end
function DeadZone:codes(x) return x / self:steps() end

function DeadZone:forward(x)
  local codes = self:codes(x)
  local is_small = codes:detach():abs():lt(0.6)
  return lv.where(is_small, codes * 0, lv.quant.round_straight(codes)) * self:steps()
end

lv.seed(1)
local clip <close> = assert(lv.video.open(arg[1]))
local epochs <const> = tonumber(arg[3]) or 10
local model <const> = lv.models.hnerv_boost { clip = clip, size = 0.2 }
lv.train { model = model, clip = clip, epochs = epochs }

local small <const> = lv.compress.cem(model, {
  quantiser = function(weight, o) return DeadZone(weight, o.bits) end,
})
lv.train { model = small, clip = clip, epochs = math.max(1, epochs // 2) }
print(assert(lv.codec.write(arg[2], small, { clip = clip })))
