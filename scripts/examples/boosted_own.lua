-- lunerv run scripts/examples/boosted_own.lua CLIP [EPOCHS]: trains a custom decoder, which knows
-- nothing of boosting, as it is and boosted, at about the same number of parameters.
local lv <const> = require "lunerv"
local Ladder <const> = require "ladder"

local clip <close> = assert(lv.video.open(arg[1]))
local epochs <const> = tonumber(arg[2]) or 20

local function train(name, model)
  local result = lv.train { model = model, clip = clip, epochs = epochs }
  print(("%s, %d parameters: %s"):format(name, model:parameter_count(), result.metrics))
end

lv.seed(1)
train("as it is", Ladder(clip.height, clip.width, 26))
lv.seed(1)
train("boosted", lv.nn.boost { decoder = Ladder(clip.height, clip.width, 23) })
