-- The width of a decoder for a number of parameters.
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"

local budget <const> = {}

-- The widest first layer: a budget must not ask for an absurd size.
local widest <const> = 65536

-- The published rule: the largest root, truncated, of a·x² + b·x − (10⁶·size − embeddings) = 0.
-- It ignores conditioning, repeats, expansion and the kernel cap. `linear` is b; `o` holds strides,
-- ks and reduce; no width is below `least`.
-- An error suggests what would make the model fit. `channels` are the embedding's, nil where there
-- is none.
function budget.published_width(o, size, embeddings, linear, least, channels)
  local r, a = 1 / o.reduce, 0
  for i, stride in ipairs(geometry.trunk(o)) do
    a = a + r * r ^ (2 * (i - 1)) * stride ^ 2 * math.min(o.ks[2] + 2 * (i - 1), o.ks[3]) ^ 2
  end
  local room = 1e6 * size - embeddings
  local width = room > 0 and (math.sqrt(linear ^ 2 + 4 * a * room) - linear) / (2 * a) // 1 or 0
  if width < least then
    local decoder = a * least ^ 2 + linear * least
    local needed, fitting = math.ceil((decoder + embeddings) / 100) / 1e4, nil
    if channels then fitting = (1e6 * size - decoder) * channels // embeddings | 0 end
    errors.data("models.%s: size: expected at least %g (million parameters) for strides %s%s, got "
      .. "%g: raise size%s%s", o.kind, needed, table.concat(o.strides, ","), channels
      and (" and enc_dim %g,%d"):format(o.enc_dim[1], channels) or "", size, fitting
      and fitting >= 1 and (", or lower enc_dim to %g,%d"):format(o.enc_dim[1], fitting) or "",
      channels and "" or ", or give fewer or larger strides")
  end
  if width > widest then
    errors.data("models.%s: size: expected one whose layers are at most %d wide, got %g (million "
      .. "parameters): lower size", o.kind, widest, size)
  end
  return math.tointeger(width)
end

-- The largest width, from `least` on, for which `count(width)` is at most `limit`. The count grows
-- with the width but may drop at `drop`. If there is none, nil and the smallest count. Counting
-- takes milliseconds, so the search guesses: the root of the count is nearly linear in the width.
function budget.exact_width(limit, count, least, drop)
  local function root(width) return math.sqrt(math.max(count(width), 1)) end
  local aim, low, high, at_high = math.sqrt(limit), least, nil, nil
  local at_low = root(least)
  local guess = at_low <= aim and math.ceil(1.1 * least * aim / at_low) + 1
  while guess and not high and low < widest do
    guess = math.min(guess, widest)
    local at = root(guess)
    if at > aim then high, at_high = guess, at else low, at_low, guess = guess, at, 2 * guess end
  end
  local halve = false
  while high and high - low > 1 do
    local share = halve and 0.5 or (aim - at_low) / (at_high - at_low)
    local width = math.max(low + 1, math.min(high - 1, low + (share * (high - low)) // 1 | 0))
    local at = root(width)
    -- If a guess does not halve the remaining range, the next one does.
    local left = high - low
    if at > aim then high, at_high = width, at else low, at_low = width, at end
    halve = high - low > left // 2
  end
  if drop and drop > low and count(drop) <= limit then return drop end
  if guess then return low end
  return nil, count(least)
end

return budget
