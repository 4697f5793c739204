-- coolchic_encoder.lua: fits coolchic.lua to a clip. Each step trains one frame's latents, at first
-- with soft rounding and noise, later rounded (C3, section 3.2), and both networks. Latents are
-- priced by their bits in the file, and the price follows the byte budget.
local lv <const> = require "lunerv"
local CoolChic <const> = require "coolchic"
local bits_of <const> = require "coolchic_rate"
local context <const> = require "coolchic_context"
local nn <const> = lv.nn

local parts <const> = { "hidden", "hidden_bias", "out", "skip", "out_bias" }

-- Weights of the context network are in units of 1/16, those of the other in units of 1/64.
local function unit_of(name) return name:match "^context" and context.unit or 1 / 64 end

local function rounded(x, unit) return ((x / unit):round() * unit):straight_through(x) end

-- Initial latents, maps (h, w): for luma the difference of each grid from the next coarser one, and
-- chroma. A symbol is a twelfth of the range.
local function first_latents(image)
  local r, g, b = image:slice(2, 1, 1), image:slice(2, 2, 2), image:slice(2, 3, 3)
  local luma, maps = r * 0.3 + g * 0.59 + b * 0.11 - 0.5, nn.List {}
  local chroma, found = { [5] = b - 0.5 - luma, [6] = r - 0.5 - luma }, {}
  local function resized(map, h, w)
    return map:interpolate { size = { h, w }, mode = "bilinear", antialias = true }
  end
  for _, k in ipairs { 4, 3, 2, 1, 5, 6 } do
    local cell = context.grids[k].cell
    local h, w = (image:size(3) + cell - 1) // cell, (image:size(4) + cell - 1) // cell
    local map = resized(chroma[k] or luma, h, w)
    found[k] = (map * 12):view(h, w)
    if not chroma[k] then luma = luma - resized(map, image:size(3), image:size(4)) end
  end
  for k, map in ipairs(found) do maps["map" .. k] = nn.parameter(map:detach():clone()) end
  return maps
end

local Trainer <const> = nn.class "CoolChicTrainer"
Trainer.takes_batches = false

function Trainer:init(clip, bytes)
  self.decoder = CoolChic(clip.height, clip.width, #clip)
  self.frames = nn.List {}
  for i = 1, #clip do self.frames:append(first_latents(clip:frame(i))) end
  self.clip, self.bytes, self.pixels = clip, bytes, clip.height * clip.width
  self.share, self.price, self.base, self.bits = 0, 0.05, 0.05, {}
end

function Trainer:latents(i)
  local list = {}
  for k in ipairs(context.grids) do list[k] = self.frames[i]["map" .. k] end
  return list
end

-- The networks' weights as the file stores them, by name.
function Trainer:quantised()
  local list = {}
  for name, parameter in self.decoder:named_parameters() do
    if not name:match "^grid" then list[name] = rounded(parameter, unit_of(name)) end
  end
  return list
end

-- The latents as training uses them.
function Trainer:rounded(latents)
  local soft, list = 1 - self.share / 0.5, {}
  for k, y in ipairs(latents) do
    if soft <= 0 or not lv.is_grad_enabled() then
      list[k] = rounded(y, 1)
    else
      local temperature = 0.3 + 0.7 * soft
      local noise = lv.quant.noise(y)
      list[k] = lv.quant.soft_round(lv.quant.soft_round(y, temperature) + noise, temperature)
    end
  end
  return list
end

function Trainer:reconstruct(frame)
  local latents, weights = self:rounded(self:latents(frame.index)), self:quantised()
  self.seen = { latents, weights }
  return nn.with_parameters(self.decoder, weights, self.decoder.synthesise, self.decoder, latents)
end

-- The bits of the frame's latents, added to the squared error.
function Trainer:penalty(frame)
  local latents, weights = table.unpack(self.seen)
  local net, total, i = {}, 0, frame.index
  for _, part in ipairs(parts) do net[part] = weights["context." .. part] end
  local earlier = (i - 1) % self.decoder.length > 0 and self:latents(i - 1)
  for k, grid in ipairs(context.grids) do
    local before = earlier and earlier[k]:detach():round() or lv.zeros_like(latents[k])
    total = bits_of(net, k, latents[k], before, latents[grid.coarser]) + total
  end
  self.bits[i] = total:item()
  return total * (self.price / self.pixels)
end

-- After a step: the price follows the size of the file, estimated from what each frame took when it
-- was last trained. It responds to the square of the excess at once, but its base moves slowly,
-- since latents take passes to adapt.
function Trainer:updated()
  local sum, count = 0, 0
  for _, bits in pairs(self.bits) do sum, count = sum + bits, count + 1 end
  local ratio = math.min(math.max(sum / count * #self.clip / 8 / self.bytes, 0.3), 3)
  self.base = self.base * ratio ^ 0.0003
  self.price = self.base * ratio ^ 2
end

-- Called by lv.codec.write.
function Trainer:stored()
  local weights, steps, quantised = {}, {}, self:quantised()
  for name, parameter in self.decoder:named_parameters() do
    local k = name:match "^grid(%d)"
    steps[#steps + 1] = lv.tensor { k and 1 or unit_of(name) }
    if k then
      local length, h, groups, w = table.unpack(parameter.shape)
      local maps = {}
      for i = 1, length * groups do
        maps[i] = i <= #self.clip and self.frames[i]["map" .. k]:detach():round() or lv.zeros(h, w)
      end
      weights[#weights + 1] = lv.stack(maps, 1):view(groups, length, h, w):permute(2, 3, 1, 4)
    else
      weights[#weights + 1] = quantised[name]:detach()
    end
  end
  return { model = self.decoder, weights = weights, steps = steps }
end

local function optimiser(model)
  local groups = { { params = {}, optimiser = "adam", lr = 0.01 },
    { params = {}, optimiser = "adam", lr = 0.2, beta2 = 0.95 } }
  for name, parameter in model:named_parameters() do
    local group = name:match "^frames" and 2 or not name:match "grid" and 1
    if group then table.insert(groups[group].params, parameter) end
  end
  return lv.optim.Adam(groups)
end

return function(clip, o)
  local trainer = Trainer(clip, o.bytes - 6000)
  local training = o.clocked(trainer, o.deadline - 12, { optimiser = optimiser, loss = "l2",
    guard = false })
  local progress = training.progress
  function training.progress(...)
    local done, steps = progress(...), select(2, ...)
    trainer.share = done / steps
    return done
  end
  return trainer, lv.train(training)
end
