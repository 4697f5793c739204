-- What the options of a command line mean for a compression: options of the model, of training and
-- of the method, the allowed bytes, and the facts that a resumed run must share.
local catalogue <const> = require "lunerv.options.catalogue"
local cem <const> = require "lunerv.compress.cem"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local recipes <const> = require "lunerv.recipes"
local three_step <const> = require "lunerv.compress.three_step"

local request <const> = {}

local function values_of(o, names)
  local values = {}
  for _, name in ipairs(names) do values[name] = o[name] end
  return values
end

--- The options of a command line that belong to its kind of model. If a clip is given, the recipe
--- may change them for it.
---
---@param o table  a result of lv.options.parse
---@param clip? lunerv.Clip
---@return table
function request.model_options(o, clip)
  local settings = values_of(o, options.model_names(o.model))
  if clip then recipes.change(o.recipe, settings, o.model, clip, o.chosen) end
  return settings
end

-- Cells per row and column of the description of a frame.
local cells <const> = 4

-- Describes the first frame of a clip, so that a run is not resumed with another clip: the mean
-- level of each cell, from 0 to 255. nil for a clip of the user's own.
local function first_frame(clip)
  local class = getmetatable(clip)
  if not (class and class.__name == "clip") then return nil end
  return native.no_grad(function()
    local image
    if clip.handle or not clip.part then
      image = clip:frame(1)
    else
      -- Of a clip that is not in memory, only this frame is read.
      local part <close> = clip:part(1, 1)
      image = part:frame(1)
    end
    local height, width, levels = image:size(3), image:size(4), {}
    for row = 0, cells - 1 do
      local top = row * height // cells
      local band = image:slice(3, top + 1, math.max(top + 1, (row + 1) * height // cells))
      for column = 0, cells - 1 do
        local left = column * width // cells
        local cell = band:slice(4, left + 1, math.max(left + 1, (column + 1) * width // cells))
        levels[#levels + 1] = math.floor(255 * cell:mean():item() + 0.5)
      end
    end
    return levels
  end)
end

--- The options of a command line that belong to lv.train. If the clip is given, the training cannot
--- be resumed with another one.
---
---@param o table  a result of lv.options.parse
---@param clip? lunerv.Clip
---@return table
function request.train_options(o, clip)
  local training = values_of(o, options.train_names())
  training.command = o.command
  -- Which part of a clip a run has learned.
  training.facts = { frames_asked = options.plain(o.frames), crop = options.plain(o.crop),
    deinterlace = o.deinterlace or nil, first_frame = clip and first_frame(clip) }
  return training
end

-- Fields of a command line's result that are not options.
local extras <const> = {
  clip = true, label = true, start = true, command = true, chosen = true,
}

-- Raises if `o` holds anything else.
function request.check(o)
  if type(o) ~= "table" then
    errors.raise("compress.file: expected a table of options, got %s", errors.type_of(o))
  end
  for name in pairs(o) do
    if not catalogue.by_name[name] and not extras[name] then
      errors.raise("compress.file: unknown option '%s'", tostring(name))
    end
  end
end

-- Options that say how a run is done, and do not affect the result.
local without_effect <const> = { "out", "output", "resume", "json", "threads", "cache", "minutes",
  "eval_every", "checkpoint_every", "checkpoint_steps", "share", "deadline" }

-- The facts that a run shares with the one it continues: all options of the command line that
-- affect the result, and the clip's size.
function request.facts(o, clip)
  local facts = { clip_frames = #clip, clip_height = clip.height, clip_width = clip.width,
    first_frame = first_frame(clip) }
  for _, option in ipairs(options.catalogue) do
    facts[option.name] = options.plain(o[option.name])
  end
  for _, name in ipairs(without_effect) do facts[name] = nil end
  facts.deinterlace = o.deinterlace or nil -- as in older runs, which lack the option
  -- Older runs lack it too; what they do is in their stored plan.
  if o.follow_camera then facts.follow_camera = nil end
  facts.recipe = recipes.identity(o.recipe)
  return facts
end

-- The bytes that o.bpp and o.bytes allow for a file of `clip`; nil if unlimited.
function request.bytes(o, clip)
  local bytes = o.bpp and math.floor(o.bpp * #clip * clip.height * clip.width / 8)
  if o.bytes then bytes = math.min(o.bytes, bytes or o.bytes) end
  return bytes or nil
end

-- Options that have an effect only under a condition: { names, condition, what is expected }.
local conditional <const> = {
  { { "channel", "families", "rdo", "latents_after", "seeded", "lambda", "target_bpp",
    "rate_every" }, function(o) return o.method ~= "three_step" end, "the method cem" },
  { { "prune" }, function(o) return o.method == "three_step" end, "the method three_step" },
  { { "target_bpp" }, function(o) return not (o.bpp or o.bytes or o.psnr or o.rates) end,
    "no --bpp, --bytes, --psnr or --rates, which set it" },
  { { "min_gop", "scene_threshold" }, function(o) return o.scene_cuts end, "--scene-cuts" },
  { { "chain", "warm_start" }, function(o) return o.gop or o.scene_cuts end,
    "--gop or --scene-cuts" },
}

-- Raises if an option on the command line would have no effect. A run that is resumed keeps the
-- options with which it began: older versions accepted these.
function request.check_effects(o)
  if o.resume then return end
  for _, case in ipairs(conditional) do
    local names, condition, expected = table.unpack(case)
    for _, name in ipairs(names) do
      if o.chosen and o.chosen[name] and o[name] ~= false and not condition(o) then
        errors.usage("--%s: expected %s", (name:gsub("_", "-")), expected)
      end
    end
  end
end

--- Prepares a fitted model for compression by `o.method`: returns the model for lv.codec.write, and
--- the options of lv.train that compress it. `o` holds the options of the command line.
---
---@param model lunerv.Module
---@param o table  a result of lv.options.parse
---@return lunerv.Module
---@return table
function request.prepare(model, o)
  local training = request.train_options(o)
  training.epochs, training.lr, training.warmup = o.compress_epochs, o.compress_lr, 0
  training.schedule, training.beta1 = o.compress_schedule, nil
  -- The best weights would be those from before bits were priced.
  training.keep_best = false
  if o.method == "three_step" then
    training.facts.prune = o.prune ~= options.default("prune", model.kind) and o.prune or nil
    local small = three_step(model, { bits = o.bits, predict = o.predict })
    -- Weights are pruned in steps over the first half; the second half recovers the quality.
    local steps = math.max(1, o.compress_epochs // 2)
    function training.on_epoch(e) small:prune(o.prune * math.min(1, e.epoch / steps)) end
    training.model = small
  else
    training.model = cem(model, {
      bits = o.bits, target_bpp = o.target_bpp,
      lambda = o.lambda or cem.price(model.kind, o.loss),
      channel = o.channel, predict = o.predict, rdo = o.rdo, steerable = o.steerable,
      families = o.families and o.families ~= "all" and { o.families } or nil,
      seeded = o.seeded, rate_every = o.rate_every, latents_after = o.latents_after,
    })
  end
  -- What suits the method; the recipe's `optimiser` is that of the fit.
  training.optimiser = o.compress_optimiser or training.model.train_defaults.optimiser
    or options.default("optimiser", model.kind)
  return training.model, training
end

return request
