-- Every option of lunerv, once: for the command line, for Lua and for what files record.
--
--   lv.options(given, defaults, optional)   checks and completes an options table
--   lv.options.parse(arg, spec)             reads a command line
--   lv.options.for_model(kind, given)       the options of a model, with its kind's defaults
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local plans <const> = require "lunerv.tasks.plans"
local presets <const> = require "lunerv.models.presets"

local options <const> = {}

options.kinds = { "nerv", "nerv_boost", "enerv", "enerv_boost", "hnerv", "hnerv_boost" }

-- Scripts that fit a model, those that make files of it, those that read a clip.
local regress <const> = { "regress", "interpolate", "inpaint", "ablate", "compress",
  "compress_file", "rd_curve" }
local to_file <const> = { "compress_file" }
local compressing <const> = { "compress", "compress_file", "rd_curve", "ablate" }

local function joined(list, ...)
  local more = table.pack(...)
  return table.move(more, 1, more.n, #list + 1, table.move(list, 1, #list, 1, {}))
end

local on_clips <const> = joined(regress, "eval", "diagnose")
local all_commands <const> = joined(regress, "diagnose", "decompress", "info", "eval",
  "decode_published")
local regress_decode <const> = joined(regress, "decode_published")
local decode <const> = { "decode_published" }
local loss_names <const> = { "boosted", "l1", "l2", "l1_ssim", "l1_ms_ssim", "l1_freq" }
local methods <const> = { "cem", "three_step" }
local all <const> = options.kinds
local boosted <const> = { "nerv_boost", "enerv_boost", "hnerv_boost" }
local of_time <const> = { "nerv", "nerv_boost", "enerv", "enerv_boost" }
local nerv_kinds <const> = { "nerv", "nerv_boost" }
local enerv_kinds <const> = { "enerv", "enerv_boost" }
local hnerv_kinds <const> = { "hnerv", "hnerv_boost" }
local encoding_time <const> = { "nerv", "nerv_boost", "enerv", "enerv_boost", "hnerv_boost" }

-- One default for each kind: `values.nerv` or, of the boosted ones, `values.boosted`, and so on
-- to `values.other`.
local function by_kind(values)
  local defaults = {}
  for _, kind in ipairs(options.kinds) do
    local value = values[kind]
    if value == nil and kind:match "_boost$" then value = values.boosted end
    if value == nil then value = values.other end
    defaults[kind] = value
  end
  return defaults
end

-- name, type, default (or `defaults`, one per model kind), doc; `command_defaults`: what takes
-- their place for some kinds in a script; `models`: the kinds a model
-- option belongs to; `commands`: the scripts whose command line has it; `train`: lv.train has it.
-- Types: string, integer, number, boolean, choice (`choices`), list (of numbers; `counts`: how
-- many may stand in it; `whole`: integers; `ascending`), bytes (512M, 2G), count (400k, 1.5M),
-- text_or_number (`choices`). Numbers, those in lists too, lie between `least` (1 for an integer)
-- and `most`, and `above` a bound.
options.catalogue = {
  { name = "model", type = "choice", choices = options.kinds, default = "hnerv_boost",
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
  { name = "fc_hw", type = "list", counts = { 2 }, whole = true, models = of_time,
    commands = regress_decode,
    doc = "rows and columns of the first map (those that cover the frame)" },
  { name = "enc_strides", type = "list", whole = true, models = hnerv_kinds, commands = regress,
    doc = "downsampling of each encoder stage (the same as strides)" },
  { name = "enc_dim", type = "list", counts = { 2 }, above = 0, default = { 64, 16 },
    models = hnerv_kinds, commands = regress,
    doc = "encoder width and embedding channels; a second number below 1 is a share of size" },
  { name = "enc_blks", type = "integer", least = 0, default = 1, models = hnerv_kinds,
    commands = regress,
    doc = "ConvNeXt blocks in each encoder stage" },
  { name = "stem_dim", type = "integer", defaults = { nerv = 512, nerv_boost = 256 },
    models = nerv_kinds, commands = regress, doc = "width of the stem's hidden layer" },
  { name = "block_dim", type = "integer", least = 2, default = 128, models = enerv_kinds,
    commands = regress, doc = "width of the transformer blocks" },
  { name = "dec_blks", type = "list", whole = true,
    defaults = by_kind { boosted = { 1, 1, 2 }, other = { 1 } }, models = all,
    commands = regress,
    doc = "blocks in each decoder stage; the last number serves all further stages" },
  { name = "ks", type = "list", counts = { 3 }, whole = true, least = 0,
    defaults = by_kind { hnerv = { 0, 1, 5 }, hnerv_boost = { 0, 1, 5 }, other = { 0, 3, 3 },
      boosted = { 0, 3, 3 } },
    models = all, commands = regress,
    doc = "kernel sizes: encoder, first decoder stage, largest" },
  { name = "reduce", type = "number", above = 0,
    defaults = by_kind { hnerv = 1.2, hnerv_boost = 1.2, other = 2 }, models = all,
    commands = regress, doc = "what each stage divides the width by" },
  { name = "lower_width", type = "integer", default = 12, models = all,
    commands = regress, doc = "the width no stage goes below" },
  { name = "act", type = "choice", defaults = by_kind { nerv = "silu", boosted = "sin",
      other = "gelu" },
    choices = { "gelu", "sin", "silu", "relu", "sigmoid", "tanh", "none" },
    models = all, commands = regress_decode, doc = "the model's activation" },
  { name = "conditioning", type = "choice", choices = { "tat", "adain", "none" },
    default = "tat", models = boosted, commands = regress,
    doc = "how blocks are conditioned on time" },
  { name = "ch_t", type = "integer", default = 32, models = boosted, commands = regress,
    doc = "channels of the temporal embedding" },
  { name = "pe_base", type = "number", above = 0, default = 1.25, models = encoding_time,
    command_defaults = { interpolate = by_kind { other = 1.05 } }, commands = regress_decode,
    doc = "base of the positional encoding" },
  { name = "pe_levels", type = "integer", defaults = by_kind { nerv = 40, other = 80 },
    models = encoding_time, commands = regress, doc = "levels of the positional encoding" },
  { name = "out_image", type = "text_or_number", choices = { "tanh", "sigmoid" },
    default = "tanh", models = all, commands = regress_decode,
    doc = "how the head becomes an image: tanh, sigmoid or a constant bias" },

  { name = "epochs", type = "integer", most = 1000000000, default = 300, train = true,
    commands = regress, doc = "passes over the clip" },
  { name = "lr", type = "number", above = 0, default = 3e-3,
    defaults = { nerv = 5e-4, enerv = 5e-4, hnerv = 1e-3, enerv_boost = 1.5e-3 },
    command_defaults = {
      interpolate = { hnerv_boost = 1e-3, enerv_boost = 1e-3 }, inpaint = { hnerv = 5e-4 },
    },
    train = true, commands = regress, doc = "peak learning rate" },
  { name = "warmup", type = "number", least = 0, most = 1, default = 0.1,
    defaults = { nerv = 0.2, enerv = 0.2 }, train = true, commands = regress,
    doc = "share of the training in which the learning rate rises" },
  { name = "optimiser", type = "choice", choices = { "adam", "adan" },
    defaults = { nerv = "adam", enerv = "adam", hnerv = "adam" }, default = "adan", train = true,
    commands = regress, doc = "how parameters are updated" },
  { name = "beta1", type = "number", least = 0, most = 1, default = 0.9,
    defaults = { nerv = 0.5, enerv = 0.5 }, train = true, commands = regress,
    doc = "how much Adam's mean gradient keeps at each step (adan has its own)" },
  { name = "clip_grad", type = "number", above = 0, train = true,
    command_defaults = { inpaint = { hnerv = 1 } }, commands = regress,
    doc = "joint norm that gradients are scaled down to" },
  { name = "loss", type = "choice", choices = loss_names,
    defaults = { nerv = "l1_ssim", enerv = "l1_ssim", hnerv = "l2" }, default = "boosted",
    train = true, commands = regress, doc = "what is minimised" },
  { name = "seed", type = "integer", least = 0, default = 1, train = true, commands = regress,
    doc = "seed of every random number" },
  { name = "out", type = "string", train = true, commands = joined(regress, "diagnose"),
    placeholder = "DIR", doc = "folder for what is written: checkpoints, metrics, videos" },
  { name = "output", short = "o", type = "string", placeholder = "FILE",
    commands = { "compress_file", "decompress" }, doc = "the file to write" },
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
  { name = "x26x_preset", type = "string", default = "veryslow", commands = { "rd_curve" },
    doc = "preset of x264 and x265" },
  { name = "bpp", type = "number", above = 0, commands = to_file,
    doc = "bits per pixel of the file; sizes the network where its size is not given" },
  { name = "bytes", type = "bytes", commands = to_file,
    doc = "bytes the file may not exceed; sizes the network likewise" },
  { name = "psnr", type = "number", above = 0, most = 80, commands = to_file,
    doc = "8-bit PSNR in dB to be reached by as few bytes as that takes" },
  { name = "minutes", type = "number", above = 0, commands = to_file,
    doc = "time to stop after with the best file so far; epochs are those that fit" },
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
  { name = "target_bpp", type = "number", above = 0, commands = compressing,
    doc = "bits per pixel below which bits cost nothing (4 bits a parameter)" },
  { name = "lambda", type = "number", least = 0, commands = compressing,
    doc = "what a bit per pixel costs (0.05 for hnerv kinds, 0.2 others; 5e-4 with --loss l2)" },
  { name = "bits", type = "integer", most = 16, default = 8, commands = compressing,
    doc = "bits of the quantisers' first range" },
  { name = "channel", type = "boolean", default = false, commands = compressing,
    doc = "a step for each output channel of a weight" },
  { name = "prune", type = "number", least = 0, most = 0.99, default = 0.2,
    commands = compressing, doc = "share of the convolutions' weights that three_step drops" },

  { name = "json", type = "boolean", default = false,
    commands = { "compress_file", "decompress", "info", "eval" },
    doc = "print one JSON object" },

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

local by_name <const> = {}
for _, option in ipairs(options.catalogue) do by_name[option.name] = option end

local function contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == value then return true end
  end
  return false
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local result = {}
  for key, item in pairs(value) do result[key] = copy(item) end
  return result
end

-- A table with the same keys and values; an empty one for nil.
local function copy_shallow(given)
  local result = {}
  for key, value in pairs(given or {}) do result[key] = value end
  return result
end

options.copy = copy_shallow

-- The default of an option for a model kind (nil: for a model of the user's own), in the script
-- `command` if given.
function options.default(name, kind, command)
  local option = by_name[name]
  local special = option.command_defaults and option.command_defaults[command]
  local default = special and special[kind]
  if default == nil then default = option.defaults and option.defaults[kind] end
  if default == nil then default = option.default end
  return copy(default)
end

-- Tables of options -----------------------------------------------------------------------

local function refuse(key, known)
  errors.raise("unknown option '%s' (known: %s)", key, errors.list(known))
end

-- `given` completed by `defaults`. A key that neither `defaults` nor the list `optional` names
-- is an error, and so is a value of another type than its default.
local function complete(given, defaults, optional)
  if given ~= nil and type(given) ~= "table" then
    errors.raise("a table of options expected, got %s", type(given))
  end
  local result = {}
  for key, value in pairs(defaults) do result[key] = value end
  for key, value in pairs(given or {}) do
    local default = defaults[key]
    if default == nil and not contains(optional, key) then
      local known = table.move(optional or {}, 1, #(optional or {}), 1, {})
      for name in pairs(defaults) do known[#known + 1] = name end
      refuse(key, known)
    end
    if default ~= nil and type(default) ~= type(value) and type(value) ~= "function" then
      errors.raise("option '%s': %s expected, got %s", key, type(default), type(value))
    end
    result[key] = value
  end
  return result
end

-- Names of the catalogue's options for which `wanted(option)` holds.
local function names_where(wanted)
  local names = {}
  for _, option in ipairs(options.catalogue) do
    if wanted(option) then names[#names + 1] = option.name end
  end
  return names
end

-- What a number that an option cannot take ought to be: " of at least 1", " of at most 9"; nil for
-- one that it can.
local function violated(value, option, least)
  if value ~= value then return "" end
  if least and value < least then return " of at least " .. least end
  if option.most and value > option.most then return " of at most " .. option.most end
  if option.above and value <= option.above then return " above " .. option.above end
end

local function is_whole(value)
  return math.type(value) == "integer" or type(value) == "number" and value % 1 == 0
end

-- What is wrong with a value, or nil.
local checks <const> = {
  string = function(value) return type(value) ~= "string" and "a string" end,
  integer = function(value, option)
    local least = option.least or 1
    if not is_whole(value) then return "an integer of at least " .. least end
    local range = violated(value, option, least)
    return range and "an integer" .. range
  end,
  number = function(value, option)
    local range = type(value) ~= "number" and "" or violated(value, option, option.least)
    return range and "a number" .. range
  end,
  count = function(value, option)
    local range = type(value) ~= "number" and "" or violated(value, option, option.least)
    return range and "a number" .. range
  end,
  bytes = function(value)
    return (type(value) ~= "number" or value < 0) and "a number of bytes"
  end,
  boolean = function(value) return type(value) ~= "boolean" and "true or false" end,
  text_or_number = function(value, option)
    if type(value) == "number" and value == value or contains(option.choices, value) then
      return nil
    end
    return "a number or one of " .. errors.list(option.choices)
  end,
  choice = function(value, option)
    return not contains(option.choices, value) and "one of " .. errors.list(option.choices)
  end,
  list = function(value, option)
    local items = "a list of " .. (option.whole and "integers" or "numbers")
    if type(value) ~= "table" or #value == 0 then return items end
    for _, item in ipairs(value) do
      if type(item) ~= "number" or option.whole and not is_whole(item) then return items end
      local range = violated(item, option, option.least or option.whole and 1)
      if range then return items .. range end
    end
    if option.counts and not contains(option.counts, #value) then
      return "a list of " .. table.concat(option.counts, " or ") .. " numbers"
    end
    if option.ascending and value[2] and value[2] < value[1] then return "a rising list" end
  end,
}

local function show(value)
  if type(value) == "table" and type(value[1]) == "number" then return table.concat(value, ",") end
  return tostring(value)
end

-- Raises an error unless `value` is one that the catalogue's option `name` can have.
function options.check(name, value)
  local expected = checks[by_name[name].type](value, by_name[name])
  if expected then errors.raise("option '%s': %s expected, got %s", name, expected, show(value)) end
end

-- Fills the options that `given` leaves out with what its preset says; a width asked for in one
-- way is not asked for in another.
local function apply_preset(given, kind)
  local sized = given.size or given.params or given.fc_dim
  for name, value in pairs(given.preset and presets.options(given.preset, kind) or {}) do
    local is_size = name == "size" or name == "params"
    if given[name] == nil and not (is_size and sized) then given[name] = value end
  end
end

-- The options of a model of `kind`: `given` checked by the catalogue, the rest from its preset
-- and its defaults. `extra` lists further keys that are let through (clip, height, …).
function options.for_model(kind, given, extra)
  given = copy_shallow(given)
  if given.preset then options.check("preset", given.preset) end
  apply_preset(given, kind)
  given.preset = nil
  local names = names_where(function(option) return contains(option.models, kind) end)
  local result = {}
  for _, name in ipairs(names) do result[name] = options.default(name, kind) end
  for key, value in pairs(given) do
    if contains(names, key) then
      options.check(key, value)
      result[key] = copy(value)
    elseif contains(extra, key) then
      result[key] = value
    else
      refuse(key, table.move(extra, 1, #extra, #names + 1, names))
    end
  end
  return result
end

-- Names of the options of a model kind, and of lv.train.
function options.model_names(kind)
  return names_where(function(option) return contains(option.models, kind) end)
end

-- Whether a model of `kind` has the option `name`; true for those that are not a model's.
function options.applies(name, kind)
  local option = by_name[name]
  return not option or not option.models or contains(option.models, kind)
end

function options.train_names()
  return names_where(function(option) return option.train end)
end

-- Command lines -----------------------------------------------------------------------------

-- A wrong command line: the program prints one line and exits with 2.
local function usage_error(message, ...) bridge.fail("usage", message:format(...)) end

local function flag(name) return "--" .. name:gsub("_", "-") end

local readers <const> = {
  string = function(text) return text end,
  choice = function(text) return text end,
  integer = function(text) return math.tointeger(tonumber(text)) end,
  number = function(text) return tonumber(text) end,
  text_or_number = function(text) return tonumber(text) or text end,
  boolean = function(text)
    local values = { ["true"] = true, yes = true, ["1"] = true }
    values["false"], values.no, values["0"] = false, false, false
    return values[text]
  end,
  bytes = function(text)
    local number, unit = text:match "^([%d.]+)([KMGkmg]?)$"
    local scale = { [""] = 0, k = 10, m = 20, g = 30 }
    local value = tonumber(number)
    return value and math.tointeger(value * 2 ^ scale[unit:lower()] // 1)
  end,
  count = function(text)
    local number, unit = text:match "^(.-)([kMKm]?)$"
    local scale = { [""] = 1, k = 1e3, m = 1e6 }
    local value = tonumber(number)
    return value and (math.tointeger(value * scale[unit:lower()]) or value * scale[unit:lower()])
  end,
  list = function(text)
    local list = {}
    for item in (text .. ","):gsub("_", ","):gmatch "([^,]*)," do
      local number = tonumber(item)
      if not number then return nil end
      list[#list + 1] = math.tointeger(number) or number
    end
    return list
  end,
}

local expectations <const> = {
  string = "text", integer = "an integer", number = "a number", boolean = "true or false",
  bytes = "a number of bytes such as 512M", list = "numbers such as 64,8",
  count = "a number such as 400k or 1.5M",
}

local function read(option, text)
  local value = readers[option.type](text)
  if option.name == "model" and not contains(option.choices, value) then
    usage_error("unknown model '%s' (known: %s)", text, errors.list(option.choices))
  end
  local expected = value == nil and expectations[option.type] or checks[option.type](value, option)
  if expected then
    usage_error("%s: %s expected, got '%s'", flag(option.name), expected, text)
  end
  return value
end

local placeholders <const> = {
  string = "TEXT", integer = "N", number = "X", bytes = "BYTES", list = "N,N",
  count = "N", text_or_number = "NAME|X",
}

-- "0.1", or each value with the kinds that have it: "0.1; 0.2 for nerv, enerv".
local function default_text(option, command)
  if option.type == "boolean" then return nil end
  local texts, kinds_of, total = {}, {}, 0
  for _, kind in ipairs(option.models or options.kinds) do
    local value = options.default(option.name, kind, command)
    local text = value ~= nil and show(value) or nil
    if text and not kinds_of[text] then
      texts[#texts + 1], kinds_of[text] = text, {}
    end
    if text then table.insert(kinds_of[text], kind) end
    total = total + 1
  end
  table.sort(texts, function(a, b)
    if #kinds_of[a] ~= #kinds_of[b] then return #kinds_of[a] > #kinds_of[b] end
    return a < b
  end)
  for i, text in ipairs(texts) do
    local everywhere = #kinds_of[text] == total
    if i > 1 then texts[i] = text .. " for " .. table.concat(kinds_of[text], ", ") end
    if i == 1 and not everywhere and #texts == 1 then
      texts[i] = text .. " for " .. table.concat(kinds_of[text], ", ")
    end
  end
  return #texts > 0 and table.concat(texts, "; ") or nil
end

-- The text that --help prints for `spec` (see `parse`).
function options.help(spec)
  local lines = { "usage: " .. spec.usage, "", spec.about, "" }
  for _, option in ipairs(options.catalogue) do
    if contains(option.commands, spec.command) then
      local left = (option.short and "-" .. option.short .. ", " or "") .. flag(option.name)
      if option.type == "boolean" then
        left = "--[no-]" .. left:sub(3)
      elseif option.type == "choice" then
        left = left .. " " .. table.concat(option.choices, "|")
      else
        left = left .. " " .. (option.placeholder or placeholders[option.type])
      end
      if #left > 28 then
        lines[#lines + 1] = "  " .. left
        left = ""
      end
      local default = default_text(option, spec.command)
      lines[#lines + 1] = ("  %-28s  %s%s"):format(
        left, option.doc, default and " [" .. default .. "]" or "")
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- Reads a command line. `spec` holds `command` (whose options of the catalogue apply), `usage`,
-- `about`, `positional` (names, all required), `required` (names of options), and `any_model`
-- where the kind of model comes from elsewhere: what depends on it has no default then. Returns a
-- table of the values, with the defaults of the chosen model kind; nil after --help has been
-- printed.
-- Long options take hyphens or underscores, `--opt value` or `--opt=value`, `--flag` or
-- `--no-flag`; what is wrong is a usage error.
function options.parse(arguments, spec)
  local known, shorts = {}, {}
  for _, option in ipairs(options.catalogue) do
    if contains(option.commands, spec.command) then
      known[option.name] = option
      if option.short then shorts["-" .. option.short] = flag(option.name) end
    end
  end

  local given, positional = {}, {}
  local i, only_positional = 1, false
  while i <= #arguments do
    local argument = arguments[i]
    if not only_positional and shorts[argument] then argument = shorts[argument] end
    if only_positional or not argument:match "^%-%-?%a" and argument ~= "--" then
      positional[#positional + 1] = argument
    elseif argument == "--" then
      only_positional = true
    elseif argument == "--help" or argument == "-h" then
      io.write(options.help(spec))
      return nil
    else
      local name, value = argument:match "^%-%-([%w_-]+)=(.*)$"
      name = (name or argument:match "^%-%-(.+)$" or argument):gsub("-", "_")
      local negated = known[name:match "^no_(.+)$"]
      local option = known[name] or (negated and negated.type == "boolean" and negated)
      if not option then
        local flags = {}
        for known_name in pairs(known) do flags[#flags + 1] = flag(known_name) end
        usage_error("unknown option '%s' (known: %s)", argument:match "^[^=]+", errors.list(flags))
      end
      if option.type == "boolean" and not value then
        given[option.name] = option == known[name]
      else
        if not value then
          i = i + 1
          value = arguments[i]
          if not value or value:match "^%-%-%a" then
            usage_error("%s needs a value", flag(option.name))
          end
        end
        given[option.name] = read(option, value)
      end
    end
    i = i + 1
  end

  for index, name in ipairs(spec.positional) do
    if not positional[index] then
      usage_error("%s is missing: %s", name:upper(), spec.usage)
    end
    given[name] = positional[index]
  end
  if #positional > #spec.positional then
    usage_error("unexpected argument '%s'", positional[#spec.positional + 1])
  end

  local kind = not spec.any_model and (given.model or options.default("model"))
  if kind then apply_preset(given, kind) end
  for name, option in pairs(known) do
    local applies = not (kind and option.models) or contains(option.models, kind)
    if given[name] == nil then
      local wanted = applies
        and (kind or not option.models and not option.defaults and name ~= "model")
      if wanted then given[name] = options.default(name, kind, spec.command) end
    elseif not applies then
      usage_error("%s does not apply to model '%s'", flag(name), kind)
    end
  end
  for _, name in ipairs(spec.required or {}) do
    if given[name] == nil then usage_error("%s is missing", flag(name)) end
  end
  return given
end

return setmetatable(options, {
  __call = function(_, given, defaults, optional) return complete(given, defaults, optional) end,
})
