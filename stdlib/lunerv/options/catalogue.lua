-- Every option of lunerv, once, with its default and its presets.
local errors <const> = require "lunerv.errors"
local kinds <const> = require "lunerv.models.kinds"
local names <const> = require "lunerv.names"
local plans <const> = require "lunerv.tasks.plans"
local presets <const> = require "lunerv.models.presets"
local recipes <const> = require "lunerv.recipes"
local values <const> = require "lunerv.options.values"

local catalogue <const> = { kinds = kinds.names }

-- Groups of scripts that take the same options.
local regress <const> = { "regress", "interpolate", "inpaint", "ablate", "compress",
  "compress_file", "rd_curve" }
local to_file <const> = { "compress_file" }
local timed <const> = { "compress_file", "rd_curve", "encode_field" }
local decoding <const> = { "decompress", "eval" }
local compressing <const> = { "compress", "compress_file", "rd_curve", "ablate" }

local function joined(list, ...)
  local more = table.pack(...)
  return table.move(more, 1, more.n, #list + 1, table.move(list, 1, #list, 1, {}))
end

local on_clips <const> = joined(regress, "eval", "diagnose", "encode_field")
local all_commands <const> = joined(regress, "diagnose", "decompress", "info", "eval",
  "decode_published", "encode_field")
local regress_decode <const> = joined(regress, "decode_published")
local decode <const> = { "decode_published" }
local fitting <const> = { "regress", "interpolate", "inpaint" }
local researching <const> = joined(fitting, "compress")
local schedules <const> = { "warmup_cosine", "warmup_linear", "cosine_restarts" }
local loss_names <const> = { "boosted", "l1", "l2", "l1_ssim", "l1_ms_ssim", "l1_freq" }
local methods <const> = { "cem", "three_step" }
local all <const> = catalogue.kinds
local boosted <const> = kinds.where(function(kind) return kind.boosted end)
local embedding <const> = kinds.where(function(kind) return kind.embeds end)
local of_time <const> = kinds.where(function(kind) return not kind.embeds end)
local encoding_time <const> = kinds.where(function(kind) return kind.encodes_time end)

-- The kinds that have an option of their own: their defaults name it.
local function owners(name)
  return kinds.where(function(kind) return kind.defaults[name] ~= nil end)
end

-- The groups of --help --all, in the order in which every command shows them.
catalogue.groups = {}
catalogue.list = {}

-- Adds options to the catalogue. An entry has: name, type, doc; `default`, unless every kind of
-- model has its own (models/kinds.lua); `command_defaults`: defaults of single scripts; `models`:
-- the kinds a model option belongs to; `commands`: the scripts that take it; `common`: whether
-- --help shows it without --all, true or a list of scripts; `train`: lv.train takes it.
-- Types: string, integer (`choices`), number, boolean, choice (`choices`), list (of numbers;
-- `counts`: allowed lengths; `whole`: integers; `ascending`), bytes (512M, 2G), count (400k, 1.5M),
-- text_or_number (`choices`). Numbers, also those in lists, lie between `least` (1 for an integer)
-- and `most`, or above and below `above` and `below`.
local function group(title, entries)
  table.insert(catalogue.groups, title)
  for _, option in ipairs(entries) do
    option.group = title
    table.insert(catalogue.list, option)
  end
end

group("Input and output", {
  { name = "output", short = "o", type = "string", placeholder = "FILE", common = true,
    commands = { "compress_file", "decompress", "report" }, doc = "the file to write" },
  { name = "out", type = "string", train = true, commands = joined(regress, "diagnose"),
    placeholder = "DIR", common = true, doc = "folder for checkpoints, metrics and videos" },
  { name = "resume", type = "boolean", default = false, train = true, commands = regress,
    common = true, doc = "continue from the last checkpoint in the folder" },
  { name = "against", type = "string", commands = { "diagnose" }, placeholder = "RUN",
    common = true, doc = "a second run to compare with" },
  { name = "frame", type = "integer", default = 1, commands = { "diagnose" }, common = true,
    doc = "the frame whose feature maps are drawn" },
  { name = "plan", type = "choice", choices = plans.names, commands = { "ablate" },
    common = true, doc = "the variants to compare" },
  { name = "mask", type = "string", default = "centre", commands = { "inpaint" },
    placeholder = "NAME|FILE", common = true,
    doc = "hidden pixels: centre (a box), disperse (five squares), or the light pixels of an "
      .. "image or a video" },
  { name = "frames", type = "list", counts = { 1, 2 }, whole = true, ascending = true,
    commands = on_clips, placeholder = "FIRST,LAST", common = true,
    doc = "part of the clip; --frames N: the first N frames" },
  { name = "resize", type = "list", counts = { 2 }, whole = true, most = 65536, commands = on_clips,
    placeholder = "HEIGHT,WIDTH", common = joined(researching, "eval", "diagnose"),
    doc = "scale the clip to this size" },
  { name = "crop", type = "list", counts = { 4 }, whole = true, commands = on_clips,
    placeholder = "Y,X,HEIGHT,WIDTH", common = { "eval", "diagnose" },
    doc = "cut this part out of every frame; Y and X start at 1" },
  { name = "deinterlace", type = "boolean", default = false, commands = on_clips,
    common = { "eval" }, doc = "deinterlace the clip" },
  { name = "source", type = "string", commands = decode, placeholder = "CLIP", common = true,
    doc = "the original clip, for a file that stores an encoder instead of embeddings" },
  { name = "frame_count", type = "integer", commands = decode, common = true,
    doc = "number of frames (one for each stored embedding)" },
  { name = "frame_size", type = "list", counts = { 2 }, whole = true, most = 65536,
    placeholder = "HEIGHT,WIDTH", commands = decode, common = true,
    doc = "size of a frame (the model's full output)" },
  { name = "fps", type = "number", above = 0, default = 25, commands = decode, common = true,
    doc = "frames per second of the video" },
  { name = "title", type = "string", commands = { "report" }, common = true,
    doc = "title of the page (the names of the runs)" },
  { name = "json", type = "boolean", default = false, common = true,
    commands = { "compress_file", "decompress", "info", "eval", "report", "encode_field" },
    doc = "print one JSON object" },
})

group("Quality and size", {
  { name = "bpp", type = "number", above = 0, most = 1000,
    commands = joined(to_file, "encode_field"),
    command_defaults = { encode_field = 0.1 }, common = true,
    doc = "bits per pixel of the file; also sizes the network" },
  { name = "bytes", type = "bytes", least = 1, commands = to_file, common = true,
    doc = "maximum size of the file; also sizes the network" },
  { name = "psnr", type = "number", above = 0, most = 80, commands = to_file, common = true,
    doc = "8-bit PSNR in dB to reach with the fewest bytes" },
  { name = "minutes", type = "number", above = 0, most = 1e9, commands = timed,
    command_defaults = { encode_field = 5 }, common = true,
    doc = "minutes to spend on encoding; sets epochs" },
  { name = "rates", type = "list", above = 0, default = { 0.03, 0.06, 0.12, 0.3 },
    placeholder = "X,X,…", commands = { "rd_curve" }, common = true,
    doc = "bits per pixel of the points" },
  { name = "x26x_preset", type = "choice", choices = { "ultrafast", "superfast", "veryfast",
      "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo" },
    default = "veryslow", commands = { "rd_curve" }, doc = "preset of x264 and x265" },
  { name = "size", type = "number", above = 0, models = all, commands = regress, common = true,
    doc = "millions of parameters, with embeddings (papers' rule)" },
  { name = "params", type = "count", least = 1, models = all, commands = regress,
    doc = "maximum number of stored parameters; sets the width" },
  { name = "preset", type = "choice", choices = presets.names, models = all, commands = regress,
    doc = "size, strides and blocks of a published model" },
  { name = "fc_dim", type = "integer", most = 65536, models = all, commands = regress,
    doc = "width of the first layer; overrides size and params" },
})

group("Model", {
  { name = "model", type = "choice", choices = catalogue.kinds, default = "hnerv_boost",
    commands = regress, common = true, doc = "kind of network" },
  { name = "codec", type = "string", placeholder = "NAME", commands = { "encode_field" },
    common = true,
    doc = "module with the decoder, next to the script: ffnerv, hinerv, coolchic, motion or "
      .. "your own" },
  { name = "strides", type = "list", whole = true, models = all, commands = regress,
    placeholder = "N,N,…", doc = "upsampling factor of each stage (chosen for the frame size)" },
  { name = "head_scale", type = "integer", choices = { 1, 2, 4 }, models = all,
    commands = regress,
    doc = "upsampling factor of the head, the last stride (1; --minutes chooses)" },
  { name = "static_dim", type = "integer", least = 0, most = 256, models = all,
    commands = regress,
    doc = "channels of a map that all frames share (0; --bytes chooses)" },
  { name = "follow_camera", type = "boolean", default = true,
    commands = { "compress_file", "rd_curve" }, doc = "move that map with the camera" },
  { name = "fc_hw", type = "list", counts = { 2 }, whole = true, models = of_time,
    placeholder = "ROWS,COLUMNS", commands = regress_decode,
    doc = "size of the first feature map (large enough for the frame)" },
  { name = "enc_strides", type = "list", whole = true, models = embedding, commands = regress,
    placeholder = "N,N,…", doc = "downsampling factor of each encoder stage (the strides)" },
  { name = "enc_dim", type = "list", counts = { 2 }, above = 0, default = { 64, 16 },
    models = embedding, commands = regress,
    doc = "width of the encoder, channels of the embedding; channels below 1: the embeddings' "
      .. "share of size" },
  { name = "enc_blks", type = "integer", least = 0, default = 1, models = embedding,
    commands = regress, doc = "ConvNeXt blocks per encoder stage" },
  { name = "stem_dim", type = "integer", models = owners "stem_dim", commands = regress,
    doc = "width of the hidden layer of the stem" },
  { name = "block_dim", type = "integer", least = 2, models = owners "block_dim",
    commands = regress, doc = "width of the transformer blocks" },
  { name = "dec_blks", type = "list", whole = true, default = { 1 }, models = all,
    placeholder = "N,N,…", commands = regress,
    doc = "blocks of each decoder stage; the last number is repeated" },
  { name = "ks", type = "list", counts = { 3 }, whole = true, least = 0,
    default = { 0, 3, 3 }, models = all, commands = regress, placeholder = "N,N,N",
    doc = "kernel sizes: encoder, first decoder stage, maximum" },
  { name = "reduce", type = "number", above = 0, default = 2, models = all, commands = regress,
    doc = "factor by which each stage divides the width" },
  { name = "lower_width", type = "integer", default = 12, models = all,
    commands = regress, doc = "minimum width of a stage" },
  { name = "act", type = "choice", default = "gelu",
    choices = { "gelu", "sin", "silu", "relu", "sigmoid", "tanh", "none" },
    models = all, commands = regress_decode, doc = "activation function" },
  { name = "conditioning", type = "choice", choices = { "tat", "adain", "none" },
    default = "tat", models = boosted, commands = regress,
    doc = "how blocks are conditioned on time" },
  { name = "ch_t", type = "integer", default = 32, models = boosted, commands = regress,
    doc = "channels of the temporal embedding" },
  { name = "pe_base", type = "number", above = 0, default = 1.25, models = encoding_time,
    command_defaults = { interpolate = 1.05 }, commands = regress_decode,
    doc = "base of the positional encoding" },
  { name = "pe_levels", type = "integer", default = 80, models = encoding_time,
    commands = regress, doc = "levels of the positional encoding" },
  { name = "out_image", type = "text_or_number", choices = { "tanh", "sigmoid" },
    default = "tanh", models = all, commands = regress_decode,
    doc = "output of the head: tanh, sigmoid, or a constant bias" },
})

group("Training", {
  { name = "recipe", type = "string", placeholder = "NAME|FILE", train = true, commands = regress,
    command_defaults = { compress_file = "fast", rd_curve = "fast" }, common = true,
    doc = "set of defaults: fast, published or a Lua file" },
  { name = "epochs", type = "integer", most = 1000000000, default = 300, train = true,
    commands = regress, common = true, doc = "passes over the clip" },
  { name = "lr", type = "number", above = 0, default = 3e-3, train = true, commands = regress,
    common = researching, doc = "peak learning rate" },
  { name = "warmup", type = "number", least = 0, most = 1, default = 0.1, train = true,
    commands = regress, doc = "share of the steps in which the learning rate rises" },
  { name = "schedule", type = "choice", choices = schedules,
    default = "warmup_cosine", train = true, commands = regress,
    doc = "decay of the learning rate" },
  { name = "optimiser", type = "choice", choices = { "adam", "adan", "muon", "sgd", "soap" },
    default = "adan", train = true, commands = regress, doc = "optimiser" },
  { name = "beta1", type = "number", least = 0, most = 1, default = 0.9, train = true,
    commands = regress, doc = "decay rate of Adam's mean gradient (adan has its own)" },
  { name = "clip_grad", type = "number", above = 0, train = true, commands = regress,
    doc = "maximum total norm of the gradients" },
  { name = "batch", type = "integer", most = 65536, train = true, commands = fitting,
    doc = "frames per step (1, or one per rank)" },
  { name = "accumulate", type = "integer", most = 65536, default = 1, train = true,
    commands = fitting, doc = "batches per update, whose gradients are averaged" },
  { name = "loss", type = "choice", choices = loss_names, default = "boosted",
    train = true, commands = regress, doc = "loss function" },
  { name = "order", type = "choice", choices = { "shuffled", "spread" }, default = "shuffled",
    train = true, commands = regress,
    doc = "order of frames in a pass: shuffled, or spread evenly over the clip" },
  { name = "guard", type = "boolean", default = false, train = true, commands = regress,
    doc = "if the loss diverges, return to the last good state and halve the learning rate, "
      .. "at most twice" },
  { name = "ema", type = "number", above = 0, below = 1, train = true, commands = fitting,
    doc = "decay of a moving average of the weights, which replaces them at the end" },
  { name = "keep_best", type = "boolean", default = false, train = true, commands = fitting,
    doc = "end with the weights of the best evaluation (one per epoch unless eval_every is set)" },
  { name = "patience", type = "integer", train = true, commands = fitting,
    doc = "stop after this many evaluations without a better one" },
  { name = "seed", type = "integer", least = 0, default = 1, train = true,
    commands = joined(regress, "encode_field"), common = joined(researching, "encode_field"),
    doc = "seed of the random numbers" },
  { name = "eval_every", type = "integer", least = 0, default = 0, train = true, commands = regress,
    common = fitting, doc = "epochs between evaluations (0: only at the end)" },
  { name = "checkpoint_every", type = "number", least = 0, default = 60, train = true,
    commands = regress, doc = "seconds between checkpoints" },
  { name = "checkpoint_steps", type = "integer", least = 0, default = 0, train = true,
    commands = regress, doc = "steps between additional checkpoints (0: none)" },
})

group("Compression", {
  { name = "method", type = "choice", choices = methods, default = "cem", commands = compressing,
    common = { "compress", "ablate" },
    doc = "cem: entropy minimisation; three_step: pruning first" },
  { name = "compress_epochs", type = "integer", most = 1000000000, default = 100,
    commands = compressing, common = { "compress", "ablate" },
    doc = "passes that fine-tune for compression" },
  { name = "compress_lr", type = "number", above = 0, default = 5e-4, commands = compressing,
    doc = "peak learning rate of these passes" },
  { name = "compress_schedule", type = "choice", choices = schedules,
    default = "warmup_cosine", commands = compressing,
    doc = "decay of the learning rate in these passes" },
  { name = "compress_optimiser", type = "choice",
    choices = { "adam", "adan", "muon", "sgd", "soap" }, commands = compressing,
    doc = "optimiser of these passes (adam for cem; published: adan)" },
  { name = "target_bpp", type = "number", above = 0, commands = compressing,
    common = { "compress" },
    doc = "bits per pixel that cost nothing (4 per parameter)" },
  { name = "lambda", type = "number", least = 0, commands = compressing,
    doc = "weight of the bits per pixel in the loss (5e-5 with l2, 8e-4 with l1; otherwise 0.05 "
      .. "for hnerv and hnerv_boost, 0.2 for other kinds)" },
  { name = "latents_after", type = "number", least = 0, most = 1, default = 1,
    commands = compressing,
    doc = "share of these passes after which embeddings are trained directly, without the "
      .. "encoder" },
  { name = "rate_every", type = "integer", most = 1000, default = 1, commands = compressing,
    doc = "price the weights' bits in every n-th step only, at n times the price" },
  { name = "bits", type = "integer", most = 16, default = 8, commands = compressing,
    doc = "initial bit width of the quantisers" },
  { name = "channel", type = "boolean", default = false, commands = compressing,
    doc = "a step size for each output channel of a weight" },
  { name = "predict", type = "boolean", default = true, commands = compressing,
    doc = "code embeddings as differences from the previous frame" },
  { name = "families", type = "choice",
    choices = { "all", "gaussian", "laplace", "adaptive", "context" },
    default = "all", commands = compressing,
    doc = "probability models of the symbols; each tensor gets the cheapest" },
  { name = "seeded", type = "boolean", default = true, commands = compressing,
    doc = "code weights as differences from their random initial values" },
  { name = "rdo", type = "number", least = 0, default = 0, commands = compressing,
    doc = "strength of rate-aware rounding of the weights: 0.1 is mild, 1 strong" },
  { name = "prune", type = "number", least = 0, most = 0.99, default = 0.2,
    commands = compressing, doc = "share of convolution weights that three_step prunes" },
})

group("Segments", {
  { name = "gop", type = "integer", least = 2, commands = to_file, common = true,
    doc = "split the clip: one network per N frames" },
  { name = "scene_cuts", type = "boolean", default = false, commands = to_file,
    doc = "split the clip at scene cuts" },
  { name = "scene_threshold", type = "number", above = 0, most = 255, default = 10,
    commands = to_file,
    doc = "mean luma change at a scene cut, in 8-bit levels above that of recent frames" },
  { name = "min_gop", type = "integer", default = 8, commands = to_file,
    doc = "minimum number of frames between scene cuts" },
  { name = "warm_start", type = "boolean", default = true, commands = to_file,
    doc = "start each network from the weights of the previous one" },
  { name = "chain", type = "integer", commands = to_file,
    doc = "maximum length of a chain of warm starts; processes share chains (all segments)" },
  { name = "share", type = "boolean", default = false, commands = to_file,
    doc = "share the segments with other processes that are given the same --out" },
})

group("Machine", {
  { name = "threads", type = "integer", most = 256, commands = all_commands, common = true,
    doc = "number of threads (all cores)" },
  { name = "cache", type = "bytes", commands = on_clips, common = { "eval" },
    doc = "memory for decoded frames, such as 2G (a quarter of RAM)" },
  { name = "deadline", type = "number", above = 0, default = 60,
    commands = joined(fitting, "compress_file"),
    doc = "seconds that a rank may be late before all are stopped, or a process before another "
      .. "takes its segments" },
  { name = "max_work", type = "count", least = 1, commands = decoding, common = true,
    doc = "limit of operations and elements, per frame and per start of a segment" },
  { name = "max_memory", type = "bytes", commands = decoding, common = true,
    doc = "memory limit for the tensors of the decoder" },
  { name = "unconfined", type = "boolean", default = false, commands = decoding, common = true,
    doc = "run the decoder of a trusted file without a sandbox" },
})

catalogue.by_name = {}
for _, option in ipairs(catalogue.list) do catalogue.by_name[option.name] = option end
for _, kind in ipairs(kinds.list) do
  for name in pairs(kind.defaults) do catalogue.by_name[name].varies = true end
end

-- Names of the options for which `wanted(option)` holds.
function catalogue.names_where(wanted)
  local found = {}
  for _, option in ipairs(catalogue.list) do
    if wanted(option) then found[#found + 1] = option.name end
  end
  return found
end

-- A copy of a value: of a list with everything in it; objects, such as a schedule, are not copied.
function catalogue.copy(value)
  if type(value) ~= "table" or getmetatable(value) then return value end
  local result = {}
  for key, item in pairs(value) do result[key] = catalogue.copy(item) end
  return result
end

local users_own <const> = { defaults = {}, commands = {} }

--- The default of an option.
---
---     print(lv.options.default("lr", "hnerv"))
---
---@param name string  name of the option
---@param kind? string  the kind of model; nil for a custom model
---@param command? string  the script or command whose default it is, such as "compress_file"
---@return any
function catalogue.default(name, kind, command)
  local option, own = catalogue.by_name[name], kinds.by_name[kind] or users_own
  local default = own.commands[command] and own.commands[command][name]
  if default == nil then default = option.command_defaults and option.command_defaults[command] end
  if default == nil then default = own.defaults[name] end
  if default == nil then default = option.default end
  return catalogue.copy(default)
end

-- The default in a script that follows a recipe unless another is given.
function catalogue.with_recipe(name, kind, command)
  local recipe = catalogue.default("recipe", kind, command)
  local value = recipes.options(recipe, kind, command)[name]
  if value == nil then return catalogue.default(name, kind, command) end
  return catalogue.copy(value)
end

-- Fills the options missing in `given` from its preset. If `given` sets the width in one way, the
-- preset does not set it in another.
function catalogue.apply_preset(given, kind)
  local sized = given.size or given.params or given.fc_dim
  for name, value in pairs(given.preset and presets.options(given.preset, kind) or {}) do
    local is_size = name == "size" or name == "params"
    if given[name] == nil and not (is_size and sized) then given[name] = value end
  end
end

-- Fills the options missing in `given` from its recipe for `command`, if `takes(name)`.
function catalogue.apply_recipe(given, kind, command, takes)
  for name, value in pairs(recipes.options(given.recipe, kind, command)) do
    local option = catalogue.by_name[name]
    if not option then
      errors.fail("usage", "recipe %s: unknown option '%s'%s", given.recipe, name,
        names.meant(name, catalogue.names_where(function() return true end)))
    end
    local expected = type(value) ~= "function" and values.wanted(option, value)
    if expected then
      errors.fail("usage", "recipe %s: option '%s': expected %s, got %s", given.recipe, name,
        expected, values.quoted(value))
    end
    if given[name] == nil and takes(name) then given[name] = catalogue.copy(value) end
  end
end

return catalogue
