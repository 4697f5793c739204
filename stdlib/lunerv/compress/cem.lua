-- lv.compress.cem: consistent entropy minimisation.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local kinds <const> = require "lunerv.models.kinds"
local LastCodes <const> = require "lunerv.compress.last_codes"
local Latents <const> = require "lunerv.compress.latents"
local List <const> = require "lunerv.nn.list"
local metrics <const> = require "lunerv.metrics"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"
local price <const> = require "lunerv.compress.price"
local quant <const> = require "lunerv.quant"
local rounding <const> = require "lunerv.compress.rounding"
local sensitivity <const> = require "lunerv.compress.sensitivity"
local slots <const> = require "lunerv.compress.slots"
local subject <const> = require "lunerv.compress.subject"
local with_parameters <const> = require "lunerv.nn.with_parameters"

--- A model that computes with quantised parameters and embeddings, and whose loss includes their
--- bits: consistent entropy minimisation (arXiv 2402.18152, section 3.3).
---
--- lv.train trains it, lv.codec.write writes its file. The normal distributions that price the
--- codes in training also code them in the file. A custom `quantiser` or `penalty` changes the
--- optimum of training; the file has the same format, and decodes everywhere.
---
---     local cem = lv.compress.cem(run.model, { target_bpp = 0.1 })
---     lv.train { model = cem, clip = clip, epochs = 10, out = "runs/cem" }
---     lv.codec.write("clip.lnv", cem, { clip = clip })
---
---@param model lunerv.Module  the model to compress
---@param options? lunerv.compress.cem.Options
local CEM <const> = class "CEM"

-- lv.train passes it one frame after another: it stores the codes of the last one.
CEM.takes_batches, CEM.learns_in_order = false, true

-- The defaults of lv.train for it.
CEM.train_defaults = { epochs = 100, lr = 5e-4, warmup = 0, optimiser = "adam", beta1 = 0.9 }

-- The price of a bit relative to a loss. The published prices, by kind of model, belong to losses
-- that are many times those of pixels alone; with the latter they would outweigh every distortion.
-- HNeRV of 578,220 parameters, 132 frames of 320×180, 26.6 dB: after three passes 21.2 dB in
-- 146,732 bytes at 0.05, 26.4 dB in 131,600 at this (plan `boost` of ablate).
local by_loss <const> = { l2 = 5e-5, l1 = 8e-4 }

--- The default price of a bit per pixel: for a kind of model that is trained with the loss of that
--- name, or else the kind's own.
---
---@param kind? string  as of lv.models
---@param loss? string
---@return number
function CEM.price(kind, loss)
  local own = kinds.by_name[kind]
  return by_loss[loss or options.default("loss", kind)] or own and own.lambda or 0.2
end

-- Whether `families` (nil: all) includes `name`.
local function allows(families, name)
  for _, family in ipairs(families or { name }) do
    if family == name then return true end
  end
  return false
end

local known_families <const> = { adaptive = true, context = true, gaussian = true, laplace = true }

local takes <const> = options.takes("compress.cem", {
  { "bits", 8, "initial bit width of the quantisers" },
  { "target_bpp", nil, "bits per pixel that are free (4 per parameter)",
    type = "number" },
  { "lambda", nil, "weight of the bits per pixel in the loss (the kind's own)", type = "number" },
  { "clip", nil, "the clip, for a model that is not from lv.models", type = "clip" },
  { "quantiser", nil, "fun(weight, options): a custom quantiser of a parameter instead of "
    .. "lv.quant.Scale: a module that rounds, with `codes(x)` and `step` or `steps()`",
    type = "function" },
  { "penalty", nil, "fun(codes, name): the estimated bits of codes, a tensor of one number, "
    .. "instead of those under a normal distribution", type = "function" },
  { "channel", false, "a step size for each row of a weight instead of one for all rows" },
  { "seeded", true, "code weights as differences from their random initial values, if `families` "
    .. "has \"context\"" },
  { "families", nil, "probability models of the symbols: gaussian, laplace, adaptive, context "
    .. "(all)", type = "table" },
  { "predict", true, "code embeddings as differences from the previous frame" },
  { "rdo", 0, "strength of rate-aware rounding of the weights" },
  { "rate_every", 1, "price the weights' bits in every n-th step only, at n times the price" },
  { "latents_after", 1, "share of the training after which embeddings are trained directly, "
    .. "without the encoder" },
  { "steerable", false, "whether the price and the target can change during training" },
})

-- The quantiser of a parameter. A custom one is a module: calling it returns the rounded values,
-- `codes(x)` returns x in steps, not rounded, and `step` or `steps()` the step size, or one per
-- row.
local function quantiser_of(slot, o)
  if not o.quantiser then
    return quant.Scale(slot.tensor, { bits = o.bits, channel = o.channel })
  end
  local q = o.quantiser(slot.tensor, { bits = o.bits, channel = o.channel, name = slot.name })
  if type(q) ~= "table" or not q.class_name or not q.codes or not (q.steps or q.step) then
    errors.raise("compress.cem: quantiser: expected a module with `codes`, and `step` or `steps`, "
      .. "got %s", errors.type_of(q))
  end
  return q
end

local function steps_of(q) return q.steps and q:steps() or q.step end

function CEM:init(model, given)
  local o = takes(given)
  local c = subject.config(model, o.clip, "compress.cem")
  for _, family in ipairs(o.families or {}) do
    if not known_families[family] then
      errors.raise("compress.cem: families: unknown family %s (known: adaptive, context, gaussian, "
        .. "laplace)", errors.show(family))
    end
  end
  self.kind = model.kind
  self.model = model
  self.own_quantiser, self.own_penalty = o.quantiser, o.penalty
  self.quantisers = List {}
  local seeded = o.seeded and allows(o.families, "context")
  self.slots, self.starts = slots.of(model), {}
  for i, slot in ipairs(self.slots) do
    local origin = seeded and parameter.origin(slot.tensor)
    if origin then
      self.starts[i] = { origin = origin, values = parameter.start(origin, slot.tensor) }
    end
    self.quantisers:append(quantiser_of(slot, o))
  end
  if subject.has_embeddings(model) then self.embedding = quant.ScaleOffset { bits = o.bits } end
  -- The published method prices every embedding independently.
  self.by_changes = self.embedding ~= nil and model.grid ~= nil and o.predict
    and allows(o.families, "context")
  if self.by_changes then
    self.seen = LastCodes(c.frames, { 1, c.enc_dim[2], model.grid[1], model.grid[2] })
  end

  if o.latents_after < 1 and self.embedding and model.grid then
    self.latents = Latents(c.frames, { 1, c.enc_dim[2], model.grid[1], model.grid[2] })
    self.latents_after = o.latents_after
  end

  local pixels = c.frames * c.height * c.width
  self.predict, self.rdo, self.families = o.predict, o.rdo, o.families
  self.pixels, self.frames = pixels, c.frames
  self.target_bpp = o.target_bpp or 4 * self:stored_parameters() / pixels
  self.lambda = o.lambda or CEM.price(model.kind)
  self.config = { cem = true, bits = o.bits, channel = o.channel, seeded = seeded,
    by_changes = self.by_changes or nil,
    target_bpp = self.target_bpp, lambda = self.lambda }
  for name, value in pairs(c) do self.config[name] = value end
  self.config.quantiser = o.quantiser and "custom" or nil
  self.config.penalty = o.penalty and "custom" or nil
  self.rate_every = o.rate_every
  if o.rate_every > 1 then self.config.rate_every = o.rate_every end
  if self.latents then self.config.latents_after = o.latents_after end
  -- The number of steps, the last value of the weights' bits, and the finished share of the
  -- training; stored in checkpoints.
  if o.rate_every > 1 or o.steerable or self.latents then
    self.turn = native.tensor { 0, 0, 0 }
  end
  if o.steerable then
    -- The factors of the price and of the target; stored in checkpoints.
    self.control = native.tensor { 1, 1 }
    -- The last cost of each frame's embedding; stored in checkpoints.
    if self.embedding then self.costs = native.zeros(c.frames) end
  end
  self.trace = {} -- the last frame's codes and their cost
end

--- The number of parameters in its file.
---
---@return integer
function CEM:stored_parameters() return subject.stored_parameters(self.model) end

--- The quantised parameters, in the order of the file.
---
---@return lunerv.Tensor[]
function CEM:quantised()
  local list = {}
  for i, slot in ipairs(self.slots) do list[i] = self.quantisers[i](slot.tensor) end
  return list
end

--- The embedding of `frame`, { image, index }: the encoder's output or, later in training, a
--- trained parameter.
---
---@param frame table
---@return lunerv.Tensor
function CEM:embed(frame)
  local latents, index = self.latents, frame.index
  local known = latents and index and latents:at(index)
  if known then return known end
  local y = self.model:encode(frame.image)
  local is_time = latents and index and native.is_grad_enabled()
    and self.turn:tolist()[3] >= self.latents_after
  if not is_time then return y end
  latents:put(index, y:detach())
  return latents:at(index)
end

-- The model's output for a frame, with the present parameters.
local function reconstruct(self, frame)
  if not self.embedding then return metrics.reconstruct(self.model, frame) end
  local embedding = self:embed(frame)
  self.trace.codes = self.embedding:codes(embedding)
  return self.model:decode(self.embedding(embedding), frame.t)
end

--- The reconstruction of a frame with quantised parameters and its quantised embedding.
---
---@param frame table  { image, t, index }
---@return lunerv.Tensor
function CEM:reconstruct(frame)
  if type(frame.index) == "table" then
    errors.raise("cem: expected one frame at a time, got a batch of %d",
      #frame.index)
  end
  local quantised = slots.by_name(self.slots, self:quantised())
  return with_parameters(self.model, quantised, reconstruct, self, frame)
end

CEM.forward = CEM.reconstruct

-- The bits of codes, rounded or not: under a file's normal distribution, or by the option
-- `penalty`; `name` is the parameter's, or "embedding".
local function rate(self, codes, name)
  if not self.own_penalty then return codes:gaussian_bits(quant.noise(codes)) end
  local bits = self.own_penalty(codes, name)
  if not native.is_tensor(bits) or bits:numel() ~= 1 then
    errors.raise("compress.cem: penalty: expected a tensor of one number, got %s",
      native.is_tensor(bits) and ("a tensor (%s)"):format(table.concat(bits.shape, ", "))
      or errors.show(bits))
  end
  return bits:view(1):sum()
end

--- The part of a weight that its file stores: the difference from its initial random numbers,
--- scaled by the share that minimises the residual. That share needs no gradient: at the minimum,
--- the derivative of the bits by it is 0.
---
---@param i integer
---@return lunerv.Tensor
function CEM:residual(i)
  local weight, start = self.slots[i].tensor, self.starts[i]
  if not start then return weight end
  local share = native.no_grad(function()
    start.square = start.square or (start.values * start.values):sum():evaluate()
    return ((weight * start.values):sum() / start.square):evaluate()
  end)
  return weight - start.values * share
end

--- The old name of `residual`.
---
---@param i integer
---@return lunerv.Tensor
function CEM:untold(i)
  errors.renamed("untold", "residual")
  return self:residual(i)
end

--- The bits of all parameters, a tensor of one number.
---
---@return lunerv.Tensor
function CEM:weight_bits()
  local total
  for i in ipairs(self.slots) do
    local bits = rate(self, self.quantisers[i]:codes(self:residual(i)), self.slots[i].name)
    total = total and total + bits or bits
  end
  return total
end

--- The bits of frame `index`'s embedding (nil: coded independently). A file stores its difference
--- from the previous frame, and the next frame's difference from it: the result is half of both,
--- once those frames have been seen.
---
---@param codes lunerv.Tensor
---@param index? integer
---@return lunerv.Tensor
function CEM:embedding_bits(codes, index)
  self.trace.index = index
  if not self.by_changes or not index then return rate(self, codes, "embedding") end
  local total, count
  for _, other in ipairs { index - 1, index + 1 } do
    local known = self.seen:at(other)
    if known then
      local bits = rate(self, codes - known, "embedding")
      total, count = total and total + bits or bits, (count or 0) + 1
    end
  end
  return total and total * (1 / count) or rate(self, codes, "embedding")
end

-- The mean of the known costs, which are above 0.
local function mean(costs)
  local sum, count = 0, 0
  for _, cost in ipairs(costs) do
    if cost > 0 then sum, count = sum + cost, count + 1 end
  end
  return sum / math.max(count, 1)
end

--- An estimate of the bits of all embeddings, if this frame's takes `bits`: as many for every frame
--- or, with `steerable`, the mean of the latest bits of the frames seen so far.
---
---@param bits number
---@param index? integer
---@return number
function CEM:all_embeddings(bits, index)
  if not self.costs or not index then return bits * self.frames end
  local costs = self.costs:tolist()
  costs[index] = bits
  self.trace.costs = costs
  return mean(costs) * self.frames
end

--- The term that lv.train adds to the loss of the last frame: λ bits per pixel of a frame, while
--- the whole clip exceeds the target.
---
---@param frame? table
---@return lunerv.Tensor?
function CEM:penalty(frame)
  local trace, codes, bits, total = self.trace, self.trace.codes, nil, 0
  local turn = self.turn and self.turn:tolist() or { 0 }
  if turn[1] % self.rate_every == 0 then
    bits = self:weight_bits()
    turn[2] = bits:item()
    bits = bits * self.rate_every
  end
  trace.weights = turn[2]
  if codes then
    local index = frame and frame.index
    local embedding = self:embedding_bits(codes, index)
    total = self:all_embeddings(embedding:item(), index)
    embedding = embedding * self.frames
    bits = bits and bits + embedding or embedding
  end
  trace.seen, trace.codes = codes, nil
  trace.bpp = (trace.weights + total) / self.pixels
  -- A controlled price always applies: above the target alone, it would have to be twice as high.
  if not bits or not self.is_controlled and trace.bpp <= self:aimed_bpp() then return nil end
  return bits * (self:current_price() * self.frames / self.pixels)
end

--- The target that `aim` set last.
---
---@return number
function CEM:aimed_bpp()
  return self.target_bpp * (self.control and self.control:tolist()[2] or 1)
end

--- The weight of the bits per pixel in the loss, as `steer` set it last.
---
---@return number
function CEM:current_price()
  return self.lambda * (self.control and self.control:tolist()[1] or 1)
end

--- For a steerable model: multiplies the price of bits by `factor` from now on.
---
---@param factor number
function CEM:steer(factor)
  local values = self.control:tolist()
  values[1] = math.min(math.max(values[1] * factor, 2 ^ -12), 256)
  self.control:copy_(native.tensor(values))
end

--- What lv.train adds to its events: the estimated bits per pixel, and their price.
---
---@return table<string, number>
function CEM:scalars() return { bpp = self.trace.bpp, price = self:current_price() } end

--- Which parameters lv.train's `ema` averages: not embeddings, which are set while it trains.
---
---@param name string
---@return boolean
function CEM:is_averaged(name) return not name:match "^latents%." end

--- Called by lv.train with each update: records the frame's codes. In a steerable model that
--- `is_controlled`, it also adjusts the price: up while there are more bits than a constant price
--- that meets the target would give at this step, down while there are fewer. If a clock ends the
--- training, the field `progress` is a function (step, steps) that returns the completed share of
--- the training, and the share that this step adds.
---
---@param step integer
---@param steps integer
function CEM:updated(step, steps)
  local trace, share, advance = self.trace, step / steps, 1 / steps
  if self.progress then share, advance = self.progress(step, steps) end
  if self.turn then
    self.turn:copy_(native.tensor { self.turn:tolist()[1] + 1, trace.weights, share })
  end
  if self.by_changes and trace.seen and trace.index then self.seen:put(trace.index, trace.seen) end
  trace.seen = nil
  if trace.costs then self.costs:copy_(native.tensor(trace.costs)) end
  trace.costs = nil
  if not self.is_controlled then return end
  local all = step / share
  local encoder = self.latents and { ends = self.latents_after, frames = self.frames }
  local ratio = trace.bpp / (self:aimed_bpp() * price.course(step, all, encoder))
  self:steer(math.exp(price.change(ratio, step, all) * all * advance))
end

--- For a steerable model: sets the target of later steps to `bpp`, as they estimate it.
---
---@param bpp number
function CEM:aim(bpp)
  local values = self.control:tolist()
  values[2] = bpp / self.target_bpp
  self.control:copy_(native.tensor(values))
end

--- Bits per pixel as the last step estimated them; nil before the first. A steerable model stores
--- them across a resume.
---
---@return number?
function CEM:estimated_bpp()
  if not self.control then return self.trace.bpp end
  local embeddings = self.costs and mean(self.costs:tolist()) * self.frames or 0
  return (self.turn:tolist()[2] + embeddings) / self.pixels
end

--- The effect of errors in the quantised parameters, given the embeddings that will be stored;
--- measured on `self.probes` frames if set.
---
---@param clip lunerv.Clip
---@param embeddings? lunerv.Tensor[]
---@return lunerv.Tensor[]
function CEM:sensitivities(clip, embeddings)
  local quantised = {}
  for i, slot in ipairs(self.slots) do
    quantised[i] = self.quantisers[i](slot.tensor):detach():evaluate()
    quantised[i].requires_grad = true
  end
  local function decode(index)
    if not embeddings then return metrics.reconstruct(self.model, clip:sample(index)) end
    return self.model:decode(self.embedding(embeddings[index]):detach(), index / #clip)
  end
  return with_parameters(self.model, slots.by_name(self.slots, quantised), sensitivity, quantised,
    clip, decode, self.probes)
end

--- The description that lv.codec.write stores: the parameters and the embeddings of all frames with
--- their step sizes, and how to round them.
---
---@param clip lunerv.Clip
---@return table
function CEM:stored(clip)
  local weights, steps, origins = {}, {}, {}
  for i, slot in ipairs(self.slots) do
    local q, values = self.quantisers[i], slot.tensor:detach()
    -- A custom quantiser may round in its own way: its output is on its grid.
    if self.own_quantiser then values = q(values):detach() end
    weights[i], steps[i] = rounding.on_stored_grid(values, steps_of(q):detach())
    local state = self.starts[i] and self.starts[i].origin.state
    origins[i] = state and { state.seed, state.counter } or {}
  end
  local stored = { model = self.model, weights = weights, steps = steps, origins = origins,
    families = self.families, predict = self.predict }
  if self.embedding then
    stored.embeddings = {}
    native.no_grad(function()
      for index = 1, #clip do
        local y = self:embed { image = clip:frame(index), index = index }
        self.embedding:codes(y) -- it must have seen one frame
        local offset = self.embedding.offset
        local held, step = rounding.on_stored_grid(y - offset, self.embedding.step)
        stored.embeddings[index], stored.embedding_step = (held + offset):evaluate(), step:item()
      end
    end)
    stored.embedding_offset = self.embedding.offset:item()
  end
  stored.rdo = self.rdo
  stored.rounding = rounding.by_rate(
    function() return self:sensitivities(clip, stored.embeddings) end, origins)
  return stored
end

return CEM
