-- lv.models: the decoders of the papers, by kind: lv.models.hnerv_boost { clip = clip, … }.
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"

local models <const> = { kinds = options.kinds }

-- The model that a `config` (of a checkpoint, or model.config) describes, freshly initialised.
function models.build(config)
  local given = {}
  for key, value in pairs(config) do given[key] = value end
  given.kind, given.largest_kernel, given.expansion = nil, nil, nil
  return models[config.kind](given)
end

return setmetatable(models, {
  __index = function(self, kind)
    for _, known in ipairs(options.kinds) do
      if known == kind then
        local class = require("lunerv.models." .. kind)
        rawset(self, kind, class)
        return class
      end
    end
    errors.raise("unknown model '%s' (known: %s)", tostring(kind), errors.list(options.kinds))
  end,
})
