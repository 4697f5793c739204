-- lunerv run scripts/examples/train_phase.lua CLIP [EPOCHS]: the training loop as a script.
-- lv.train { model =, clip =, … } is the same loop with checkpoints, reports and resuming.
local lv <const> = require "lunerv"
local Decoder <const> = require "phase"

lv.seed(1)
local clip <close> = assert(lv.video.open(arg[1]))
local epochs <const> = tonumber(arg[2]) or 30

local model <const> = Decoder(clip.height, clip.width)
local optimiser <const> = lv.optim.Adan(model:parameters())
local rate <const> = lv.schedule.warmup_cosine { lr = 3e-3, steps = epochs * #clip }
print(clip, model)

local sum = 0
for step, frame in clip:batches { epochs = epochs, shuffle = true } do
  local output = model(frame.t)
  local loss = lv.loss.boosted(output, frame.image)
  optimiser:zero_grad()
  loss:backward()
  optimiser.lr = rate(step)
  optimiser:step()

  sum = sum + loss:item()
  if step % #clip == 0 then
    print(("epoch %d: loss %.3f"):format(step // #clip, sum / #clip))
    sum = 0
  end
end
print(lv.metrics.evaluate(model, clip))
