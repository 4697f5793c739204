-- lunerv run scripts/bench/charges.lua [LEAST]: processor time of every pure operator
-- and the time that its charge stands for, at several sizes. Programs in files are given time by
-- what their work charges: an operator far above 1 lets them run longer than intended, one
-- far below ends them early.
local native <const> = require "lunerv.native"

local folder <const> = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = folder .. "/../../Tests/lua/?.lua;" .. package.path
local calls <const> = require "operator_calls"

if arg[1] == "--help" then
  print "lunerv run scripts/bench/charges.lua [LEAST]: calls whose ratio is at least that (0.5)"
  return
end
local least_ratio <const> = tonumber(arg[1] or 0.5)
local sizes <const> = { 4, 1000, 10000, 1000000 }

-- What a decoder's processor seconds are computed with (DecoderLimits).
local units_per_second <const> = 5e8

-- Seconds of processor time that a call takes, the least of a few tries, and its units.
local function measured(call)
  local least, units, tries, spent = math.huge, 0, 0, 0
  while tries < 3 or spent < 0.02 and tries < 200 do
    local began = os.clock()
    units = native.work_charged(function() calls.run(call) end)
    local took = os.clock() - began
    least, tries, spent = math.min(least, took), tries + 1, spent + took
    if spent > 2 then break end
  end
  return least, units
end

local rows <const>, worst <const> = {}, {}
for _, size in ipairs(sizes) do
  for _, call in ipairs(calls.of_size(size)) do
    local seconds, units = measured(call)
    local ratio = seconds / (units / units_per_second)
    local name = type(call[1]) == "string" and call[1] or "…"
    rows[#rows + 1] = { name = name, what = call[2], size = size, seconds = seconds,
      units = units, ratio = ratio }
    worst[name] = math.max(worst[name] or 0, ratio)
  end
end
table.sort(rows, function(a, b) return a.ratio > b.ratio end)
print "  ratio     size        units      seconds  operator"
for _, row in ipairs(rows) do
  if row.ratio >= least_ratio then
    print(("%7.2f %8d %12d %12.3g  %s %s"):format(row.ratio, row.size, row.units, row.seconds,
      row.name, row.what))
  end
end
local missing = {}
for _, name in ipairs(native.pure_operators) do
  if not worst[name] then missing[#missing + 1] = name end
end
print(("%d calls of %d operators; never called: %s"):format(#rows, #native.pure_operators,
  #missing > 0 and table.concat(missing, " ") or "none"))
