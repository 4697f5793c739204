-- Settings of a model before it is built: its options by name, `kind`, and `chosen`, the set of the
-- options that the user chose.
local errors <const> = require "lunerv.errors"
local models <const> = require "lunerv.models"
local options <const> = require "lunerv.options"

local settings <const> = {}

-- Builds a model of these settings for a clip; `changes` override them.
function settings.build(given, clip, changes)
  local own = options.copy(given)
  for name, value in pairs(changes or {}) do own[name] = value end
  own.clip, own.preset, own.kind, own.chosen = clip, nil, nil, nil
  return models[given.kind](own)
end

-- Whether option `name` is at the default of its kind of model, and the user did not choose that.
function settings.is_usual(given, name)
  if given.chosen and given.chosen[name] then return false end
  local usual = options.default(name, given.kind)
  return usual ~= nil and options.same(given[name], usual)
end

-- As published, the layers before the trunk hold most of the parameters of a small NeRV or E-NeRV.
-- The trunk makes better use of them (stdlib/docs/experiments.md). Per kind: the option that sets
-- the width of those layers, the widths to try, and their largest share of the parameters.
local front <const> = { nerv = "stem_dim", enerv = "block_dim" }
local front_widths <const> = { 64, 32, 24, 16, 8 }
local front_share <const> = 0.3

local function share_of_front(model)
  local count, all = 0, 0
  for name, parameter in model:named_parameters() do
    all = all + parameter:numel()
    local is_trunk = name:match "^stages%." or name:match "^head%." or name:match "^affines%."
      or name:match "^time%."
    if not is_trunk then count = count + parameter:numel() end
  end
  return count / all
end

-- The option that sets the width before the trunk; nil if there is none, or if the user chose the
-- width.
function settings.front_option(given)
  local name = front[given.kind:match "^e?nerv"]
  return name and settings.is_usual(given, name) and name or nil
end

-- The largest of the widths that leaves enough parameters to the trunk. The settings hold the
-- parameter count.
function settings.front_width(given, clip, name)
  local narrowest = given[name]
  for _, width in ipairs(front_widths) do
    local ok, model = errors.attempt(settings.build, given, clip, { [name] = width })
    if ok then
      narrowest = width
      if share_of_front(model) <= front_share then break end
    end
  end
  return narrowest
end

return settings
