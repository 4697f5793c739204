-- Learning rates as functions of the step.
local harness <const> = require "harness"
local schedule <const> = require "lunerv.schedule"

local near <const>, test <const> = harness.near, harness.test

test("the learning rate rises, then falls as a cosine", function()
  local rate = schedule.warmup_cosine { lr = 1, warmup = 0.1, steps = 100 }
  near(rate(1), 0.1, 1e-12)
  near(rate(6), 0.55, 1e-12)
  near(rate(11), 1, 1e-12)
  near(rate(56), 0.5, 1e-12)
  near(rate(100), 0.5 * (math.cos(math.pi * 0.89 / 0.9) + 1), 1e-12)
end)

test("without warm-up it starts at the top", function()
  local rate = schedule.warmup_cosine { lr = 2, warmup = 0, steps = 10 }
  near(rate(1), 2, 1e-12)
  assert(rate(2) < 2)
end)

test("the learning rate rises, then falls in a straight line", function()
  local rate = schedule.warmup_linear { lr = 1, warmup = 0.1, steps = 100 }
  near(rate(1), 0.1, 1e-12)
  near(rate(11), 1, 1e-12)
  near(rate(56), 0.5, 1e-12)
  near(rate(100), 0.01 / 0.9, 1e-12)
  local half = schedule.warmup_linear { lr = 2, warmup = 0, steps = 10, last = 0.5 }
  near(half(6), 1.5, 1e-12)
end)

test("a constant rate stays", function()
  local rate = schedule.constant { lr = 0.5 }
  near(rate(1), 0.5, 0)
  near(rate(1000), 0.5, 0)
end)
