-- lv.diagnose: what a decoder is made of, what it costs, and its feature maps: the figures that
-- papers report.
local bars <const> = require "lunerv.diagnose.bars"
local bridge <const> = require "lunerv.bridge"
local checkpoint <const> = require "lunerv.checkpoint"
local errors <const> = require "lunerv.errors"
local metrics <const> = require "lunerv.metrics"
local Model <const> = require "lunerv.models.model"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local nn <const> = require "lunerv.nn"
local options <const> = require "lunerv.options"
local maps <const> = require "lunerv.diagnose.maps"
local video <const> = require "lunerv.video"

local diagnose <const> = { maps = maps, picture = maps.picture, diversity = maps.diversity }

--- The model of a run of lv.train, from the newest checkpoint in a folder.
---
---     local model = lv.diagnose.load "runs/fit"
---
---@param folder string
---@return lunerv.Module
function diagnose.load(folder)
  local found = checkpoint.latest(folder)
    or errors.data("%s: no checkpoint of a run there", folder)
  local facts, config = found.state.options, {}
  if not facts.kind or facts.cem or facts.three_step then
    errors.data("%s: expected the run of a model of lv.models (of a compression, its folder fit)",
      found.path)
  end
  config.kind = facts.kind
  for _, names in ipairs { Model.extras, options.model_names(facts.kind) } do
    for _, name in ipairs(names) do config[name] = facts[name] end
  end
  return models.build(config):load_state_dict(checkpoint.weights(found))
end

-- Parts --------------------------------------------------------------------------------------

-- Layers in which each output is a product with one row of the weight, or each input is.
local by_output <const> = { nn.Linear, nn.Conv2d, nn.Conv3d, nn.MaskedConv2d }
local by_input <const> = { nn.ConvTranspose2d }

-- Whether a module is an object of one of these classes, or of a class that extends one.
local function is_one_of(module, classes)
  local class = getmetatable(module).__index
  while class do
    for _, one in ipairs(classes) do
      if class == one then return true end
    end
    local meta = getmetatable(class)
    class = meta and meta.__index
  end
  return false
end

-- Multiply–adds of one call of a layer; 0 for modules that are made of others. Masked weights
-- count.
local function macs_of(call)
  local module, x = call.module, call.inputs[1]
  local product = is_one_of(module, by_output) and call.output or is_one_of(module, by_input) and x
  if product then return product:numel() * (module.weight:numel() // module.weight:size(1)) end
  if module.class_name == "Attention" then
    return 2 * x:size(1) * x:size(2) ^ 2 * module.heads * module.head_width
  end
  return 0
end

-- The parts that the model's file lists: its modules by name, those of a list one by one.
local function parts_of(model)
  local parts, seen = {}, {}
  for name in model:named_parameters() do
    local field = name:match "^[^.]+"
    local is_list = type(model[field]) == "table" and model[field].class_name == "List"
    local part = is_list and name:match "^[^.]+%.[^.]+" or field
    if not seen[part] then
      seen[part] = true
      parts[#parts + 1] = { name = part, parameters = 0, macs = 0 }
    end
  end
  return parts
end

local function at(model, name)
  local module = model
  for key in name:gmatch "[^.]+" do module = module[math.tointeger(tonumber(key)) or key] end
  return module
end

-- A function that decodes the frame; its embedding is computed before.
local function decoding(model, frame)
  if not model.encode then
    return function() return metrics.reconstruct(model, frame):evaluate() end
  end
  local embedding = native.no_grad(function() return model:encode(frame.image):evaluate() end)
  return function() return model:decode(embedding, frame.t):evaluate() end
end

--- The parts of a decoder in the order of its file, with their cost for one frame.
---
---     local parts = lv.diagnose.parts(model, clip:sample(1))
---     for _, part in ipairs(parts) do print(part.name, part.parameters, part.macs) end
---     print(parts.macs_per_pixel)
---
---@param model lunerv.Module
---@param frame table  { image, t, index }, as clip:sample gives it
---@return table  a list of { name, parameters, macs, map }; macs_per_pixel, parameters of all
function diagnose.parts(model, frame)
  local parts, decode = parts_of(model), decoding(model, frame)
  local calls = model:observe(function() native.no_grad(decode) end)
  local owner = {}
  for _, part in ipairs(parts) do
    local module = at(model, part.name)
    part.module = module
    if type(module) == "table" then
      part.parameters = module:parameter_count()
      for _, inner in ipairs(module:modules()) do owner[inner] = owner[inner] or part end
    else
      part.parameters = module:numel()
    end
  end
  for _, call in ipairs(calls) do
    local part = owner[call.module]
    if part then
      part.macs = part.macs + macs_of(call)
      if call.module == part.module and type(call.output) == "userdata"
        and call.output:dim() == 4 and call.output:size(3) * call.output:size(4) > 1 then
        part.map = call.output:detach()
      end
    end
  end

  local kept = { parameters = 0, macs_per_pixel = 0 }
  for _, part in ipairs(parts) do
    part.module = nil
    if part.name ~= "encoder" then
      kept[#kept + 1] = part
      kept.parameters = kept.parameters + part.parameters
      kept.macs_per_pixel = kept.macs_per_pixel + part.macs
    end
  end
  kept.macs_per_pixel = kept.macs_per_pixel / (frame.image:size(3) * frame.image:size(4))
  return kept
end

--- Decoding speed in frames per second, with one thread and with all.
---
---@param model lunerv.Module
---@param frame table  { image, t, index }, as clip:sample gives it
---@param rounds? integer  how many times to decode; the fastest time counts (3)
---@return table  one_core, all_cores, threads
function diagnose.speed(model, frame, rounds)
  local decode, threads = decoding(model, frame), native.threads()
  local function best(count)
    native.set_threads(count)
    local shortest = math.huge
    for _ = 0, rounds or 3 do -- the first allocates memory and makes plans
      local began = native.time()
      native.no_grad(decode)
      shortest = math.min(shortest, native.time() - began)
      native.step_boundary()
    end
    return 1 / shortest
  end
  local speed = { threads = threads }
  bridge.on_error(function()
    speed.one_core, speed.all_cores = best(1), best(threads)
  end, function() native.set_threads(threads) end)
  return speed
end

--- All diagnostics of a model for a frame.
---
---     print(lv.diagnose.text(lv.diagnose.model(model, clip:sample(1))))
---
---@param model lunerv.Module
---@param frame table  { image, t, index }, as clip:sample gives it
---@return table  parts, speed, psnr, kind, act, height, width
function diagnose.model(model, frame)
  local parts = diagnose.parts(model, frame)
  for _, part in ipairs(parts) do
    if part.map then part.diversity = diagnose.maps.diversity(part.map) end
  end
  local psnr = native.no_grad(function()
    return metrics.psnr(metrics.reconstruct(model, frame), frame.image)
  end)
  local c = model.config or {}
  return { parts = parts, speed = diagnose.speed(model, frame), psnr = psnr,
    kind = model.kind or model.class_name, act = c.act, width = frame.image:size(4),
    height = frame.image:size(3) }
end

-- Reports ------------------------------------------------------------------------------------

--- The result of lv.diagnose.model as a Markdown table.
---
---@param found table
---@return string
function diagnose.text(found)
  local lines = {
    ("%s%s at %dx%d: %d decoder parameters, %.1f thousand multiply–adds per pixel"):format(
      found.kind, found.act and " (" .. found.act .. ")" or "", found.width, found.height,
      found.parts.parameters, found.parts.macs_per_pixel / 1e3),
    ("decodes %.3g frames/s on one core, %.3g with %d threads; psnr of this frame %.2f dB"):format(
      found.speed.one_core, found.speed.all_cores, found.speed.threads, found.psnr),
    "", "| part | parameters | share | MACs per pixel | share | map | effective channels |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
  }
  local pixels = found.width * found.height
  for _, part in ipairs(found.parts) do
    local macs = part.macs / pixels
    lines[#lines + 1] = ("| %s | %d | %.1f %% | %.1f | %.1f %% | %s | %s |"):format(part.name,
      part.parameters, 100 * part.parameters / math.max(found.parts.parameters, 1), macs,
      100 * macs / math.max(found.parts.macs_per_pixel, 1e-9),
      part.map and table.concat(part.map.shape, "×", 2) or "",
      part.diversity and ("%.1f"):format(part.diversity) or "")
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "Effective channels: the square of their number over the sum of squares of "
    .. "their correlations; 1 when all show the same."
  return table.concat(lines, "\n") .. "\n"
end

--- Compares the effective channels of the parts that two models have in common.
---
---@param one table  a result of lv.diagnose.model
---@param other table
---@return table[]  { name =, { effective, channels }, { effective, channels } } of each part
function diagnose.compared(one, other)
  local by_name, rows = {}, {}
  for _, part in ipairs(other.parts) do by_name[part.name] = part end
  local function of(part) return { effective = part.diversity, channels = part.map:size(2) } end
  for _, part in ipairs(one.parts) do
    local same = by_name[part.name]
    if part.diversity and same and same.diversity then
      rows[#rows + 1] = { name = part.name, of(part), of(same) }
    end
  end
  return rows
end

local function title(i, found)
  return ("%d. %s%s"):format(i, found.kind, found.act and " (" .. found.act .. ")" or "")
end

-- Those rows as text (a table of Markdown).
local function compared_text(names, rows)
  local lines = {
    "Effective channels side by side", "",
    "| part | " .. table.concat(names, " | ") .. " |", "| --- | ---: | ---: |",
  }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("| %s | %.1f of %d | %.1f of %d |"):format(row.name, row[1].effective,
      row[1].channels, row[2].effective, row[2].channels)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- The result of lv.diagnose.model as plain data for JSON, without the maps themselves.
---
---@param found table
---@return table
function diagnose.data(found)
  local data = options.copy(found)
  data.parts = {}
  for i, part in ipairs(found.parts) do
    data.parts[i] = options.copy(part)
    data.parts[i].map = part.map and part.map.shape
  end
  data.parameters, data.macs_per_pixel = found.parts.parameters, found.parts.macs_per_pixel
  return data
end

local function write(path, text) errors.must(native.write_file(path, text)) end

--- Diagnoses runs of lv.train on one frame of a clip, and writes report.md, report.json and
--- pictures.
---
---@param clip lunerv.Clip
---@param runs string[]  folders
---@param o table  frame and out
---@return string  the text of the report
function diagnose.report(clip, runs, o)
  if o.frame > #clip then
    errors.data("frame: expected at most %d, the clip's frames, got %d", #clip, o.frame)
  end
  local frame, found = clip:sample(o.frame), {}
  for i, folder in ipairs(runs) do
    local model = diagnose.load(folder)
    local c = model.config
    if c.height ~= clip.height or c.width ~= clip.width then
      errors.data("%s: the run is of frames of %dx%d, the clip has %dx%d", folder, c.width,
        c.height, clip.width, clip.height)
    end
    found[i] = diagnose.model(model, frame)
    found[i].run = folder
  end

  native.work_folder(o.out)
  local texts, data = {}, {}
  for i, one in ipairs(found) do
    texts[i], data[i] = ("%d. %s\n%s"):format(i, one.run, diagnose.text(one)), diagnose.data(one)
    write(("%s/parts-%d.svg"):format(o.out, i), bars.cost(one))
    for _, part in ipairs(one.parts) do
      if part.map then
        errors.must(video.write_image(("%s/maps-%d-%s.png"):format(o.out, i, part.name),
          diagnose.maps.picture(part.map)))
      end
    end
  end
  if #found == 2 then
    local names = { title(1, found[1]), title(2, found[2]) }
    local rows = diagnose.compared(found[1], found[2])
    texts[3] = compared_text(names, rows)
    write(o.out .. "/diversity.svg", bars.diversity(names, rows))
  end
  local text = table.concat(texts, "\n")
  write(o.out .. "/report.md", text)
  write(o.out .. "/report.json", native.json_encode(data) .. "\n")
  return text
end

return errors.refuse_unknown(diagnose, "lv.diagnose")
