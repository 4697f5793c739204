-- lunerv run Tests/lua/run.lua [NAME …]: tests of the standard library; all, or those named.
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

local took <const> = {}
for _, name in ipairs(#arg > 0 and arg or all) do
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
