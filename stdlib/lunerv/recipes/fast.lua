-- The recipe `fast`: high quality after minutes of training. It uses Muon for every matrix, also
-- those of the head and the encoder; a learning rate that falls linearly; and a price of bits from
-- early on, in one long stage, instead of a later reduction. The experiments for its numbers are in
-- stdlib/docs/experiments.md. To change them, copy this file: --recipe ./mine.lua.
local geometry <const> = require "lunerv.models.geometry"
local kinds <const> = require "lunerv.models.kinds"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"
local settings <const> = require "lunerv.models.settings"

-- Whether a parameter belongs to the time embedding or to a TAT, by its name in the built-in kinds
-- (model:named_parameters()). The size of Muon's updates does
-- not depend on that of the gradient. In these small matrices they add up over thousands of steps,
-- until the affine transform is so sensitive to the time that single frames fail.
local function is_conditioning(name)
  return name:match "%f[%w]time%.%d+%." or name:match "%.tat%d+%."
end

-- While bits are priced, the step sizes of quantisers are trained too. They are a few thousandths:
-- at the learning rate that suits biases, one update would change them by as much.
local function with_quantisers(model, o)
  local matrices, conditions, steps, maps, paths, others = {}, {}, {}, {}, {}, {}
  for name, parameter in model:named_parameters() do
    local list = others
    if name:match "^quantisers%." or name:match "^embedding%." then
      list = steps
    elseif name:match "^latents%." or name:match "%.static$" then
      list = maps
    elseif name:match "%.path$" then
      list = paths
    elseif optim.is_matrix(parameter) then
      list = is_conditioning(name) and conditions or matrices
    end
    list[#list + 1] = parameter
  end
  return optim.Muon {
    { params = matrices, optimiser = "muon", lr = o.lr, momentum = 0.97 },
    { params = conditions, optimiser = "muon", lr = 0.3 * o.lr, momentum = 0.97,
      weight_decay = 0.3 },
    { params = others, optimiser = "adan", lr = 0.2 * o.lr },
    { params = maps, optimiser = "adam", lr = 0.5 * o.lr },
    { params = paths, optimiser = "adam", lr = 0.1 * o.lr },
    { params = steps, optimiser = "adam", lr = 0.025 * o.lr },
  }
end

-- A straight line to 0. In a long training, a high rate gains nothing, and the loss may diverge.
local most_steps <const> = 4500
local function falling(step, steps, lr)
  return lr * math.min(1, (most_steps / steps) ^ (1 / 3)) * (1 - (step - 1) / steps)
end

local function options(kind, command)
  local o = {
    optimiser = "muon", lr = 0.01, warmup = 0.02, schedule = "warmup_linear", guard = true,
    order = "spread",
    epochs = 30, compress_epochs = 30, compress_lr = 0.012, compress_schedule = falling,
    compress_optimiser = with_quantisers, rate_every = 4, latents_after = 0.6,
  }
  -- The network of a file trains in its compressed form almost from the start. These are the passes
  -- of `lunerv compress` and rd_curve.lua without --minutes.
  if command == "compress_file" or command == "rd_curve" then
    o.epochs, o.compress_epochs = 3, 57
  end
  -- The price of a bit relative to the boosted loss; other losses are smaller (compress/cem.lua).
  if kinds.by_name[kind] and kinds.by_name[kind].boosted then o.lambda = 0.5 end
  return o
end

-- Sizes the network to the stored parameter count that it has without the recipe's changes.
local function keep_parameters(given, clip)
  if given.params then return end
  given.params = settings.build(given, clip, { head_scale = 1 }):stored_parameters()
  given.size = nil
end

-- Where embeddings identify the frames, a narrow time encoding is enough, and trains more steadily
-- (compress/plan.lua). A trunk that stops at half of the resolution has as many blocks on its
-- finest map as a full one, and is narrower for it: the same parameter count learns more.
local function model(given, clip)
  if given.fc_dim then return end
  local kind = kinds.by_name[given.kind]
  if kind and kind.embeds and settings.is_usual(given, "ch_t")
    and settings.is_usual(given, "pe_levels") then
    keep_parameters(given, clip)
    given.ch_t, given.pe_levels = 8, 20
  end
  if given.head_scale == 2 and settings.is_usual(given, "dec_blks") then
    given.strides = given.strides or geometry.strides(clip.height, clip.width, 2)
    keep_parameters(given, clip)
    given.dec_blks = geometry.blocks_of_trunk(given, given.dec_blks)
  end
  local front = settings.front_option(given)
  if front then
    local state = native.rng_state() -- models built for trials must not change later random numbers
    keep_parameters(given, clip)
    given[front] = settings.front_width(given, clip, front)
    native.set_rng_state(state)
  end
end

return { about = "Muon, linear schedules, bits priced from early on", options = options,
  model = model }
