-- lv.models: the decoders of the papers, by kind: lv.models.hnerv_boost { clip = clip, … }.
local errors <const> = require "lunerv.errors"
local kinds <const> = require "lunerv.models.kinds"
local options <const> = require "lunerv.options"

-- `kinds`: the names of the kinds, in the order in which they are listed.
local models <const> = { kinds = kinds.names }

--- The untrained model of a configuration.
---
---     local again = lv.models.build(model.config)
---
---@param config table  model.config, or that of a checkpoint
---@return lunerv.Module
function models.build(config)
  if type(config) ~= "table" or config.class_name then
    errors.raise("models.build: expected a configuration, got %s", type(config) == "table"
      and config.class_name .. ": its configuration is model.config" or type(config))
  end
  local given = options.copy(config)
  given.kind, given.largest_kernel, given.expansion = nil, nil, nil
  return models[kinds.of(config.kind, "models.build").name](given)
end

-- The names of lv.models, including kinds that are not loaded yet.
local function known()
  local list = { "build", "kinds" }
  for _, name in ipairs(kinds.names) do list[#list + 1] = name end
  return list
end

return setmetatable(models, {
  __index = function(self, kind)
    if not kinds.by_name[kind] then
      errors.raise("lv.models has no '%s'%s", tostring(kind), errors.meant(kind, known()))
    end
    local class = require("lunerv.models." .. kind)
    rawset(self, kind, class)
    return class
  end,
  __names = known,
})
