-- The parameters in a file: all but those of a model's `encoder`, which makes embeddings and is not
-- stored.
local slots <const> = {}

-- A list of { name =, tensor = }.
function slots.of(model)
  local list = {}
  for name, tensor in model:named_parameters() do
    if not name:match "^encoder%." then list[#list + 1] = { name = name, tensor = tensor } end
  end
  return list
end

-- Tensors in the order of such a list, by name.
function slots.by_name(list, tensors)
  local named = {}
  for i, slot in ipairs(list) do named[slot.name] = tensors[i] end
  return named
end

return slots
