-- lunerv run scripts/verify.lua FILE.safetensors: compares our model with figures measured on the
-- authors' program. Prints each comparison; fails if one disagrees.
local errors <const> = require "lunerv.errors"
local lv <const> = require "lunerv"

local path <const> = arg[1]
if not path or arg[2] or path:match "^%-" then
  errors.usage("usage: lunerv run scripts/verify.lua FILE.safetensors")
end

local tensors <const>, metadata <const> = lv.load_safetensors(path)
if not tensors then error(metadata, 0) end

local golden <const> = lv.verify(tensors, metadata)

function golden.report(name, deviation, tolerance, agrees)
  print(("%-62s error %.3e  tolerance %.1e  %s"):format(
    name, deviation, tolerance, agrees and "ok" or "FAIL"))
end

golden:check()

print(("%s: %d comparisons, %d disagreements"):format(
  golden.kind, golden.compared, golden.disagreed))
if golden.disagreed > 0 then
  error(("%d of %d comparisons disagree with %s"):format(
    golden.disagreed, golden.compared, path), 0)
end
