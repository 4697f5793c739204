-- lunerv run scripts/bench/profile_overhead.lua [MODEL] [ROUNDS]: measures the cost of
-- `--profile`. Alternates training steps at 320x180 with and without the profiler, on an idle
-- machine.
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local sizes <const>, steps <const> = require "lunerv.bench.sizes", require "lunerv.bench.steps"

local model <const>, frame <const> =
  steps.build { model = arg[1] or "hnerv_boost", geometry = sizes["180p"] }
local optimiser <const> = lv.optim.Adan(model:parameters(), { lr = 1e-3 })

local function step()
  local loss = lv.loss.boosted(model:reconstruct(frame), frame.image)
  optimiser:zero_grad()
  loss:backward()
  optimiser:step()
end

-- Seconds of the quickest of three steps.
local function quickest()
  local best = math.huge
  for _ = 1, 3 do
    local began = native.time()
    step()
    best = math.min(best, native.time() - began)
  end
  return best
end

for _ = 1, 5 do step() end -- the first ones pay for memory
local plain, profiled, ratios = {}, {}, {}
for i = 1, tonumber(arg[2]) or 40 do
  plain[i] = quickest()
  local _, seconds = lv.profile(quickest)
  profiled[i], ratios[i] = seconds, seconds / plain[i]
end
local median <const> = steps.median
print(("a step %.2f ms, profiled %.2f ms; %+.2f %%, the median of %d pairs"):format(
  1e3 * median(plain), 1e3 * median(profiled), 100 * (median(ratios) - 1), #ratios))
