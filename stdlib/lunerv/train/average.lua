-- The mean of a model's weights over the steps of its training, recent ones counting more.
local native <const> = require "lunerv.native"

local Average <const> = {}
Average.__index = Average

-- Starts with the present weights. Parameters that a model sets by itself have no mean: see
-- is_averaged(name).
function Average.new(model, decay)
  local self = setmetatable({ decay = decay, count = 0, list = {} }, Average)
  for name, tensor in model:named_parameters() do
    if not model.is_averaged or model:is_averaged(name) then
      self.list[#self.list + 1] = { name = name, weight = tensor, mean = tensor:detach():clone() }
    end
  end
  return self
end

-- Adds the weights after a step. The first means are short: otherwise they would consist mostly of
-- the initial random numbers.
function Average:update()
  self.count = self.count + 1
  local keep = math.min(self.decay, (1 + self.count) / (10 + self.count))
  native.no_grad(function()
    for _, entry in ipairs(self.list) do
      entry.mean:mul_(keep):add_(entry.weight, 1 - keep)
    end
  end)
end

local function restore(self)
  local own = self.own
  if not own then return end
  native.no_grad(function()
    for i, entry in ipairs(self.list) do entry.weight:copy_(own[i]) end
  end)
  self.own = nil
end

-- Replaces the model's weights by the means until the returned to-be-closed variable is closed.
function Average:apply()
  local own = {}
  for i, entry in ipairs(self.list) do own[i] = entry.weight:detach():clone() end
  self.own = own
  self:store()
  return setmetatable({}, { __close = function() restore(self) end })
end

-- Replaces the model's weights by the means permanently.
function Average:store()
  native.no_grad(function()
    for _, entry in ipairs(self.list) do entry.weight:copy_(entry.mean) end
  end)
end

-- Restores the model's own weights after an interrupted `apply`.
Average.restore = restore

-- { name, tensor } each, for a checkpoint.
function Average:tensors()
  local list = {}
  for i, entry in ipairs(self.list) do list[i] = { "ema/" .. entry.name, entry.mean } end
  return list
end

-- Loads the means, by name without "ema/".
function Average:load(means)
  native.no_grad(function()
    for _, entry in ipairs(self.list) do entry.mean:copy_(means[entry.name]) end
  end)
end

return Average
