-- Normalisation of channels over a batch.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"
local running <const> = require "lunerv.nn.running"

local takes <const> = options.takes("nn.BatchNorm2d", {
  { "eps", 1e-5, "added to the variance" },
  { "momentum", 0.1, "share of a batch in the new running statistics" },
  { "affine", true, "whether there is a weight and a bias for each channel" },
  { "training", nil, "whether batch statistics are used (while gradients are recorded)",
    type = "boolean" },
})

local images <const> = { 1, 3, 4 }

--- Normalises each channel of (n, channels, h, w) to mean 0 and variance 1, then applies a weight
--- and a bias (arXiv 1502.03167). Training uses the batch's mean and variance, and moves the
--- buffers running_mean and running_var towards them; evaluation uses the buffers.
--- Unlike PyTorch, there is no training mode: training means that gradients are recorded, and
--- evaluation is inside lv.no_grad, unless `training` (also a field of the module) decides.
---
---     local norm = nn.BatchNorm2d(64)
---     norm.training = false                 -- the running statistics, gradients or not
---
---@param channels integer  channels of the map
---@param options? lunerv.nn.BatchNorm2d.Options
local BatchNorm2d <const> = class "BatchNorm2d"

-- lv.train computes the frames of a batch together.
BatchNorm2d.takes_batches = true

function BatchNorm2d:init(channels, given)
  local o = takes(given)
  channels = parameter.integer(channels, "nn.BatchNorm2d: channels")
  if not (o.momentum >= 0 and o.momentum <= 1) then
    errors.raise("nn.BatchNorm2d: momentum: expected a number from 0 to 1, got %s", o.momentum)
  end
  self.eps, self.momentum = o.eps, o.momentum
  if o.training ~= nil then self.training = o.training end
  if o.affine then
    self.weight = parameter.full(1, channels)
    self.bias = parameter.full(0, channels)
  end
  self.running_mean = native.zeros(channels)
  self.running_var = native.ones(channels)
end

-- Moves the running statistics towards a batch's; the variance with n − 1 as divisor, as PyTorch.
local function follow(self, mean, variance, count)
  local share <const> = self.momentum
  local function move(statistic, value)
    statistic:copy_(statistic * (1 - share) + value:detach():to(statistic.dtype) * share)
  end
  move(self.running_mean, mean)
  move(self.running_var, variance * (count / math.max(count - 1, 1)))
end

function BatchNorm2d:forward(x)
  if x:dim() ~= 4 then
    errors.raise("nn.BatchNorm2d: expected (n, channels, h, w), got (%s)",
      table.concat(x.shape, ", "))
  end
  local channels <const> = self.running_mean:numel()
  if x:size(2) ~= channels then
    errors.raise("nn.BatchNorm2d: expected %d channels, got %d", channels, x:size(2))
  end
  local training = self.training
  if training == nil then training = native.is_grad_enabled() end
  local mean, variance = self.running_mean, self.running_var
  if training then
    mean, variance = x:mean(images), x:var(images)
    if not running.is_repeated() then
      native.no_grad(follow, self, mean, variance, x:numel() // math.max(x:size(2), 1))
    end
  end
  return x:batch_norm(mean, variance, self.weight, self.bias, { eps = self.eps })
end

return BatchNorm2d
