-- lv.compress.three_step: pruning, quantisation and coding, one after another.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local quant <const> = require "lunerv.quant"
local List <const> = require "lunerv.nn.list"
local slots <const> = require "lunerv.compress.slots"
local subject <const> = require "lunerv.compress.subject"
local with_parameters <const> = require "lunerv.nn.with_parameters"

--- Compresses a model in three independent steps: pruning with fine-tuning; quantisation between
--- minimum and maximum; coding with learned frequencies.
--- It is the baseline for entropy minimisation. Unlike in the published method, zero is always
--- among the quantised values, so that pruned weights stay 0.
---
---     local pruned = lv.compress.three_step(run.model)
---     lv.train { model = pruned, clip = clip, epochs = 10, on_epoch = function(e)
---       pruned:prune(0.2 * math.min(1, e.epoch / 5))
---     end }
---     lv.codec.write("clip.lnv", pruned, { clip = clip })
---
---@param model lunerv.Module  the model to compress
---@param options? lunerv.compress.three_step.Options
local ThreeStep <const> = class "ThreeStep"

ThreeStep.train_defaults = { epochs = 100, lr = 5e-4, warmup = 0 }

local Mask <const> = class "Mask"
function Mask:init(tensor) self.keep = native.ones(table.unpack(tensor.shape)) end

-- The convolutions of the first layer and of the stages; of a custom model, all.
local function is_prunable(slot, model)
  return slot.tensor:dim() == 4 and slot.name:match "weight$"
    and (slot.name:match "^stem%." or slot.name:match "^stages%." or not model.kind)
end

local takes <const> = options.takes("compress.three_step", {
  { "bits", 8, "bits per weight" },
  { "embedding_bits", 6, "bits per embedding value" },
  { "predict", true, "code embeddings as differences from the previous frame" },
  { "clip", nil, "the clip, for a model that is not from lv.models", type = "clip" },
})

function ThreeStep:init(model, given)
  local o = takes(given)
  local config = subject.config(model, o.clip, "compress.three_step")
  self.kind = model.kind
  self.model = model
  self.bits, self.embedding_bits, self.predict = o.bits, o.embedding_bits, o.predict
  self.config = { three_step = true, bits = o.bits, embedding_bits = o.embedding_bits }
  for name, value in pairs(config) do
    self.config[name] = value
  end
  self.slots, self.pruned = slots.of(model), {}
  self.masks = List {}
  for i, slot in ipairs(self.slots) do
    if is_prunable(slot, model) then
      self.masks:append(Mask(slot.tensor))
      self.pruned[i] = #self.masks
    end
  end
end

--- The number of parameters in its file.
---
---@return integer
function ThreeStep:stored_parameters() return subject.stored_parameters(self.model) end

-- The number of weights of the prunable layers that are smaller than `bound`.
local function count_below(self, bound)
  local count = 0
  for i in pairs(self.pruned) do
    count = count + self.slots[i].tensor:detach():abs():lt(bound):sum():item()
  end
  return count
end

--- Prunes the smallest `share` of the prunable weights, over all layers together.
---
---@param share number  from 0 to below 1
function ThreeStep:prune(share)
  if type(share) ~= "number" or share < 0 or share >= 1 then
    errors.raise("prune: expected a share from 0 to below 1, got %s", tostring(share))
  end
  local total, high = 0, 0
  for i in pairs(self.pruned) do
    local tensor = self.slots[i].tensor:detach()
    total, high = total + tensor:numel(), math.max(high, tensor:abs():amax():item())
  end
  local low = 0
  for _ = 1, 40 do
    local middle = (low + high) / 2
    if count_below(self, middle) <= share * total then low = middle else high = middle end
  end
  native.no_grad(function()
    for i, mask in pairs(self.pruned) do
      local tensor = self.slots[i].tensor
      self.masks[mask].keep:copy_(tensor:abs():ge(low))
    end
  end)
end

local function masked(self)
  local list = {}
  for i, slot in ipairs(self.slots) do
    local mask = self.pruned[i]
    list[i] = mask and slot.tensor * self.masks[mask].keep or slot.tensor
  end
  return list
end

--- The reconstruction of a frame with the remaining weights.
---
---@param frame table  { image, t, index }
---@return lunerv.Tensor
function ThreeStep:reconstruct(frame)
  local kept = slots.by_name(self.slots, masked(self))
  return with_parameters(self.model, kept, metrics.reconstruct, self.model, frame)
end

ThreeStep.forward = ThreeStep.reconstruct

local function mean_error(x, step) return (x:quantise(step) - x):abs():mean():item() end

-- The step size of a tensor: one, or one per row if the rows are under 2 % of the elements and give
-- a smaller error.
local function best_step(x, bits)
  local whole = quant.Scale(x, { bits = bits }).step:detach()
  if x:dim() < 2 or x:size(1) >= 0.02 * x:numel() then return whole end
  local rows = quant.Scale(x, { bits = bits, channel = true }).step:detach()
  return mean_error(x, rows) < mean_error(x, whole) and rows or whole
end

--- The description that lv.codec.write stores.
---
---@param clip lunerv.Clip
---@return table
function ThreeStep:stored(clip)
  local stored = { model = self.model, weights = {}, steps = {}, families = { "adaptive" },
    predict = self.predict }
  native.no_grad(function()
    for i, tensor in ipairs(masked(self)) do
      stored.weights[i] = tensor:detach():evaluate()
      stored.steps[i] = best_step(stored.weights[i], self.bits)
    end
    if not subject.has_embeddings(self.model) then return end
    local low, high = math.huge, -math.huge
    stored.embeddings = {}
    for index = 1, #clip do
      local y = self.model:encode(clip:frame(index)):evaluate()
      low, high = math.min(low, y:amin():item()), math.max(high, y:amax():item())
      stored.embeddings[index] = y
    end
    stored.embedding_offset = low
    stored.embedding_step = high > low and (high - low) / (2 ^ self.embedding_bits - 1) or 1
  end)
  return stored
end

return ThreeStep
