-- Recipes: how to train on a clip, as plain Lua. A recipe is a file that returns a table:
--
--   about     one line for people
--   options   the values of options that the user did not give: a table by name, or a function
--             (kind, command) that returns one, for a kind of model in a command (compress_file,
--             rd_curve, regress, …; nil for lv.train). The kind is nil for ablate, which has
--             several. Names are those of the command line: for
--             the model (head_scale, ch_t, …), for training (optimiser, lr, schedule, loss,
--             guard, …), and for the passes with priced bits (compress_optimiser, lambda, …).
--   model     a function (settings, clip) that may change the settings of a model of the kind
--             settings.kind before it is built, if no budget sets the network size;
--             settings.chosen is the set of the options that the user chose
--
-- Functions are allowed where lv.train takes them:
--   optimiser, compress_optimiser   function (model, { lr = }) → optimiser, including groups
--   schedule, compress_schedule     function (step, steps, lr) → learning rate
--   loss                            function (output, image, frame, share) → scalar tensor; `share`
--                                   is the completed fraction of the training, from 0 to below 1
--
-- `--recipe fast` names one of lunerv's, `--recipe ./mine.lua` a file: copy fast.lua, change it.
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local native <const> = require "lunerv.native"

local recipes <const> = {}

recipes.names = { "fast", "published" }

local loaded <const> = {}

-- FNV-1a: detects whether a recipe has changed since a run started.
local function fingerprint(text)
  local hash = 0xcbf29ce484222325
  for i = 1, #text do hash = (hash ~ text:byte(i)) * 0x100000001b3 end
  return ("%016x"):format(hash)
end

local function is_known(name)
  for _, known in ipairs(recipes.names) do
    if name == known then return true end
  end
  return false
end

local function from_file(path)
  local text, unread = native.read_file(path)
  if not text then
    errors.fail(native.exists(path) and "io" or "usage", "recipe: %s", unread)
  end
  local chunk, problem = load(text, "@" .. path, "t")
  if not chunk then errors.fail("usage", "recipe: %s", problem) end
  return chunk(), ("%s (%s)"):format(path:match "[^/]+$", fingerprint(text))
end

-- The recipe of that name or path: { about, options, model, identity }. `identity` is the text that
-- represents it in a checkpoint.
function recipes.get(name)
  if loaded[name] then return loaded[name] end
  local recipe, identity
  if is_known(name) then
    recipe, identity = require("lunerv.recipes." .. name), name
  elseif name:find "[./]" then
    recipe, identity = from_file(name)
  else
    errors.fail("usage", "recipe: expected one of %s or a file's path, got '%s'%s",
      table.concat(recipes.names, ", "), name, names.meant(name, recipes.names))
  end
  if type(recipe) ~= "table" then
    errors.fail("usage", "recipe: expected %s to return a table, got %s", name,
      type(recipe))
  end
  local result = { about = recipe.about, options = recipe.options or {}, model = recipe.model,
    identity = identity }
  loaded[name] = result
  return result
end

-- The options of recipe `name` (nil: none) for a model of `kind` in `command`, by name.
function recipes.options(name, kind, command)
  if not name then return {} end
  local options = recipes.get(name).options
  if type(options) == "function" then options = options(kind, command) end
  if type(options) ~= "table" then
    errors.fail("usage", "recipe %s: options: expected a table, or a function that returns one, "
      .. "got %s", name, errors.type_of(options))
  end
  return options
end

-- Changes `settings`, the options of a model of `kind` for `clip`, as recipe `name` (nil: none)
-- does. `chosen` is the set of the options that the user chose, if it is known.
function recipes.change(name, settings, kind, clip, chosen)
  local model = name and recipes.get(name).model
  if not model then return end
  settings.kind, settings.chosen = kind, chosen
  model(settings, clip)
  settings.kind, settings.chosen = nil, nil
end

-- The text for recipe `name` in a checkpoint; nil for none.
function recipes.identity(name) return name and recipes.get(name).identity end

return recipes
