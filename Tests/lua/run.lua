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

for _, name in ipairs(#arg > 0 and arg or all) do require("test_" .. name) end

print(("%d tests passed, %d failed"):format(harness.passed, harness.failed))
if harness.failed > 0 then error(harness.failed .. " tests failed", 0) end
