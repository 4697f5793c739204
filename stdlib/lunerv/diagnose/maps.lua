-- Feature maps: how much their channels differ, and pictures of them.
local native <const> = require "lunerv.native"

local maps <const> = {}

--- The effective number of channels of a feature map: c² over the sum of squares of their
--- correlations.
--- It is 1 when all channels show the same, and c when they are uncorrelated. Constant channels do
--- not count.
---
---@param map lunerv.Tensor  (1, c, h, w)
---@return number
function maps.diversity(map)
  return native.no_grad(function()
    local c, places = map:size(2), map:size(3) * map:size(4)
    local x = map:view(c, places)
    x = (x - x:mean(2, true)):evaluate()
    local norms = (x * x):sum(2, true):sqrt()
    local varying = norms:gt(1e-12 * places ^ 0.5)
    local count = varying:sum():item()
    if count == 0 then return 0 end
    x = (x / (norms + (1 - varying)) * varying):evaluate()
    local correlation = x:matmul(x:transpose(1, 2))
    return count ^ 2 / (correlation * correlation):sum():item()
  end)
end

local least_width <const>, most_width <const> = 120, 240 -- of a channel in the picture
local most_channels <const>, across <const>, gap <const> = 24, 6, 4

-- One image per channel, (c, h, w) → (c, h', w'), enlarged by whole pixels or reduced by averaging.
local function fitted(x)
  local c, h, w = x:size(1), x:size(2), x:size(3)
  if w < least_width then
    local by = (least_width + w - 1) // w
    return x:view(c, h, 1, w, 1):expand(c, h, by, w, by):view(c, h * by, w * by)
  end
  local by = math.min((w + most_width - 1) // most_width, h)
  if by == 1 then return x end
  local rows, columns = h // by, w // by
  return x:slice(2, 1, rows * by):slice(3, 1, columns * by)
    :view(c, rows, by, columns, by):mean(5):mean(3)
end

--- The channels of a feature map side by side as an image: up to 24, each from its own minimum,
--- black, to its maximum, white.
---
---     lv.image.write("map.png", lv.diagnose.picture(parts[2].map))
---
---@param map lunerv.Tensor  (1, c, h, w)
---@return lunerv.Tensor  (1, 3, height, width)
function maps.picture(map)
  return native.no_grad(function()
    local c = math.min(map:size(2), most_channels)
    local x = map:slice(2, 1, c):view(c, map:size(3), map:size(4)):evaluate()
    x = fitted(x):evaluate()
    local low = x:view(c, -1):amin(2, true):view(c, 1, 1)
    local high = x:view(c, -1):amax(2, true):view(c, 1, 1)
    x = ((x - low) / (high - low + 1e-12)):evaluate()
    local h, w = x:size(2), x:size(3)
    local rows = {}
    for first = 1, c, across do
      local cells = {}
      for k = 0, across - 1 do
        local cell = first + k <= c and x:select(1, first + k):view(1, 1, h, w)
          or native.ones(1, 1, h, w)
        cells[k + 1] = 1 - (1 - cell):pad { top = 0, bottom = gap, left = 0, right = gap }
      end
      rows[#rows + 1] = native.cat(cells, 4)
    end
    local picture = native.cat(rows, 3)
    return picture:expand(1, 3, picture:size(3), picture:size(4)):evaluate()
  end)
end

return maps
