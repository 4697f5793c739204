-- A training step through a custom block, the twin of sampling_step.py: two frames of features at
-- half size are enlarged (bilinear), the previous one is warped by a flow that a convolution
-- computes, and both are merged into an image.
--
--   lunerv run scripts/bench/sampling_step.lua [WIDTH HEIGHT [STEPS]]
--
-- Prints the median seconds per step.
local lv <const> = require "lunerv"
local nn <const> = lv.nn

local width <const> = math.tointeger(tonumber(arg[1] or 1280))
local height <const> = math.tointeger(tonumber(arg[2] or 720))
local steps <const> = math.tointeger(tonumber(arg[3] or 5))

local Warp <const> = nn.class "Warp"

function Warp:init(channels)
  self.channels = channels
  self.flow = nn.Conv2d(2 * channels, 2, 3, { padding = 1 })
  self.merge = nn.Conv2d(2 * channels, channels, 3, { padding = 1 })
  self.head = nn.Conv2d(channels, 3, 3, { padding = 1 })
end

-- The places of the pixels in [-1, 1]: (1, 2, h, w).
local function places(h, w)
  local x = ((lv.arange(1, w) - 0.5) * (2 / w) - 1):view(1, 1, 1, w):expand(1, 1, h, w)
  local y = ((lv.arange(1, h) - 0.5) * (2 / h) - 1):view(1, 1, h, 1):expand(1, 1, h, w)
  return lv.cat({ x, y }, 2)
end

function Warp:forward(now, before)
  now = now:interpolate { scale = 2, mode = "bilinear" }
  before = before:interpolate { scale = 2, mode = "bilinear" }
  local flow = self.flow(lv.cat({ now, before }, 2)):tanh() * 0.1
  local grid = (self.places + flow):permute(1, 3, 4, 2)
  local warped = before:grid_sample(grid, { padding = "border" })
  return self.head(self.merge(lv.cat({ now, warped }, 2)):gelu()):sigmoid()
end

lv.seed(1)
local block <const> = Warp(16)
block.places = places(height, width)
local now <const> = nn.parameter(lv.randn(1, 16, height // 2, width // 2) * 0.3)
local before <const> = nn.parameter(lv.randn(1, 16, height // 2, width // 2) * 0.3)
local frame <const> = lv.rand(1, 3, height, width)
local parameters <const> = block:parameters()
parameters[#parameters + 1] = now
parameters[#parameters + 1] = before
local optimiser <const> = lv.optim.Adam(parameters, { lr = 1e-3 })

local seconds <const> = {}
for step = 0, steps do
  local began = lv.time()
  optimiser:zero_grad()
  local loss = lv.l1_loss(block(now, before), frame)
  loss:backward()
  optimiser:step()
  if step > 0 then seconds[step] = lv.time() - began end
end
table.sort(seconds)
print(("%.4f"):format(seconds[(#seconds + 1) // 2]))
