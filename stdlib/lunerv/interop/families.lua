-- What the published programs define for each family of kinds: the files nerv, enerv and hnerv.
--
--   mark           a tensor that no other family has
--   names          the rules for the names of parameters (interop/names.lua)
--   read(o, tensors)   puts the options that follow from shapes into `o`
--   time           the layer that takes the encoded time
--   first_block    the prefix of the names of the first boosted block
--   encoded        how many encodings the layers of a name take
--   cells(tensors, fc_dim)   the number of cells of the first map, if shapes say
--   program        the family's own program, if there is one in addition to the boosting program
--   for_program(list, model)   parameters in the form of that program, if files are written for it
local errors <const> = require "lunerv.errors"
local kinds <const> = require "lunerv.models.kinds"
local names <const> = require "lunerv.interop.names"
local shapes <const> = require "lunerv.interop.shapes"

local families <const> = {}

-- The family of a kind of model.
function families.of(kind)
  local own = kinds.by_name[kind]
  if not (own and own.family) then
    errors.raise("interop: no published names are known for '%s'", tostring(kind))
  end
  return require("lunerv.interop." .. own.family)
end

--- The name of a parameter in the published programs; nil if they do not store it.
---
---     print(lv.interop.published_name("hnerv", "head.weight"))   -- head_layer.weight
---
---@param kind string  a kind of model, such as "hnerv_boost"
---@param name string  as model:named_parameters() gives it
---@return string?
function families.published(kind, name) return names.translate(name, families.of(kind).names) end

--- The kind of model that tensors with published names belong to.
---
---     local kind = lv.interop.kind_of(lv.load_safetensors "theirs.safetensors")
---
---@param tensors table  tensors by name
---@return string
function families.kind(tensors)
  local boosted, marks = false, {}
  for name in pairs(tensors) do boosted = boosted or name:find(".sft_block.", 1, true) ~= nil end
  for _, kind in ipairs(kinds.list) do
    if kind.family and kind.boosted == boosted then
      local mark = families.of(kind.name).mark
      if tensors[mark] then return kind.name end
      table.insert(marks, 1, mark)
    end
  end
  errors.data("interop: not the parameters of a published kind: expected %s",
    table.concat(marks, " or "))
end

-- The options of our model of `kind` that fit these tensors, except those that do not follow from
-- shapes (frame sizes, the activation).
function families.options(kind, tensors)
  local o, own, theirs = {}, kinds.by_name[kind], families.of(kind)
  theirs.read(o, tensors)
  if own.encodes_time then o.pe_levels = shapes.size(tensors, theirs.time, 2) // 2 end
  if own.boosted then
    o.ch_t = shapes.size(tensors,
      theirs.first_block .. "sft_block.sft0.SFT_scale_conv0.weight", 1)
  end
  return o
end

return families
