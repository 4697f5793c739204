-- The price of bits while a network trains towards a number of bytes (rate control).
--
-- The best files come from a price that hardly changes. But bits change even at a constant price:
-- they fall while weights settle, and rise when embeddings leave their encoder. So the price
-- follows the difference from what a constant price would give at that time, and slowly. The
-- measurements are in stdlib/docs/experiments.md.
local price <const> = {}

-- Bits are proportional to the price to the power of -elasticity (measured with 95,000 parameters
-- and 48 frames).
local elasticity <const> = 0.29
-- The bits per parameter at which a kind's own price is right, and the largest initial price in
-- its multiples: under a price that is too high, a network learns next to nothing.
local usual_bits <const>, most <const> = 3.5, 2
-- With at least this many steps per parameter, a network has learned enough to be limited by its
-- bits, not by the time. With fewer, the price is lower in proportion, but not below a share; and
-- not lower if bits are scarce, since a short training could not remove an excess.
local enough <const>, lowest <const> = 0.1, 0.01
local scarce <const>, plenty <const> = 2.3, 3.3

-- The share of bits that weights lose while they settle, and the steps in which that share falls
-- by a factor of e.
local unsettled <const>, settling <const> = 0.25, 350
-- The share of bits that an encoder saves, because its embeddings vary less than trained ones; the
-- excess right after it is dropped; and the passes in which that falls by a factor of e.
local saved <const>, released <const>, passes <const> = 0.025, 0.04, 5

-- The steps in which a correction takes effect. An excess must be gone at the end, because its
-- removal by rounding costs a decibel for a few percent of the bytes; a shortfall costs little.
local slow <const>, fast <const> = 600, 150
-- The largest difference that counts, as a logarithm: a single estimate may be far off.
local largest <const> = 0.3

local function course(step, steps, encoder)
  local bits = 1 + unsettled * math.exp(-step / settling)
  if not encoder then return bits end
  local since = step - encoder.ends * steps
  if since < 0 then return bits - saved end
  return bits + released * math.exp(-since / (passes * encoder.frames))
end

--- The bits after `step` of `steps` steps, relative to those at the end, if the price is constant.
--- `encoder` is { ends, frames }: the share of the training after which embeddings are trained
--- without it, and their number.
---
---@param step number
---@param steps number
---@param encoder? table
---@return number
function price.course(step, steps, encoder)
  return course(step, steps, encoder) / course(steps, steps, encoder)
end

--- The initial price relative to a kind's own, for a training of `steps` steps of a network of
--- `parameters`, which must end at `bits` per parameter.
---
---@param bits number
---@param steps integer
---@param parameters integer
---@return number
function price.initial(bits, steps, parameters)
  local learnt = math.min(math.max(steps / (enough * parameters), lowest), 1)
  local spare = math.min(math.max((bits - scarce) / (plenty - scarce), 0), 1)
  local settled = (usual_bits * course(steps, steps) / bits) ^ (1 / elasticity)
  return learnt ^ spare * math.min(most, settled)
end

--- The change of the natural logarithm of the price in a step, if the bits are `ratio` times those
--- of `course`.
---
---@param ratio number
---@param step number
---@param steps number
---@return number
function price.change(ratio, step, steps)
  local difference = math.min(math.max(math.log(ratio), -largest), largest)
  local within = math.min(slow, math.max(fast, steps / 4))
  if difference > 0 then within = math.min(within, math.max(fast, (steps - step) / 4)) end
  -- The first steps say little about the price.
  local known = 1 - math.exp(-step / settling)
  return known * difference / elasticity / within
end

return price
