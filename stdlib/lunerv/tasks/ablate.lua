-- Ablations: fits and compresses every variant of a plan, and tabulates the results.
local checkpoint <const> = require "lunerv.checkpoint"
local compress <const> = require "lunerv.compress"
local csv <const> = require "lunerv.csv"
local errors <const> = require "lunerv.errors"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local plans <const> = require "lunerv.tasks.plans"
local plot <const> = require "lunerv.plot"
local recipes <const> = require "lunerv.recipes"
local saved <const> = require "lunerv.saved"
local segment_files <const> = require "lunerv.compress.segment_files"

local function write(path, text)
  errors.must(native.write_file(path, text))
end

-- Variants ----------------------------------------------------------------------------------

-- Options that say where and how to run, and do not affect the result.
local without_effect <const> = { "out", "resume", "threads", "cache", "checkpoint_every",
  "checkpoint_steps", "plan", "chosen" }

-- The options on which a variant's result depends.
local function facts_of(o)
  local facts = options.copy(o)
  for _, name in ipairs(without_effect) do facts[name] = nil end
  for name, value in pairs(facts) do facts[name] = options.plain(value) end
  facts.recipe = recipes.identity(o.recipe)
  return facts
end

-- The options on which a variant's fit depends, as text: variants that differ only in compression
-- share one fit.
local function fitting_of(o)
  local facts = facts_of(compress.train_options(o))
  for name, value in pairs(compress.model_options(o)) do facts[name] = value end
  facts.model = o.model
  return native.json_encode(facts)
end

local function model_of(clip, o)
  local settings = compress.model_options(o, clip)
  settings.clip = clip
  return models[o.model](settings)
end

-- Reuses the finished fit of another variant.
local function share_fit(from, to)
  local path = checkpoint.newest_path(from)
  -- It may have been deleted to save space; then the variant fits its own.
  if not path or checkpoint.newest_path(to) then return end
  native.work_folder(to)
  write(to .. "/" .. path:match "[^/]+$", (assert(native.read_file(path))))
end

-- Runs one variant in its folder; returns its row of the table.
local function run(clip, variant, fits, say)
  local o = options.copy(variant.options)
  local out = o.out
  local stored, facts = saved.table(out .. "/result.json"), facts_of(o)
  if o.resume and stored then
    say(("%s: already done"):format(variant.name))
    fits[fitting_of(o)] = out .. "/fit"
    return stored
  end

  -- Results must not depend on earlier variants.
  native.seed(o.seed)
  local key = fitting_of(o)
  if fits[key] then
    if not o.resume then
      checkpoint.set_aside(out .. "/fit")
      checkpoint.set_aside(out .. "/small")
    end
    share_fit(fits[key], out .. "/fit")
    o.resume = true
  end
  local file = errors.must(compress.file(out .. "/clip.lnv", clip, o, function(line)
    say(variant.name .. ": " .. line)
  end))
  fits[key] = out .. "/fit"

  local fitted = assert(saved.table(out .. "/fit/metrics.json"))
  local row = {
    name = variant.name, model = o.model, parameters = fitted.parameters_stored,
    psnr = fitted.psnr, ms_ssim = fitted.ms_ssim, history = fitted.history,
    bytes = file.bytes, bpp = file.bpp, psnr_file = file.psnr_8bit, ms_ssim_file = file.ms_ssim,
    seconds = file.seconds, options = facts,
  }
  write(out .. "/result.json", native.json_encode(row) .. "\n")
  return row
end

-- Tables ------------------------------------------------------------------------------------

local columns <const> = {
  { "variant", "name", "%s" }, { "model", "model", "%s" }, { "parameters", "parameters", "%d" },
  { "PSNR", "psnr", "%.2f" }, { "gain, dB", "gain", "%+.2f" }, { "MS-SSIM", "ms_ssim", "%.4f" },
  { "bytes", "bytes", "%d" }, { "bpp", "bpp", "%.4f" }, { "PSNR of file", "psnr_file", "%.2f" },
  { "MS-SSIM of file", "ms_ssim_file", "%.4f" }, { "seconds", "seconds", "%.1f" },
}

local function cells(row)
  local list = {}
  for i, column in ipairs(columns) do
    local value = row[column[2]]
    list[i] = value and column[3]:format(value) or i == 3 and "failed" or ""
  end
  return list
end

-- The rows as a Markdown table, and as CSV.
local function tables(rows)
  local heads, rules = {}, {}
  for i, column in ipairs(columns) do
    heads[i], rules[i] = column[1], i < 3 and "---" or "---:"
  end
  local text = { "| " .. table.concat(heads, " | ") .. " |",
    "| " .. table.concat(rules, " | ") .. " |" }
  local named = {}
  for k, row in ipairs(rows) do
    local list = cells(row)
    text[#text + 1] = "| " .. table.concat(list, " | ") .. " |"
    named[k] = {}
    for i, head in ipairs(heads) do named[k][head] = list[i] end
  end
  return table.concat(text, "\n") .. "\n", csv.encode(named, heads)
end

-- The differences of each row from the row it is compared with.
local function note_gains(rows)
  local by_name = {}
  for _, row in ipairs(rows) do by_name[row.name] = row end
  for _, row in ipairs(rows) do
    local other = by_name[row.against]
    row.gain = other and row.psnr and other.psnr and row.psnr - other.psnr
  end
end

-- PSNR by epoch of every row with intermediate evaluations, as a picture; nil if there is none.
local function convergence(rows)
  local picture
  for _, row in ipairs(rows) do
    local epochs, psnr = {}, {}
    for i, at in ipairs(row.history or {}) do epochs[i], psnr[i] = at.epoch, at.psnr end
    if #epochs > 1 then
      picture = picture or plot { x = { label = "epoch" }, y = { label = "PSNR, dB" } }
      picture:line(row.name, epochs, psnr)
    end
  end
  return picture
end

local function report(o, rows)
  note_gains(rows)
  native.work_folder(o.out)
  local markdown, values = tables(rows)
  write(o.out .. "/ablation.md", markdown)
  write(o.out .. "/ablation.csv", values)
  write(o.out .. "/ablation.json", native.json_encode { plan = o.plan, rows = rows } .. "\n")
  local picture = convergence(rows)
  if picture then write(o.out .. "/curves.svg", picture:svg()) end
end

-- An option that a variant's model, or every model, does not have, or that the plan varies itself,
-- would have no effect: the table would be misleading.
local function check(o, variants)
  for _, variant in ipairs(variants) do
    for name in pairs(variant.own) do
      -- Some options have a default of the command's or the recipe's, which looks the same as a
      -- given value.
      local of_recipe = recipes.options(o.recipe, nil, "ablate")[name]
      if o[name] ~= nil and o[name] ~= of_recipe
        and o[name] ~= options.default(name, nil, "ablate") then
        errors.usage("plan '%s' varies %s itself", o.plan, name)
      end
      if not options.applies(name, variant.options.model) then
        errors.usage("plan '%s' varies %s, which model '%s' does not have", o.plan,
          name, variant.options.model)
      end
    end
  end
  for name in pairs(o) do
    local applies = false
    for _, variant in ipairs(variants) do
      applies = applies or options.applies(name, variant.options.model)
    end
    if not applies then
      errors.usage("option '%s' applies to no model of plan '%s'", name, o.plan)
    end
  end
end

-- The experiment ----------------------------------------------------------------------------

--- Fits and compresses every variant of a plan, and tabulates the results.
--- If no size is given, all variants get the parameter count that the first has at its default
--- size. A variant that fails is reported and skipped. Files are OUT/N-VARIANT/…, OUT/ablation.md,
--- .csv and .json, and curves.svg with o.eval_every. With o.resume, finished variants are kept.
---
---     local rows, text, failed = lv.tasks.ablate(clip, o, print)
---     print(text)
---
---@param clip lunerv.Clip  the clip to fit
---@param o table  a result of lv.options.parse; `plan` names the plan
---@param say fun(line: string)  receives progress, line by line
---@return table[]  a row of figures for each variant
---@return string  the table, as Markdown
---@return integer  the number of variants that failed
return function(clip, o, say)
  local variants = plans.variants(o.plan, o)
  check(o, variants)
  if not (o.size or o.params or o.fc_dim or o.preset) then
    local params = model_of(clip, variants[1].options):stored_parameters()
    say(("all variants: at most %d stored parameters, as %s has"):format(params, variants[1].name))
    for _, variant in ipairs(variants) do variant.options.params = params end
  end

  for i, variant in ipairs(variants) do
    local out = ("%s/%d-%s"):format(o.out, i, variant.name)
    variant.options.out = out
    -- A later run that resumes this one must not take over anything of an earlier run.
    if not o.resume then
      if native.exists(out .. "/result.json") then native.remove(out .. "/result.json") end
      segment_files.forget(out)
    end
  end
  -- Before anything is computed, or the tables are written again.
  for _, variant in ipairs(o.resume and variants or {}) do
    local path = variant.options.out .. "/result.json"
    local stored = saved.table(path)
    if stored then checkpoint.compare("ablate", path, stored.options, facts_of(variant.options)) end
  end

  local rows, fits, failed = {}, {}, 0
  for i, variant in ipairs(variants) do
    local ok, row = errors.attempt(run, clip, variant, fits, say)
    if not ok then
      local problem = errors.reason(row)
      say(("%s failed: %s"):format(variant.name, problem))
      row = { name = variant.name, model = variant.options.model, error = problem }
      failed = failed + 1
    end
    row.against = variant.against
    rows[i] = row
    report(o, rows) -- after each variant, so that finished rows can be seen early
  end
  return rows, (tables(rows)), failed
end
