-- Every option of lunerv, once, with its default and its presets.
local errors <const> = require "lunerv.errors"
local kinds <const> = require "lunerv.models.kinds"
local names <const> = require "lunerv.names"
local plans <const> = require "lunerv.tasks.plans"
local presets <const> = require "lunerv.models.presets"
local recipes <const> = require "lunerv.recipes"
local values <const> = require "lunerv.options.values"

local catalogue <const> = { kinds = kinds.names }

-- Scripts that fit a model, those that make files of it, those that read a clip.
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

-- name, type, doc; `default`, where the kind of model has no other (models/kinds.lua);
-- `command_defaults`: what takes their place in a script; `models`: the kinds a model option
-- belongs to; `commands`: the scripts whose command line has it; `train`: lv.train has it.
-- Types: string, integer (`choices`), number, boolean, choice (`choices`), list (of numbers;
-- `counts`: how many may stand in it; `whole`: integers; `ascending`), bytes (512M, 2G), count
-- (400k, 1.5M), text_or_number (`choices`). Numbers, those in lists too, lie between `least` (1 for
-- an integer) and `most`, and `above` and `below` a bound.
catalogue.list = {
  { name = "model", type = "choice", choices = catalogue.kinds, default = "hnerv_boost",
    commands = regress, doc = "the kind of model" },

  { name = "preset", type = "choice", choices = presets.names, models = all, commands = regress,
    doc = "a size of the papers' tables: strides, blocks and width, where not given" },
  { name = "size", type = "number", above = 0, models = all, commands = regress,
    doc = "parameter budget in millions by the papers' rule, embeddings included; sets the width" },
  { name = "params", type = "count", least = 1, models = all, commands = regress,
    doc = "exact number of stored parameters not to be exceeded; sets the width" },
  { name = "fc_dim", type = "integer", most = 65536, models = all, commands = regress,
    doc = "width of the first layer; overrides size and params" },
  { name = "strides", type = "list", whole = true, models = all, commands = regress,
    doc = "upsampling of each stage (chosen from the frame size)" },
  { name = "head_scale", type = "integer", choices = { 1, 2, 4 }, models = all,
    commands = regress,
    doc = "pixels of a cell of the last stage: the strides' last factor (1; by --minutes)" },
  { name = "fc_hw", type = "list", counts = { 2 }, whole = true, models = of_time,
    commands = regress_decode,
    doc = "rows and columns of the first map (those that cover the frame)" },
  { name = "enc_strides", type = "list", whole = true, models = embedding, commands = regress,
    doc = "downsampling of each encoder stage (the same as strides)" },
  { name = "enc_dim", type = "list", counts = { 2 }, above = 0, default = { 64, 16 },
    models = embedding, commands = regress,
    doc = "encoder width and embedding channels; a second number below 1 is a share of size" },
  { name = "enc_blks", type = "integer", least = 0, default = 1, models = embedding,
    commands = regress,
    doc = "ConvNeXt blocks in each encoder stage" },
  { name = "stem_dim", type = "integer", models = owners "stem_dim", commands = regress,
    doc = "width of the stem's hidden layer" },
  { name = "block_dim", type = "integer", least = 2, models = owners "block_dim",
    commands = regress, doc = "width of the transformer blocks" },
  { name = "dec_blks", type = "list", whole = true, default = { 1 }, models = all,
    commands = regress,
    doc = "blocks in each decoder stage; the last number serves all further stages" },
  { name = "ks", type = "list", counts = { 3 }, whole = true, least = 0,
    default = { 0, 3, 3 }, models = all, commands = regress,
    doc = "kernel sizes: encoder, first decoder stage, largest" },
  { name = "reduce", type = "number", above = 0, default = 2, models = all, commands = regress,
    doc = "what each stage divides the width by" },
  { name = "lower_width", type = "integer", default = 12, models = all,
    commands = regress, doc = "the width no stage goes below" },
  { name = "act", type = "choice", default = "gelu",
    choices = { "gelu", "sin", "silu", "relu", "sigmoid", "tanh", "none" },
    models = all, commands = regress_decode, doc = "the model's activation" },
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
    doc = "how the head becomes an image: tanh, sigmoid or a constant bias" },

  { name = "epochs", type = "integer", most = 1000000000, default = 300, train = true,
    commands = regress, doc = "passes over the clip" },
  { name = "lr", type = "number", above = 0, default = 3e-3, train = true, commands = regress,
    doc = "peak learning rate" },
  { name = "warmup", type = "number", least = 0, most = 1, default = 0.1, train = true,
    commands = regress, doc = "share of the training in which the learning rate rises" },
  { name = "recipe", type = "string", placeholder = "NAME|FILE", train = true, commands = regress,
    command_defaults = { compress_file = "fast", rd_curve = "fast" },
    doc = "fast, published or a Lua file: the options below where not given" },
  { name = "schedule", type = "choice", choices = schedules,
    default = "warmup_cosine", train = true, commands = regress,
    doc = "how the learning rate falls to 0" },
  { name = "order", type = "choice", choices = { "shuffled", "spread" }, default = "shuffled",
    train = true, commands = regress,
    doc = "of frames in a pass: at random, or evenly over the clip at any time" },
  { name = "guard", type = "boolean", default = false, train = true, commands = regress,
    doc = "go back and on at half the rate, twice at most, where the loss diverges" },
  { name = "optimiser", type = "choice", choices = { "adam", "adan", "muon", "sgd", "soap" },
    default = "adan", train = true, commands = regress, doc = "how parameters are updated" },
  { name = "beta1", type = "number", least = 0, most = 1, default = 0.9, train = true,
    commands = regress,
    doc = "how much Adam's mean gradient keeps at each step (adan has its own)" },
  { name = "clip_grad", type = "number", above = 0, train = true, commands = regress,
    doc = "joint norm that gradients are scaled down to" },
  { name = "batch", type = "integer", most = 65536, train = true, commands = fitting,
    doc = "frames of a step (1, or one for each rank)" },
  { name = "accumulate", type = "integer", most = 65536, default = 1, train = true,
    commands = fitting, doc = "batches for each update, which is by the mean of their gradients" },
  { name = "deadline", type = "number", above = 0, default = 60, commands = fitting,
    doc = "seconds that a rank may be late before all are ended" },
  { name = "ema", type = "number", above = 0, below = 1, train = true, commands = fitting,
    doc = "end with means of the weights, which keep so much of themselves at each step" },
  { name = "keep_best", type = "boolean", default = false, train = true, commands = fitting,
    doc = "end with the weights of the best evaluation (one an epoch unless --eval-every)" },
  { name = "patience", type = "integer", train = true, commands = fitting,
    doc = "evaluations without a better one that end the training" },
  { name = "loss", type = "choice", choices = loss_names, default = "boosted",
    train = true, commands = regress, doc = "what is minimised" },
  { name = "seed", type = "integer", least = 0, default = 1, train = true,
    commands = joined(regress, "encode_field"), doc = "seed of every random number" },
  { name = "out", type = "string", train = true, commands = joined(regress, "diagnose"),
    placeholder = "DIR", doc = "folder for what is written: checkpoints, metrics, videos" },
  { name = "output", short = "o", type = "string", placeholder = "FILE",
    commands = { "compress_file", "decompress", "report" }, doc = "the file to write" },
  { name = "title", type = "string", commands = { "report" },
    doc = "what the page is called (the runs' names)" },
  { name = "resume", type = "boolean", default = false, train = true, commands = regress,
    doc = "continue from the last checkpoint in the folder" },
  { name = "eval_every", type = "integer", least = 0, default = 0, train = true, commands = regress,
    doc = "epochs between evaluations (0: only at the end)" },
  { name = "checkpoint_every", type = "number", least = 0, default = 60, train = true,
    commands = regress, doc = "seconds between checkpoints" },
  { name = "checkpoint_steps", type = "integer", least = 0, default = 0, train = true,
    commands = regress,
    doc = "steps between checkpoints, besides the seconds (0: none)" },

  { name = "rates", type = "list", above = 0, default = { 0.03, 0.06, 0.12, 0.3 },
    commands = { "rd_curve" }, doc = "bits per pixel of the points of the curve" },
  { name = "x26x_preset", type = "choice", choices = { "ultrafast", "superfast", "veryfast",
      "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo" },
    default = "veryslow", commands = { "rd_curve" },
    doc = "preset of x264 and x265" },
  { name = "bpp", type = "number", above = 0, commands = joined(to_file, "encode_field"),
    command_defaults = { encode_field = 0.1 },
    doc = "bits per pixel of the file; sizes the network where its size is not given" },
  { name = "bytes", type = "bytes", least = 1, commands = to_file,
    doc = "bytes the file may not exceed; sizes the network likewise" },
  { name = "psnr", type = "number", above = 0, most = 80, commands = to_file,
    doc = "8-bit PSNR in dB to be reached by as few bytes as that takes" },
  { name = "minutes", type = "number", above = 0, commands = timed,
    command_defaults = { encode_field = 5 },
    doc = "time to spend, for each point of a curve; passes and head_scale are those that fit" },
  { name = "gop", type = "integer", least = 2, commands = to_file,
    doc = "frames a segment may have, each with a network of its own; bounds memory and latency" },
  { name = "scene_cuts", type = "boolean", default = false, commands = to_file,
    doc = "a segment ends where a scene does" },
  { name = "scene_threshold", type = "number", above = 0, most = 255, default = 10,
    commands = to_file,
    doc = "levels of 255 by which luma must change in the mean, beyond what is usual, at a cut" },
  { name = "min_gop", type = "integer", default = 8, commands = to_file,
    doc = "frames between two cuts at least" },
  { name = "warm_start", type = "boolean", default = true, commands = to_file,
    doc = "a segment's network starts from what the one before has learned" },
  { name = "method", type = "choice", choices = methods, default = "cem", commands = compressing,
    doc = "entropy minimisation, or pruning, min-max quantisation and learned frequencies" },
  { name = "compress_epochs", type = "integer", most = 1000000000, default = 100,
    commands = compressing, doc = "passes over the clip to make the fitted model small" },
  { name = "compress_lr", type = "number", above = 0, default = 5e-4, commands = compressing,
    doc = "learning rate of those passes" },
  { name = "compress_schedule", type = "choice", choices = schedules,
    default = "warmup_cosine", commands = compressing,
    doc = "how the learning rate of those passes falls to 0" },
  { name = "compress_optimiser", type = "choice",
    choices = { "adam", "adan", "muon", "sgd", "soap" }, commands = compressing,
    doc = "how parameters are updated in those passes (adam for cem; adan is the published one)" },
  { name = "target_bpp", type = "number", above = 0, commands = compressing,
    doc = "bits per pixel below which bits cost nothing (4 bits a parameter)" },
  { name = "lambda", type = "number", least = 0, commands = compressing,
    doc = "what a bit per pixel costs (5e-5 beside l2, 0.05 for hnerv_boost, 0.2 others)" },
  { name = "latents_after", type = "number", least = 0, most = 1, default = 1,
    commands = compressing,
    doc = "share of those passes after which embeddings are learned without the encoder" },
  { name = "rate_every", type = "integer", most = 1000, default = 1, commands = compressing,
    doc = "steps from one that prices the weights' bits to the next, which costs as much more" },
  { name = "bits", type = "integer", most = 16, default = 8, commands = compressing,
    doc = "bits of the quantisers' first range" },
  { name = "channel", type = "boolean", default = false, commands = compressing,
    doc = "a step for each output channel of a weight" },
  { name = "predict", type = "boolean", default = true, commands = compressing,
    doc = "tell embeddings by what has changed since the frame before" },
  { name = "families", type = "choice",
    choices = { "all", "gaussian", "laplace", "adaptive", "context" },
    default = "all", commands = compressing,
    doc = "distributions of symbols, of which each tensor gets the cheapest" },
  { name = "seeded", type = "boolean", default = true, commands = compressing,
    doc = "tell weights by how they differ from the random numbers they started from" },
  { name = "rdo", type = "number", least = 0, default = 0, commands = compressing,
    doc = "how strongly weights are rounded to what is worth its bits: 0.1 is mild, 1 strong" },
  { name = "prune", type = "number", least = 0, most = 0.99, default = 0.2,
    commands = compressing, doc = "share of the convolutions' weights that three_step drops" },

  { name = "max_work", type = "count", least = 1, commands = decoding,
    doc = "elements, multiplications and additions for a segment's start, and for each frame" },
  { name = "max_memory", type = "bytes", commands = decoding,
    doc = "memory for the tensors of the file's decoder" },
  { name = "unconfined", type = "boolean", default = false, commands = decoding,
    doc = "decode a file that you trust without confining its decoder" },

  { name = "json", type = "boolean", default = false,
    commands = { "compress_file", "decompress", "info", "eval", "report", "encode_field" },
    doc = "print one JSON object" },
  { name = "codec", type = "string", placeholder = "NAME", commands = { "encode_field" },
    doc = "a module beside the script that returns the decoder: ffnerv, hinerv, coolchic, motion "
      .. "or one of yours" },

  { name = "against", type = "string", commands = { "diagnose" }, placeholder = "RUN",
    doc = "another run, told of and shown likewise" },
  { name = "frame", type = "integer", default = 1, commands = { "diagnose" },
    doc = "the frame that is decoded" },
  { name = "plan", type = "choice", choices = plans.names, commands = { "ablate" },
    doc = "what is compared" },
  { name = "mask", type = "string", default = "centre", commands = { "inpaint" },
    placeholder = "centre|disperse|FILE",
    doc = "what is hidden: a box, five squares, or what is light in an image or video" },

  { name = "frames", type = "list", counts = { 1, 2 }, whole = true, ascending = true,
    commands = on_clips,
    doc = "the first N frames, or FIRST,LAST" },
  { name = "resize", type = "list", counts = { 2 }, whole = true, most = 65536, commands = on_clips,
    doc = "HEIGHT,WIDTH to scale the clip to" },
  { name = "crop", type = "list", counts = { 4 }, whole = true, commands = on_clips,
    doc = "Y,X,HEIGHT,WIDTH to cut from the clip, counted from 1" },
  { name = "deinterlace", type = "boolean", default = false, commands = on_clips,
    doc = "make whole frames of the fields of interlaced video" },
  { name = "cache", type = "bytes", commands = on_clips,
    doc = "memory for decoded frames (a quarter of RAM)" },

  { name = "frame_count", type = "integer", commands = decode,
    doc = "how many frames the model makes (those the file has embeddings for)" },
  { name = "frame_size", type = "list", counts = { 2 }, whole = true, most = 65536,
    commands = decode, doc = "HEIGHT,WIDTH of a frame (all that the model makes)" },
  { name = "fps", type = "number", above = 0, default = 25, commands = decode,
    doc = "frames a second of the video" },
  { name = "source", type = "string", commands = decode, placeholder = "CLIP",
    doc = "the original, for files that have an encoder in place of embeddings" },

  { name = "threads", type = "integer", most = 256, commands = all_commands,
    doc = "threads (all cores)" },
}

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

-- A value and, where it is a list, all that is in it. An object, such as a schedule, is itself.
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

-- The same where the script follows a recipe by default.
function catalogue.with_recipe(name, kind, command)
  local recipe = catalogue.default("recipe", kind, command)
  local value = recipes.options(recipe, kind, command)[name]
  if value == nil then return catalogue.default(name, kind, command) end
  return catalogue.copy(value)
end

-- Fills the options that `given` leaves out with what its preset says; a width asked for in one
-- way is not asked for in another.
function catalogue.apply_preset(given, kind)
  local sized = given.size or given.params or given.fc_dim
  for name, value in pairs(given.preset and presets.options(given.preset, kind) or {}) do
    local is_size = name == "size" or name == "params"
    if given[name] == nil and not (is_size and sized) then given[name] = value end
  end
end

-- Fills the options that `given` leaves out with what its recipe says for `command`, where
-- `takes(name)` holds.
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
