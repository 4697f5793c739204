-- Where the parameters are that a file holds: all but those of a model's `encoder`, which makes
-- embeddings and stays behind.
local slots <const> = {}

-- A list of { name, tensor, places }: `places` are the modules and fields that hold the tensor.
function slots.of(model)
  local list, by_tensor = {}, {}
  for name, tensor in model:named_parameters() do
    if not name:match "^encoder%." then
      local slot = { name = name, tensor = tensor, places = {} }
      list[#list + 1], by_tensor[tensor] = slot, slot
    end
  end
  for _, module in ipairs(model:modules()) do
    for key, value in next, module do
      local slot = by_tensor[value]
      if slot then slot.places[#slot.places + 1] = { module, key } end
    end
  end
  return list
end

local function put(slot, tensor)
  for _, place in ipairs(slot.places) do rawset(place[1], place[2], tensor) end
end

-- Puts other tensors in the place of a model's parameters for as long as the returned value, which
-- must be a to-be-closed variable, lives: local _ <close> = slots.swap(list, tensors).
function slots.swap(list, tensors)
  local guard = setmetatable({}, {
    __close = function()
      for _, slot in ipairs(list) do put(slot, slot.tensor) end
    end,
  })
  for i, slot in ipairs(list) do put(slot, tensors[i]) end
  return guard
end

return slots
