-- Rounding the weights of a trained network for its file.
local native <const> = require "lunerv.native"

local rounding <const> = {}

-- Returns a function (strength, weights, steps, families) that rounds weights, already multiples of
-- their steps, with regard to their bits. A bit may cost `strength` times the squared error that
-- steps smaller by one bit would save. `sensitivities` computes the list of them on first use;
-- `origins` as in the stored description. A weight moves by one step at most: beyond that its
-- sensitivity means little. A weight of sensitivity 0 stays: in an inactive unit it does not show
-- the effect of activating it.
function rounding.by_rate(sensitivities, origins)
  local errors_of
  return function(strength, weights, steps, families)
    errors_of = errors_of or sensitivities()
    local sum, count = 0, 0
    for i, step in ipairs(steps) do
      sum, count = sum + (errors_of[i] * step * step):sum():item(), count + weights[i]:numel()
    end
    local per_bit, rounded = strength * math.log(2) / 6 * sum / count, {}
    for i, weight in ipairs(weights) do
      local values = native.round_for_rate(weight, steps[i], errors_of[i], per_bit,
        { families = families, origins = { origins[i] } })
      values = native.minimum(native.maximum(values, weight - steps[i]), weight + steps[i])
      rounded[i] = native.where(errors_of[i]:gt(0), values, weight):evaluate()
    end
    return rounded
  end
end

-- Moves `values` to the grid of the step sizes that a file stores, which are rounded; returns them
-- and these step sizes. Codes are computed with the exact step size: with the stored one, values
-- near the midpoint of two codes, where training leaves many, would get another code.
function rounding.on_stored_grid(values, step)
  step = step:abs()
  local function held(x)
    if type(x) == "number" then return native.stored_step(x) end
    local list = {}
    for i, value in ipairs(x) do list[i] = held(value) end
    return list
  end
  local steps = native.tensor(held(step:tolist()))
  return ((values / step):round() * steps):evaluate(), steps
end

return rounding
