-- lunerv run Tests/lua/run.lua [NAME … | --part K/N]: tests of the standard library: all, those
-- named, or every N-th file from the K-th, for N processes at once.
local folder <const> = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = folder .. "/?.lua;" .. package.path
local harness <const> = require "harness"
local native <const> = require "lunerv.native"

-- Every test_NAME.lua next to this file.
local all <const> = {}
for _, name in ipairs(assert(native.list_dir(folder))) do
  all[#all + 1] = name:match "^test_(.*)%.lua$"
end
table.sort(all)

-- The files that take longest, first: parts take about the same time.
local slowest <const> = { "ranks", "rate", "hostile", "segments", "camera", "program_hostile",
  "compress", "bench", "own_models", "tasks", "docs", "confined" }
local place <const> = {}
for i, name in ipairs(slowest) do place[name] = i end

local function part_of(k, n)
  table.sort(all, function(a, b)
    local first, second = place[a] or math.huge, place[b] or math.huge
    if first ~= second then return first < second end
    return a < b
  end)
  local list = {}
  for i = k, #all, n do list[#list + 1] = all[i] end
  return list
end

local chosen = #arg > 0 and arg or all
if arg[1] == "--part" then
  local k, n = (arg[2] or ""):match "^(%d+)/(%d+)$"
  if not k then error("--part: expected K/N", 0) end
  chosen = part_of(math.tointeger(tonumber(k)), math.tointeger(tonumber(n)))
end

local took <const> = {}
for _, name in ipairs(chosen) do
  local began = native.time()
  require("test_" .. name)
  took[#took + 1] = { name = name, seconds = native.time() - began }
end
table.sort(took, function(a, b) return a.seconds > b.seconds end)
for i = 1, math.min(#took, 8) do
  took[i] = ("%s %.0f s"):format(took[i].name, took[i].seconds)
end
print("slowest files: " .. table.concat(took, ", ", 1, math.min(#took, 8)))

print(("%d tests passed, %d failed"):format(harness.passed, harness.failed))
if harness.failed > 0 then error(harness.failed .. " tests failed", 0) end
