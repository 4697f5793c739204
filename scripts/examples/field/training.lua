-- training.lua: options of lv.train for training by the clock rather than for a number of steps.
local lv <const> = require "lunerv"

local training <const> = {}

-- `given`, with the fields of `others` added or replaced.
function training.with(given, others)
  for name, value in pairs(others or {}) do given[name] = value end
  return given
end

-- Muon for matrices, Adam for grids, whose names match `pattern`, and for quantisers' step sizes,
-- Adan for the rest.
function training.optimiser(pattern)
  return function(model, given)
    local matrices, grids, steps, others = {}, {}, {}, {}
    for name, parameter in model:named_parameters() do
      local list = name:match "^quantisers%." and steps
        or pattern and name:match(pattern) and grids
        or lv.optim.is_matrix(parameter) and matrices or others
      list[#list + 1] = parameter
    end
    return lv.optim.Muon {
      { params = matrices, optimiser = "muon", lr = given.lr, momentum = 0.97 },
      { params = grids, optimiser = "adam", lr = 2 * given.lr, beta2 = 0.99 },
      { params = others, optimiser = "adan", lr = 0.2 * given.lr },
      { params = steps, optimiser = "adam", lr = 0.025 * given.lr },
    }
  end
end

-- Options of lv.train for `model` of a codec until the time `stop`: the learning rate decays
-- linearly, and everything else that changes during training follows the clock too.
function training.clocked(Codec, model, stop, given)
  local start, last = lv.time(), 0
  local function share() return math.min((lv.time() - start) / (stop - start), 1) end
  function model.progress()
    local now, before = share(), last
    last = now
    return now, now - before
  end
  local options = {
    model = model, steps = 1 << 30, optimiser = training.optimiser(Codec.grids), lr = 0.012,
    guard = true, order = "spread",
    schedule = function(step, _, lr) return lr * math.min(step / 50, 1 - share() + 1e-3) end,
    progress = function(_, steps) return (steps - 1) * share() end,
    on_step = function() if lv.time() > stop then return false end end,
    evaluate = function(trained, clip)
      return lv.metrics.evaluate(trained, clip, nil, lv.metrics.spread(#clip, 8))
    end,
  }
  return training.with(training.with(options, Codec.options), given)
end

return training
