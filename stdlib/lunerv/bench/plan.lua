-- What `lunerv bench` measures when nobody says what: as many cases as fit its time, those that
-- tell most first.
local options <const> = require "lunerv.options"

local plan <const> = {}

-- The share of the multiply-add roof that each side usually reaches, what starting PyTorch costs,
-- and compiling.
local shares <const> = { lunerv = 0.45, eager = 0.12, jemalloc = 0.25, compiled = 0.15 }
local start <const>, compiling <const> = 7, 180
local kernel_seconds <const>, algorithm_factor <const> = 45, 3

-- What a forward pass takes beside its convolutions, in GFLOP a megapixel: losses and transforms
-- are no convolutions.
local beside <const> = 8

-- How long a case takes, about. `o` holds mode, model, geometry, steps, torch_steps, warmup, torch
-- and compiled; `roof` is in GFLOP/s.
function plan.expected_seconds(o, roof)
  if o.mode == "kernels" then return kernel_seconds * (o.algorithms and algorithm_factor or 1) end
  local size = o.geometry
  local gflop = (size.kinds[o.model] or { 0, 2e-5 * size.height * size.width })[2]
  local extra = beside * 1e-6 * size.height * size.width
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

-- Every case there is: { mode, model, size }, in falling order of interest.
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

-- Those of `cases` that fit into `budget` seconds, in order, and those left out. `expected(case)`
-- is how long one takes.
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
