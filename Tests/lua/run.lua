-- lunerv run Tests/lua/run.lua [NAME …]: tests of the standard library; all, or those named.
local folder <const> = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = folder .. "/?.lua;" .. package.path
local harness <const> = require "harness"

local all <const> = {
  "embedding", "names", "options", "numbers", "indexing", "modules", "blocks", "boost", "schedule",
  "models", "kinds", "interop", "video", "train", "optim", "recipes", "compress", "program", "rate",
  "segments", "batches", "tasks", "diagnose", "examples", "verify", "twin", "bench", "quality",
  "plot", "report", "robust",
}

for _, name in ipairs(#arg > 0 and arg or all) do require("test_" .. name) end

print(("%d tests passed, %d failed"):format(harness.passed, harness.failed))
if harness.failed > 0 then error(harness.failed .. " tests failed", 0) end
