-- What keeps a training from ending in a divergence: the last good state, in memory. When the loss
-- is no number, or stays far above the lowest it has been, the run goes back to that state and
-- continues at half the learning rate; twice at most.
local between_frames <const> = require "lunerv.nn.kept"
local native <const> = require "lunerv.native"

local Guard <const> = {}
Guard.__index = Guard

-- Returns that a run gets.
local most_returns <const> = 2
-- How much of the smoothed loss a step keeps: frames differ, a spike lasts.
local memory <const> = 0.9
-- A loss this many times the lowest is a divergence; one that may be negative, as a logarithm is,
-- says nothing by its size.
local bound <const> = 3
-- Steps before the smoothed loss means anything; steps between two states that are kept.
local settled <const>, between <const> = 20, 50

-- `average` is that of train/average.lua, or nil.
function Guard.new(model, optimiser, average)
  return setmetatable({
    model = model, optimiser = optimiser, average = average, factor = 1, returns = 0, count = 0,
    kept = nil,
  }, Guard)
end

-- All tensors that a step changes, by name, and the optimiser's numbers.
local function live(self)
  local tensors, numbers = {}, {}
  for _, entry in ipairs(self.model:state_dict()) do tensors["model/" .. entry[1]] = entry[2] end
  for name, value in pairs(self.optimiser:state()) do
    if type(value) == "number" then
      numbers[name] = value
    else
      tensors["optimiser/" .. name] = value
    end
  end
  for _, entry in ipairs(self.average and self.average:tensors() or {}) do
    tensors[entry[1]] = entry[2]
  end
  return tensors, numbers
end

local function keep(self)
  local tensors, numbers = live(self)
  local kept = self.kept
  if not kept then
    kept = { tensors = {} }
    for name, tensor in pairs(tensors) do kept.tensors[name] = tensor:detach():clone() end
    self.kept = kept
  else
    -- What a model keeps between frames comes and goes.
    for name in pairs(kept.tensors) do
      if not tensors[name] then kept.tensors[name] = nil end
    end
    for name, tensor in pairs(tensors) do
      local known = kept.tensors[name]
      if known then
        known:copy_(tensor:detach())
      else
        kept.tensors[name] = tensor:detach():clone()
      end
    end
  end
  kept.numbers, kept.count = numbers, self.count
end

local function go_back(self)
  local kept = self.kept
  local parts = { model = {}, optimiser = {}, ema = {} }
  for name, tensor in pairs(kept.tensors) do
    local part, rest = name:match "^(%a+)/(.+)$"
    parts[part][rest] = tensor
  end
  for name, number in pairs(kept.numbers) do parts.optimiser[name] = number end
  between_frames.take_up(self.model, parts.model)
  self.model:load_state_dict(parts.model)
  self.optimiser:load_state(parts.optimiser)
  if self.average then self.average:load(parts.ema) end
  self.returns, self.factor = self.returns + 1, self.factor / 2
  self.smooth, self.count, kept.count = nil, 0, 0
end

-- What the loss of a step means, before its update: "good", "bad" (`commit` goes back to a state
-- some steps ago, and this step has no gradient to follow), or "lost" (the loss is no number, and
-- nothing is left to go back to). Changes nothing: an interrupt may come before `commit`.
function Guard:judge(loss)
  local spent = self.returns >= most_returns or not self.kept
  local finite = loss - loss == 0
  self.verdict = nil
  if not finite then
    if spent then return "lost" end
    self.verdict = { back = true }
    return "bad"
  end
  local next = { count = self.count + 1, lowest = self.lowest }
  next.smooth = self.smooth and memory * self.smooth + (1 - memory) * loss or loss
  if next.count >= settled then
    local lowest = next.lowest
    if lowest and lowest > 0 and next.smooth > bound * lowest and not spent then
      self.verdict = { back = true }
      return "bad"
    end
    if not next.lowest or next.smooth < next.lowest then
      next.lowest = next.smooth
      next.keep = not self.kept or next.count - self.kept.count >= between
    end
  end
  self.verdict = next
  return "good"
end

-- Does what the last verdict says; a part of the update, before the optimiser's step.
function Guard:commit()
  local verdict = self.verdict
  if verdict.back then return native.no_grad(go_back, self) end
  self.count, self.smooth, self.lowest = verdict.count, verdict.smooth, verdict.lowest
  if verdict.keep then native.no_grad(keep, self) end
end

-- Plain data for a checkpoint.
function Guard:state()
  local kept = self.kept
  return {
    factor = self.factor, returns = self.returns, count = self.count, smooth = self.smooth,
    lowest = self.lowest, kept_at = kept and kept.count, numbers = kept and kept.numbers,
  }
end

-- The tensors of the state that is kept, { name, tensor } each, for a checkpoint.
function Guard:tensors()
  local list = {}
  for name, tensor in pairs(self.kept and self.kept.tensors or {}) do
    list[#list + 1] = { "guard/" .. name, tensor }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

-- Takes up what `state` and `tensors` gave; the latter by name, without "guard/".
function Guard:load(state, tensors)
  self.factor, self.returns = state.factor, math.tointeger(state.returns)
  self.count = math.tointeger(state.count)
  self.smooth, self.lowest = state.smooth, state.lowest
  if state.kept_at then
    local numbers = {}
    for name, number in pairs(state.numbers) do
      numbers[name] = math.tointeger(number) or number
    end
    self.kept = { tensors = tensors, numbers = numbers, count = math.tointeger(state.kept_at) }
  end
end

return Guard
