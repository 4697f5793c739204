-- The Bjøntegaard delta rate (ITU-T VCEG-M33), with the piecewise cubic fit that replaced the
-- single polynomial.
local errors <const> = require "lunerv.errors"

-- Points by rising PSNR: x, PSNR in dB; y, log10 of the rate. A point that costs more than a better
-- one is dropped.
local function curve(points)
  local sorted = {}
  for _, point in ipairs(points) do
    sorted[#sorted + 1] = { x = point.psnr, y = math.log(point.bpp, 10) }
  end
  table.sort(sorted, function(a, b) return a.x < b.x end)
  local x, y = {}, {}
  for i = #sorted, 1, -1 do
    local point = sorted[i]
    if not x[1] or point.x < x[1] and point.y < y[1] then
      table.insert(x, 1, point.x)
      table.insert(y, 1, point.y)
    end
  end
  return x, y
end

-- The slope at an end, from a parabola through three points, limited to stay monotone.
local function end_slope(h0, h1, d0, d1)
  local slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
  if slope * d0 <= 0 then return 0 end
  if d0 * d1 <= 0 and math.abs(slope) > 3 * math.abs(d0) then return 3 * d0 end
  return slope
end

-- Slopes of the monotone cubic (Fritsch and Butland 1984, as in PCHIP).
local function slopes(x, y)
  local n, h, d = #x, {}, {}
  for i = 1, n - 1 do
    h[i] = x[i + 1] - x[i]
    d[i] = (y[i + 1] - y[i]) / h[i]
  end
  if n == 2 then return { d[1], d[1] } end
  local m = { end_slope(h[1], h[2], d[1], d[2]) }
  for i = 2, n - 1 do
    if d[i - 1] * d[i] <= 0 then
      m[i] = 0
    else
      local a, b = 2 * h[i] + h[i - 1], h[i] + 2 * h[i - 1]
      m[i] = (a + b) / (a / d[i - 1] + b / d[i])
    end
  end
  m[n] = end_slope(h[n - 1], h[n - 2], d[n - 1], d[n - 2])
  return m
end

-- The integral of the fit through `points` from `low` to `high`: Simpson's rule, exact for cubics.
local function integral(x, y, low, high)
  local m, total = slopes(x, y), 0
  for i = 1, #x - 1 do
    local from, to = math.max(low, x[i]), math.min(high, x[i + 1])
    if from < to then
      local h = x[i + 1] - x[i]
      local function at(position)
        local t = (position - x[i]) / h
        local u = 1 - t
        return (1 + 2 * t) * u * u * y[i] + t * u * u * h * m[i]
          + t * t * (3 - 2 * t) * y[i + 1] - t * t * u * h * m[i + 1]
      end
      total = total + (to - from) / 6 * (at(from) + 4 * at((from + to) / 2) + at(to))
    end
  end
  return total
end

--- The BD-rate: by how many percent the rate of one codec differs from another's at the same PSNR.
--- Negative is better. Each curve has at least two points, in any order.
---
---     local percent = assert(lv.bd_rate(
---       { { bpp = 0.1, psnr = 30 }, { bpp = 0.2, psnr = 33 } },
---       { { bpp = 0.08, psnr = 30 }, { bpp = 0.17, psnr = 33 } }))
---
---@param anchor table[]  the reference: a list of { bpp =, psnr = }
---@param tested table[]  the codec to judge: a list of the same form
---@return number?  percent; nil if the curves share no range of PSNR
---@return number|lunerv.Error  the shared range of PSNR, in decibels, or the error
return function(anchor, tested)
  for i, points in ipairs { anchor, tested } do
    if type(points) ~= "table" then
      errors.raise("bd_rate: argument %d: expected a list of { bpp, psnr }", i)
    end
  end
  local ax, ay = curve(anchor)
  local tx, ty = curve(tested)
  if #ax < 2 or #tx < 2 then
    return errors.failure "bd_rate: expected two points of rising rate and PSNR"
  end
  local low, high = math.max(ax[1], tx[1]), math.min(ax[#ax], tx[#tx])
  if low >= high then return errors.failure "bd_rate: the curves share no range of PSNR" end
  local mean = (integral(tx, ty, low, high) - integral(ax, ay, low, high)) / (high - low)
  return 100 * (10 ^ mean - 1), high - low
end
