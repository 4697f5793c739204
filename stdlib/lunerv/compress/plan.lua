-- The plan of rate control, made before training: the network size for a budget of bytes, the
-- resolution at which its trunk stops, and the number of passes that fit the time.
local camera <const> = require "lunerv.compress.camera"
local checkpoint <const> = require "lunerv.checkpoint"
local continuation <const> = require "lunerv.compress.continuation"
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local goal <const> = require "lunerv.compress.goal"
local kinds <const> = require "lunerv.models.kinds"
local layout <const> = require "lunerv.codec.layout"
local loss <const> = require "lunerv.loss"
local metrics <const> = require "lunerv.metrics"
local model_settings <const> = require "lunerv.models.settings"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local recipes <const> = require "lunerv.recipes"
local request <const> = require "lunerv.compress.request"
local saved <const> = require "lunerv.saved"

local plan <const> = {}

local build <const> = model_settings.build

-- The bits per parameter after entropy minimisation, embeddings included, for `frames` frames. More
-- parameters at fewer bits would be possible, but under the price this needs they learn slowly. The
-- more frames share a parameter, the more bits it is worth.
local function bits_per_parameter(frames)
  local bits = 2.85 + 0.38 * math.log(frames / 48, 2)
  return math.min(math.max(bits, 2.4), 4)
end
-- The share of a budget for embeddings; at least one channel.
local embedding_share <const> = 0.25
-- The largest share of a budget for a map that all frames share, and the most channels of it.
local static_share <const>, most_static <const> = 0.48, 3
-- One evaluation of a frame, in training steps.
local evaluation_cost <const> = 0.45

-- The number of frames for rounding weights when time is short, one step each.
local probes <const> = 8
plan.probes = probes

-- With fewer passes than this, not every frame is evaluated after each stage.
local enough_passes <const> = 24

-- Whether a run of `passes` over the clip evaluates only some frames before its final file.
function plan.is_short(passes) return passes < enough_passes end

-- Widths of conditioning, and its largest share of the parameters: at the published width, a
-- quarter of a small network would be conditioning, and a narrower one is as good. Where embeddings
-- identify the frames, the fast waves of a long time encoding only make the training of a large
-- network unstable: neighbouring frames get unrelated conditions.
local narrower <const> = {
  {}, { ch_t = 16, pe_levels = 40 }, { ch_t = 8, pe_levels = 20 }, { ch_t = 4, pe_levels = 10 },
}
local widest_with_embeddings <const> = 3
local conditioning_share <const> = 0.1
-- Further reductions, step by step, if a budget is too small for a kind's defaults.
local smaller <const> = {
  {}, { lower_width = 10 }, { lower_width = 8 }, { lower_width = 8, dec_blks = { 1 } },
  { lower_width = 6, dec_blks = { 1 } },
}

-- Channels are computed in vectors, so widths just above a multiple of this waste most: a map of 18
-- channels takes almost as long as one of 24.
local vector <const> = 16
-- The factor by which each stage is narrower than the previous one. The last maps are the largest:
-- with fewer parameters there and more in the first stages, every frame is seen more often.
local narrowing <const> = 1.4

-- `settings`, with options that are at their defaults replaced by those of `others`.
local function replaced(settings, others)
  local result = {}
  for name, value in pairs(settings) do
    local is_free = others[name] ~= nil and model_settings.is_usual(settings, name)
    result[name] = is_free and others[name] or value
  end
  return result
end

-- The fewest parameters that a model of these settings can have, if `params` are too few.
local function least_of(settings, params, clip)
  local given = { params = params }
  for name, value in pairs(settings) do given[name] = given[name] or value end
  local ok, problem = errors.attempt(build, given, clip)
  if ok then return nil end
  return errors.fact(problem, "least_params") or error(problem, 0)
end

-- The share of a model's parameters, apart from a static map, that belongs to conditioning.
local function share_of_time(model)
  local count, static = 0, 0
  for name, parameter in model:named_parameters() do
    if name:match "^time%." or name:match "%.tat%d%." then count = count + parameter:numel() end
    if name:match "%.static$" then static = static + parameter:numel() end
  end
  return count / (model:stored_parameters() - static)
end

-- `settings` with the widest conditioning that leaves enough of `params` for the rest.
local function conditioned(settings, params, clip)
  local kind = kinds.by_name[settings.kind]
  for i = kind and kind.embeds and widest_with_embeddings or 1, #narrower do
    local chosen = replaced(settings, narrower[i])
    chosen.params = params
    local ok, model = errors.attempt(build, chosen, clip)
    chosen.params = nil
    -- The caller handles a budget that is too small even for a narrow one.
    if i == #narrower or ok and share_of_time(model) <= conditioning_share then return chosen end
  end
end

-- `settings` with a stem that leaves enough of `params` to the trunk.
local function with_narrow_stem(settings, params, clip)
  local front = model_settings.front_option(settings)
  if not front then return settings end
  settings.params = params
  settings[front] = model_settings.front_width(settings, clip, front)
  settings.params = nil
  return settings
end

-- `settings` with a trunk that narrows to whole vectors, unless the user chose how it narrows
-- (`asked`), or the kind of model narrows at least as much.
local function narrowed(settings, asked, clip)
  if not model_settings.is_usual(asked, "reduce")
    or not model_settings.is_usual(asked, "lower_width")
    or options.default("reduce", settings.kind) >= narrowing then return settings end
  local state = native.rng_state()
  local ok, model = errors.attempt(build, settings, clip)
  local narrow = options.copy(settings)
  if ok then
    local stages = model:plan(model.config, model.config.fc_dim)
    local last = stages[#stages].to
    narrow.reduce = narrowing
    narrow.lower_width = math.max(vector, (last + vector // 2) // vector * vector)
    ok = errors.attempt(build, narrow, clip)
  end
  native.set_rng_state(state)
  return ok and narrow or settings
end

-- Blocks per stage of a trunk that stops at half of the resolution; nil: the default.
local function blocks_of_trunk(settings, clip)
  if settings.head_scale ~= 2 then return nil end
  local strides = settings.strides or geometry.strides(clip.height, clip.width, 2)
  return geometry.blocks_of_trunk({ strides = strides, head_scale = 2 },
    options.default("dec_blks", settings.kind))
end

-- The number of values in a channel of a static map.
local function static_values(settings, clip)
  local o = { strides = settings.strides
    or geometry.strides(clip.height, clip.width, settings.head_scale),
    head_scale = settings.head_scale }
  local unit = geometry.product(o.strides)
  local grid = settings.fc_hw
    or { geometry.up(clip.height, unit) // unit, geometry.up(clip.width, unit) // unit }
  local map = geometry.static_map(o, grid)
  local _, reach = geometry.cells(settings.static_path or {}, map.cell)
  return (map.height + reach[1]) * (map.width + reach[2])
end

-- `settings` for a network of `params` parameters and, in addition, a static map of `dim` channels,
-- whose values take half of a weight's bits. If that leaves less than half of the parameters to the
-- width, nil and the settings that would take the fewest parameters, and their number.
local function with_static_map(settings, dim, params, clip)
  local static = dim * static_values(settings, clip)
  settings.static_dim = dim > 0 and dim or nil
  if dim == 0 then settings.static_path = nil end
  params = params + static // 2
  settings = replaced(settings, { enc_dim = { 64, embedding_share } })
  settings = with_narrow_stem(conditioned(settings, params, clip), params, clip)
  local blocks = blocks_of_trunk(settings, clip)
  local last
  for _, others in ipairs(smaller) do
    local cheaper = replaced(settings, others)
    if blocks then cheaper = replaced(cheaper, { dec_blks = blocks }) end
    cheaper.params = params
    if not least_of(cheaper, math.max(1, (params + static) // 2), clip) then
      return narrowed(cheaper, settings, clip)
    end
    last = cheaper
  end
  return nil, last, params
end

-- Whether the bytes determine the size of the network.
local function by_bytes(o, wanted)
  return wanted.bytes ~= nil and not (o.size or o.params or o.fc_dim)
end

-- Whether the network has, or may have, a static map that could follow the camera.
local function may_follow(o, wanted)
  if not o.follow_camera or o.start then return false end
  return (o.static_dim or 0) > 0 or o.static_dim == nil and by_bytes(o, wanted)
end

-- Model options that fit `wanted.bytes` at a number of bits per parameter, and the head's scale,
-- unless the user chose the width. The static map has as many channels as there is room for, unless
-- the user chose them; `path` is the camera's, or nil.
local function sized(o, clip, wanted, path, head_scale, bits)
  local settings = request.model_options(o)
  settings.head_scale, settings.static_path = head_scale, path
  if not by_bytes(o, wanted) then
    recipes.change(o.recipe, settings, o.model, clip, o.chosen)
    settings.kind = o.model
    return settings
  end
  settings.kind, settings.chosen = o.model, o.chosen
  bits = bits or bits_per_parameter(#clip)
  local params = math.max(1, math.floor(8 * wanted.bytes / bits))
  local room = math.floor(static_share * params / static_values(settings, clip))
  local most, fewest = math.min(most_static, room), 0
  if o.static_dim then most, fewest = o.static_dim, o.static_dim end
  local last, most_params
  for dim = most, fewest, -1 do
    local found
    found, last, most_params = with_static_map(options.copy(settings), dim, params, clip)
    if found then
      found.chosen = nil
      return found
    end
  end
  local least = least_of(last, most_params, clip)
  if least then
    errors.data("%s%d bytes are too few for this clip and kind of model: "
      .. "expected at least about %d", o.label and o.label .. ": " or "", wanted.bytes,
      math.ceil(least * bits / 8))
  end
  last.chosen = nil
  return last
end

-- Seconds per step; the optimiser's part is small, but not zero.
local function seconds_per_step(settings, clip, loss_name)
  local state = native.rng_state()
  local model, best = build(settings, clip), math.huge
  local compare = loss_name or options.default("loss", settings.kind)
  if type(compare) ~= "function" then compare = loss.by_name(compare) end
  for _ = 1, 5 do
    local began = native.time()
    local frame = clip:sample(1)
    compare(metrics.reconstruct(model, frame), frame.image, frame, 0):backward()
    best = math.min(best, native.time() - began)
    native.step_boundary()
  end
  native.set_rng_state(state)
  return 1.05 * best
end

-- Passes for fitting and for compression. Whether the network is large enough for a quality is
-- known after fitting: if compression has less than a fifth of the passes, it gets half.
local function passes_asked(o, wanted)
  local all, fitting = o.epochs + o.compress_epochs, o.epochs
  if wanted.psnr and not wanted.bytes and 5 * fitting < all then fitting = all // 2 end
  return fitting, all - fitting
end

-- A limit for budgets that no run uses up.
local most_passes <const> = 1e8

-- The numbers of epochs of fitting and of compression that fit into the time, from the seconds per
-- step.
local function epochs_within(o, clip, wanted, step)
  local passes = 0.97 * goal.seconds_left(wanted) / (#clip * step)
  -- The final file is evaluated on all frames, and so are both stages if there is time.
  passes = passes - (plan.is_short(passes) and 1 or 3) * evaluation_cost
  -- The clock ends a stage, and the learning rate follows the clock: a few passes too many cost
  -- nothing, but one too few would leave time unused.
  passes = math.ceil(math.min(math.max(2, 1.15 * passes), most_passes))
  local fitting, compressing = passes_asked(o, wanted)
  local share = compressing / (fitting + compressing)
  local small = math.max(1, math.min(passes - 1, math.floor(share * passes + 0.5)))
  return math.tointeger(passes - small), math.tointeger(small)
end

-- Network sizes, smallest first: the bits of the budget per parameter, and the number of passes
-- that make a network of this size better than the next smaller one. The largest size is that of
-- `bits_per_parameter`.
local sizes <const> = { { 64, 0 }, { 32, 2.5 }, { 16, 3 }, { 8, 5 }, { 5, 8 } }
local passes_of_largest <const> = 24
-- The head's scales, and the number of passes that make the finer trunk worth its time: at twice
-- the resolution it takes about twice as long, and learns more in each pass.
local head_scales <const> = { { 4, 0 }, { 2, 12 }, { 1, 400 } }

-- The settings and seconds per step for the available time: the largest network, and the finest
-- trunk, that sees every frame often enough. The cheapest is tried first, since trials cost time
-- too.
local function within_time(o, clip, wanted, path)
  local best, step
  local function try(head_scale, bits, passes)
    local ok, settings, seconds = errors.attempt(function()
      local settings = sized(o, clip, wanted, path, head_scale, bits)
      return settings, seconds_per_step(settings, clip, o.loss)
    end)
    -- Too few parameters, or strides that do not end this way: others may work.
    if not ok then return true, settings end
    local fits = not best or 0.9 * goal.seconds_left(wanted) / (seconds * #clip) >= passes
    if fits then best, step = settings, seconds end
    return fits
  end

  local scales = o.head_scale and { { o.head_scale, 0 } } or head_scales
  local all, chosen, problem, is_slow = {}, nil, nil, false
  if by_bytes(o, wanted) then table.move(sizes, 1, #sizes, 1, all) end
  all[#all + 1] = { bits_per_parameter(#clip), passes_of_largest }
  for _, scale in ipairs(scales) do
    for _, size in ipairs(best and { { chosen, scale[2] } } or all) do
      local fits, why = try(scale[1], size[1], size[2])
      -- If no network works, the last error is raised.
      problem = why or problem
      is_slow = not fits
      if is_slow then break end
      if best and not why then chosen = size[1] end
    end
    -- A finer trunk is slower still.
    if is_slow and chosen and scale[2] > 0 then break end
  end
  if not best then error(problem, 0) end
  return best, step
end

-- Whether the network may grow to reach the quality.
function plan.may_grow(o, wanted)
  return wanted.psnr ~= nil and not wanted.bytes and not (o.size or o.params or o.fc_dim)
end

-- Seconds for the final file after training.
function plan.tail_seconds(made, clip)
  return made.step and (1.5 * evaluation_cost * #clip + probes) * made.step + 1 or 0
end

-- The decisions: settings, epochs, small_epochs, and the current attempt at the network. A resumed
-- run keeps the stored ones; otherwise the second result is true, and `write` stores them.
function plan.make(o, clip, wanted)
  local path = o.out .. "/plan.json"
  local asked = request.facts(o, clip)
  local found = o.resume and saved.table(path)
  if found then
    -- Older runs of rd_curve stored options that do not affect a point.
    if found.asked and asked.rates == nil then
      found.asked.rates, found.asked.x26x_preset = nil, nil
    end
    checkpoint.compare("compress.file", path, found.asked or {}, asked)
    if (found.step ~= nil) ~= (wanted.deadline ~= nil) then
      errors.fail("usage", "compress.file: cannot resume: %s is of a run with%s --minutes", path,
        found.step and "" or "out")
    end
    found.attempt = math.tointeger(found.attempt)
    return found
  end
  if wanted.bytes and wanted.bytes <= layout.saved_bytes(clip) then
    errors.data("%d bytes are too few: the description of the clip takes %d", wanted.bytes,
      layout.saved_bytes(clip))
  end
  local made, step = { asked = asked, attempt = 1 }, nil
  local route = may_follow(o, wanted) and camera.path(clip) or nil
  made.epochs, made.small_epochs = passes_asked(o, wanted)
  if o.start then
    made.settings = continuation.settings(o.start, clip, o.follow_camera)
    made.settings.kind = o.model
  elseif wanted.deadline then
    made.settings, step = within_time(o, clip, wanted, route)
  else
    made.settings = sized(o, clip, wanted, route, o.head_scale)
  end
  if not o.start then
    local model = build(made.settings, clip) -- rejects impossible settings
    if plan.may_grow(o, wanted) then
      made.settings.params = nil
      local half = model:stored_parameters() // 2
      made.settings.params = least_of(made.settings, half, clip) or half
    end
  end
  if wanted.deadline then
    step = step or seconds_per_step(made.settings, clip, o.loss)
    made.step = step
    -- Encoding and checking the file of a long clip may take longer than that.
    local least = 2 * evaluation_cost * #clip * step
    -- A late segment is finished with the least effort.
    if not o.label and least > goal.seconds_left(wanted) then
      errors.data("--minutes: expected at least about %.3g to encode and check %d frames, got %g",
        (native.time() - wanted.began + 2 * least) / 60, #clip, o.minutes)
    end
    made.epochs, made.small_epochs = epochs_within(o, clip, wanted, step)
  end
  return made, true
end

function plan.write(o, made)
  native.work_folder(o.out)
  saved.write(o.out .. "/plan.json", made)
end

plan.build = build

return plan
