-- lv.compress.cem(model, { bits = 8, target_bpp =, lambda = }): consistent entropy minimisation
-- (arXiv 2402.18152, section 3.3). A model for lv.train that computes with quantised parameters
-- and embeddings, and pays for the bits that they will take in a file: the same normal
-- distributions price them here and code them there.
--
--   local cem = lv.compress.cem(run.model, { target_bpp = 0.1 })
--   lv.train { model = cem, clip = clip, epochs = 10, out = "runs/cem" }
--   lv.codec.write("clip.lnv", cem, { clip = clip })
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local List <const> = require "lunerv.nn.list"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local quant <const> = require "lunerv.quant"
local slots <const> = require "lunerv.compress.slots"

local CEM <const> = class "CEM"

-- How lv.train treats it unless told otherwise.
CEM.train_defaults = { epochs = 100, lr = 5e-4, warmup = 0, optimiser = "adam", beta1 = 0.9 }

-- What a bit costs, by the kind of model.
local lambdas <const> = { hnerv = 0.05, hnerv_boost = 0.05 }

-- Options: `bits` of the quantisers' first range; `target_bpp`, below which bits cost nothing (4
-- bits for every stored parameter); `lambda`, what a bit per pixel costs; `channel`: a step for
-- each row of a weight rather than one for all of it; `steerable`: see `steer`.
function CEM:init(model, given)
  local o = options(given, { bits = 8, channel = false, steerable = false },
    { "target_bpp", "lambda" })
  local c = model.config
  if not c or not c.height then
    errors.raise "cem: a model of lv.models expected, which knows its clip"
  end
  self.kind = model.kind
  self.model = model
  self.quantisers = List {}
  self.slots = slots.of(model)
  for _, slot in ipairs(self.slots) do
    self.quantisers:append(quant.Scale(slot.tensor, { bits = o.bits, channel = o.channel }))
  end
  if model.encode then self.embedding = quant.ScaleOffset { bits = o.bits } end

  local pixels = c.frames * c.height * c.width
  self.pixels, self.frames = pixels, c.frames
  self.target_bpp = o.target_bpp or 4 * model:stored_parameters() / pixels
  self.lambda = o.lambda or lambdas[model.kind] or 0.2
  self.config = { cem = true, bits = o.bits, channel = o.channel,
    target_bpp = self.target_bpp, lambda = self.lambda }
  for name, value in pairs(c) do self.config[name] = value end
  -- What the price and the target are multiplied by; checkpoints keep it.
  if o.steerable then self.control = native.tensor { 1, 1 } end
  self.trace = {} -- what the last frame's codes were, and what they cost
end

function CEM:stored_parameters() return self.model:stored_parameters() end

function CEM:quantised()
  local list = {}
  for i, slot in ipairs(self.slots) do list[i] = self.quantisers[i](slot.tensor) end
  return list
end

-- `frame` is { image, t, index }.
function CEM:reconstruct(frame)
  local model = self.model
  local _ <close> = slots.swap(self.slots, self:quantised())
  if not self.embedding then return metrics.reconstruct(model, frame) end
  local embedding = model:encode(frame.image)
  self.trace.codes = self.embedding:codes(embedding)
  return model:decode(self.embedding(embedding), frame.t)
end

CEM.forward = CEM.reconstruct

local function rate(codes, rounded)
  return codes:gaussian_bits(not rounded and quant.noise(codes) or nil)
end

-- The bits of all parameters; `rounded`: of the codes as they will be stored.
function CEM:weight_bits(rounded)
  local total
  for i, slot in ipairs(self.slots) do
    local bits = rate(self.quantisers[i]:codes(slot.tensor), rounded)
    total = total and total + bits or bits
  end
  return total
end

-- What lv.train adds to the loss of the frame just reconstructed: λ bits per pixel of a frame,
-- while the whole clip takes more than the target. All frames are taken to cost what this one
-- does.
function CEM:penalty()
  local bits = self:weight_bits()
  local codes = self.trace.codes
  if codes then bits = bits + rate(codes) * self.frames end
  self.trace.codes = nil
  self.trace.bpp = bits:item() / self.pixels
  if self.trace.bpp <= self:aimed_bpp() then return nil end
  local price = self.lambda * (self.control and self.control:tolist()[1] or 1)
  return bits * (price * self.frames / self.pixels)
end

-- The target as the last `aim` left it.
function CEM:aimed_bpp()
  return self.target_bpp * (self.control and self.control:tolist()[2] or 1)
end

local function multiply(control, index, factor, least, most)
  local values = control:tolist()
  values[index] = math.min(math.max(values[index] * factor, least), most)
  control:copy_(native.tensor(values))
end

-- What lv.train calls with each update: of a steerable one that has been given a `pace`, bits cost
-- more while there are more of them than there may be.
function CEM:updated()
  if self.pace then self:steer(self.trace.bpp > self:aimed_bpp(), self.pace) end
end

-- Of a steerable one: bits cost `pace` times as much from now on if `dearer`, else as much less.
function CEM:steer(dearer, pace)
  multiply(self.control, 1, dearer and pace or 1 / pace, 1 / 16, 256)
end

-- Of a steerable one: the rate that is aimed at becomes `factor` times as large, since files do not
-- take what steps estimate.
function CEM:aim(factor) multiply(self.control, 2, factor, 0.25, 4) end

-- Bits per pixel as the last step estimated them.
function CEM:estimated_bpp() return self.trace.bpp end

-- What lv.codec.write stores: the parameters with their steps, and every frame's embedding with
-- theirs.
function CEM:stored(clip)
  local weights, steps = {}, {}
  for i, slot in ipairs(self.slots) do
    weights[i], steps[i] = slot.tensor:detach(), self.quantisers[i].step:detach()
  end
  local stored = { model = self.model, weights = weights, steps = steps }
  if self.embedding then
    stored.embeddings = {}
    native.no_grad(function()
      for index = 1, #clip do
        local y = self.model:encode(clip:frame(index))
        self.embedding:codes(y) -- it must have seen one frame
        stored.embeddings[index] = y:evaluate()
      end
    end)
    stored.embedding_step = math.abs(self.embedding.step:item())
    stored.embedding_offset = self.embedding.offset:item()
  end
  return stored
end

return CEM
