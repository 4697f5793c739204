-- Temporary replacements of tensors in fields of modules.
local replaced <const> = {}

-- The current replacements, outermost first: lists of { module, key, tensor }.
local all <const> = {}

local Guard <const> = {
  __close = function(guard)
    for i = #guard, 1, -1 do
      local place = guard.places[i]
      rawset(place[1], place[2], guard[i])
    end
    for i = #all, 1, -1 do
      if all[i] == guard.places then
        table.remove(all, i)
        break
      end
    end
  end,
}

-- Puts tensors, a list of { module, key, tensor }, into existing fields while the returned
-- to-be-closed variable lives.
function replaced.put(places)
  local guard = setmetatable({ places = places }, Guard)
  all[#all + 1] = places
  for i, place in ipairs(places) do
    guard[i] = rawget(place[1], place[2])
    rawset(place[1], place[2], place[3])
  end
  return guard
end

-- All current replacements, for `call`.
function replaced.current() return table.move(all, 1, #all, 1, {}) end

-- Calls f(...) with the replacements that `current` returned earlier.
function replaced.call(earlier, f, ...)
  if #earlier == 0 then return f(...) end
  local guards <close> = setmetatable({}, {
    __close = function(list)
      for i = #list, 1, -1 do Guard.__close(list[i]) end
    end,
  })
  for i, places in ipairs(earlier) do guards[i] = replaced.put(places) end
  return f(...)
end

return replaced
