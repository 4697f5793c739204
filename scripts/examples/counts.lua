-- counts.lua: a probability model of weights, for lv.codec.write { model = }. It counts the codes
-- so far, and a tensor starts with the counts of the previous one of its rank. Everything is an
-- integer, so that every machine gets the same frequencies.
local reach <const>, unit <const> = 40, 24

-- The previous counts, scaled to the weight of twenty codes; without them, a peak at 0.
local function start(before)
  local counts, sum = {}, 0
  for at = 1, 2 * reach + 1 do
    local code = at - reach - 1
    counts[at] = before and before[at] or 1 + 480 // (1 + code * code // 8)
    sum = sum + counts[at]
  end
  local whole = 20 * unit
  for at, count in ipairs(counts) do counts[at] = 1 + count * whole // math.max(sum, whole) end
  return counts
end

local known = {}

-- Called for each tensor, in order.
return function(_, shape, index)
  if index == 1 then known = {} end
  if #shape == 1 then return nil end -- biases are few: lunerv finds their distribution
  local counts <const> = start(known[#shape])
  known[#shape] = counts
  return {
    family = "own", first = -reach,
    -- Frequencies are computed from the counts once per context: after four codes, later after 64.
    context = function(seen, i)
      local at = (seen[i - 1] or reach + 1) + reach + 1
      if counts[at] then counts[at] = counts[at] + unit end
      return i < 64 and i // 4 or 16 + i // 64
    end,
    weights = function() return counts end,
  }
end
