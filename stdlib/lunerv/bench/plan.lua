-- The default plan of `lunerv bench`: as many cases as fit its time, the most informative first.
local options <const> = require "lunerv.options"

local plan <const> = {}

-- The usual share of the multiply-add roof on each side, and the cost of starting PyTorch and of
-- compiling.
local shares <const> = { lunerv = 0.45, eager = 0.12, jemalloc = 0.25, compiled = 0.15 }
local start <const>, compiling <const> = 7, 180
local kernel_seconds <const>, algorithm_factor <const> = 45, 3

-- The work of a forward pass outside its convolutions, in GFLOP per megapixel: losses and
-- transforms.
local other_work <const> = 8

-- The estimated duration of a case. `o` holds mode, model, geometry, steps, torch_steps, warmup,
-- torch and compiled; `roof` is in GFLOP/s.
function plan.expected_seconds(o, roof)
  if o.mode == "kernels" then return kernel_seconds * (o.algorithms and algorithm_factor or 1) end
  local size = o.geometry
  local gflop = (size.kinds[o.model] or { 0, 2e-5 * size.height * size.width })[2]
  local extra = other_work * 1e-6 * size.height * size.width
  if o.mode == "loss" then
    gflop = extra
  elseif o.mode == "train" then
    gflop = 3 * gflop + extra
  end
  local seconds = 1 + (o.warmup + o.steps + 2) * gflop / roof / shares.lunerv
  if not o.torch then return seconds end
  for _, name in ipairs { "eager", "jemalloc", o.compiled and "compiled" or nil } do
    seconds = seconds + start + (1 + o.torch_steps) * gflop / roof / shares[name]
  end
  return seconds + (o.compiled and compiling or 0)
end

-- All cases: { mode, model, size }, the most interesting first.
function plan.cases(models, names)
  models, names = models or options.kinds, names or { "720p", "180p", "360p" }
  local list = { { mode = "kernels" } }
  local taken = {}
  local function add(mode, model, size)
    local key = table.concat({ mode, model, size }, " ")
    if taken[key] then return end
    taken[key] = true
    for _, known in ipairs(models) do
      for _, name in ipairs(names) do
        if known == model and name == size then
          list[#list + 1] = { mode = mode, model = model, size = size }
        end
      end
    end
  end
  -- The paper's own model first, then the others by name.
  local order = { "hnerv_boost", "hnerv", table.unpack(options.kinds) }
  add("loss", "hnerv_boost", "720p")
  for i = 1, 2 do
    for _, size in ipairs { "720p", "180p" } do add("train", order[i], size) end
  end
  add("decode", "hnerv_boost", "720p")
  for _, row in ipairs {
    { "train", "720p" }, { "train", "180p" }, { "decode", "720p" }, { "decode", "180p" },
    { "train", "360p" }, { "decode", "360p" },
  } do
    for _, kind in ipairs(order) do add(row[1], kind, row[2]) end
  end
  return list
end

-- The cases that fit into `budget` seconds, in order; those left out; and the expected seconds.
-- `expected(case)` is the duration of one.
function plan.fit(cases, budget, expected)
  local taken, left_out, sum = {}, {}, 0
  for _, case in ipairs(cases) do
    local seconds = expected(case)
    if sum + seconds <= budget then
      taken[#taken + 1], sum = case, sum + seconds
    else
      left_out[#left_out + 1] = case
    end
  end
  return taken, left_out, sum
end

-- "train hnerv_boost 720p"
function plan.name(case)
  return table.concat({ case.mode, case.model, case.size }, " ")
end

return plan
