-- Trains a small network for some seconds on all ranks, and says the values that it ends with.
-- Words: folder, steps, seconds of the deadline.
local lv <const> = require "lunerv"

lv.set_threads(1)
lv.dist.set_deadline(tonumber(arg[3]))
local clip <const> = { images = {} }
lv.seed(11)
for i = 1, 6 do clip.images[i] = lv.rand(1, 3, 24, 32) end
function clip:sample(i) return { image = self.images[i], t = i / 6, index = i } end
function clip.prefetch() end
clip.height, clip.width = 24, 32
setmetatable(clip, { __len = function() return 6 end })

local Net <const> = lv.nn.class "Net"
function Net:init()
  lv.seed(5)
  self.first = lv.nn.Conv2d(3, 16, 3, { padding = 1 })
  self.last = lv.nn.Conv2d(16, 3, 3, { padding = 1 })
end
function Net:reconstruct(frame) return self.last((self.first(frame.image) * frame.t):relu()) end

local steps <const> = math.tointeger(tonumber(arg[2]))
local model <const> = Net()
local run <const> = lv.train {
  model = model, clip = clip, steps = steps, batch = 2, optimiser = "muon", lr = 0.002, loss = "l2",
  out = arg[1], resume = true, checkpoint_steps = 50, seed = 3, frames = false,
  on_step = function(e)
    if e.step == 20 and lv.dist.rank() == 0 then lv.write_file(arg[1] .. "/begun", "") end
  end,
}
local text = ("%.17g"):format(run.metrics.psnr)
for _, p in ipairs(model:parameters()) do
  text = text .. (" %.17g"):format(p:detach():sum():item())
end
for _, values in ipairs(lv.dist.gather(text)) do assert(values == text) end
if lv.dist.rank() == 0 then print("values " .. text) end
