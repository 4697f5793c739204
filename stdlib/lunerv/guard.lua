-- Protects a training from divergence: it stores the last good state in memory. When the loss is
-- NaN, or stays far above its minimum, or the PSNR far below its maximum, the run returns to that
-- state and continues at half the learning rate; twice at most.
local buffers <const> = require "lunerv.nn.buffers"
local native <const> = require "lunerv.native"

local Guard <const> = {}
Guard.__index = Guard

-- The most returns to a good state in a run.
local most_returns <const> = 2
-- The decay of the smoothed loss per step. Single frames differ; a spike lasts.
local loss_decay <const> = 0.9
-- A loss this many times the lowest one is a divergence. The size of a loss that may be negative,
-- such as a logarithm, means nothing.
local loss_factor <const> = 3
-- The decay of the smoothed PSNR, and a fall in decibels that is a divergence. The loss alone does
-- not show it: a network that lost its embeddings has less than three times the loss. The PSNR
-- differs more between frames, hence the slow decay; a price of bits costs it some decibels.
local psnr_decay <const>, most_decibels <const> = 0.98, 6
-- The highest PSNR that counts: black frames have more, and would dominate the mean.
local psnr_cap <const> = 50
-- Steps before the smoothed loss, and the PSNR, are reliable; steps between two snapshots.
local loss_warmup <const>, psnr_warmup <const>, between <const> = 20, 100, 50

-- `average` is that of train/average.lua, or nil.
function Guard.new(model, optimiser, average)
  return setmetatable({
    model = model, optimiser = optimiser, average = average, factor = 1, returns = 0, count = 0,
    snapshot = nil,
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

local function take_snapshot(self)
  local tensors, numbers = live(self)
  local snapshot = self.snapshot
  if not snapshot then
    snapshot = { tensors = {} }
    for name, tensor in pairs(tensors) do snapshot.tensors[name] = tensor:detach():clone() end
    self.snapshot = snapshot
  else
    -- State that a model carries between frames may appear and disappear.
    for name in pairs(snapshot.tensors) do
      if not tensors[name] then snapshot.tensors[name] = nil end
    end
    for name, tensor in pairs(tensors) do
      local known = snapshot.tensors[name]
      if known then
        known:copy_(tensor:detach())
      else
        snapshot.tensors[name] = tensor:detach():clone()
      end
    end
  end
  snapshot.numbers, snapshot.count = numbers, self.count
end

local function go_back(self)
  local snapshot = self.snapshot
  local parts = { model = {}, optimiser = {}, ema = {} }
  for name, tensor in pairs(snapshot.tensors) do
    local part, rest = name:match "^(%a+)/(.+)$"
    parts[part][rest] = tensor
  end
  for name, number in pairs(snapshot.numbers) do parts.optimiser[name] = number end
  buffers.restore(self.model, parts.model)
  self.model:load_state_dict(parts.model)
  self.optimiser:load_state(parts.optimiser)
  if self.average then self.average:load(parts.ema) end
  self.returns, self.factor = self.returns + 1, self.factor / 2
  self.smooth, self.quality, self.count, snapshot.count = nil, nil, 0, 0
end

-- Whether it can return to an earlier state.
function Guard:can_return() return self.snapshot ~= nil and self.returns < most_returns end

-- Judges the loss of a step, and the PSNR if it is known, before its update: "good"; "bad", if this
-- step makes no update and `commit` returns to an earlier state; or "lost", if the loss is NaN and
-- no returns are left. It changes nothing: an interrupt may come before `commit`.
function Guard:judge(loss, psnr)
  local spent = not self:can_return()
  local finite = loss - loss == 0
  self.verdict = nil
  if not finite then
    if spent then return "lost" end
    self.verdict = { back = true }
    return "bad"
  end
  local next = { count = self.count + 1, lowest = self.lowest, highest = self.highest }
  next.smooth = self.smooth and loss_decay * self.smooth + (1 - loss_decay) * loss or loss
  if psnr and psnr - psnr == 0 then
    local quality = self.quality
    psnr = math.min(psnr, psnr_cap)
    next.rated = (quality and self.rated or 0) + 1
    next.quality = quality and psnr_decay * quality + (1 - psnr_decay) * psnr or psnr
    if next.rated >= psnr_warmup then
      if not spent and next.highest and next.quality < next.highest - most_decibels then
        self.verdict = { back = true }
        return "bad"
      end
      next.highest = math.max(next.highest or next.quality, next.quality)
    end
  end
  if next.count >= loss_warmup then
    local lowest = next.lowest
    if lowest and lowest > 0 and next.smooth > loss_factor * lowest and not spent then
      self.verdict = { back = true }
      return "bad"
    end
    if not next.lowest or next.smooth < next.lowest then
      next.lowest = next.smooth
      next.take_snapshot = not self.snapshot or next.count - self.snapshot.count >= between
    end
  end
  self.verdict = next
  return "good"
end

-- Applies the last verdict; called in an update, before the optimiser's step.
function Guard:commit()
  local verdict = self.verdict
  if verdict.back then return native.no_grad(go_back, self) end
  self.count, self.smooth, self.lowest = verdict.count, verdict.smooth, verdict.lowest
  self.quality, self.rated, self.highest = verdict.quality, verdict.rated, verdict.highest
  if verdict.take_snapshot then native.no_grad(take_snapshot, self) end
end

-- Plain data for a checkpoint.
function Guard:state()
  local snapshot = self.snapshot
  return {
    factor = self.factor, returns = self.returns, count = self.count, smooth = self.smooth,
    lowest = self.lowest, quality = self.quality, rated = self.rated,
    highest = self.highest,
    kept_at = snapshot and snapshot.count, numbers = snapshot and snapshot.numbers,
  }
end

-- The snapshot's tensors, { name, tensor } each, for a checkpoint.
function Guard:tensors()
  local list = {}
  for name, tensor in pairs(self.snapshot and self.snapshot.tensors or {}) do
    list[#list + 1] = { "guard/" .. name, tensor }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

-- Restores the results of `state` and `tensors`; the latter by name, without "guard/".
function Guard:load(state, tensors)
  self.factor, self.returns = state.factor, math.tointeger(state.returns)
  self.count = math.tointeger(state.count)
  self.smooth, self.lowest = state.smooth, state.lowest
  self.quality, self.rated, self.highest = state.quality, state.rated, state.highest
  if state.kept_at then
    local numbers = {}
    for name, number in pairs(state.numbers) do
      numbers[name] = math.tointeger(number) or number
    end
    self.snapshot = { tensors = tensors, numbers = numbers, count = math.tointeger(state.kept_at) }
  end
end

return Guard
