-- lv.models: the decoders of the papers, by kind: lv.models.hnerv_boost { clip = clip, … }.
local kinds <const> = require "lunerv.models.kinds"
local options <const> = require "lunerv.options"

local models <const> = { kinds = kinds.names }

-- The model that a `config` (of a checkpoint, or model.config) describes, freshly initialised.
function models.build(config)
  local given = options.copy(config)
  given.kind, given.largest_kernel, given.expansion = nil, nil, nil
  return models[config.kind](given)
end

return setmetatable(models, {
  __index = function(self, kind)
    local class = require("lunerv.models." .. kinds.of(kind).name)
    rawset(self, kind, class)
    return class
  end,
})
