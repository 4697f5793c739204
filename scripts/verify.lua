-- lunerv run scripts/verify.lua FILE.safetensors: compares our model with figures measured on the
-- authors' program. Prints each comparison; fails if one disagrees.
local lv <const> = require "lunerv"

local o <const> = lv.options.parse(arg, {
  usage = "lunerv run scripts/verify.lua FILE.safetensors",
  about = "Compares a model with figures that were measured on the authors' program "
    .. "(scripts/bench/make_golden.py), and prints each comparison. Fails if one disagrees.",
  positional = { "file" },
})
if not o then return end

local tensors <const>, metadata <const> = lv.load_safetensors(o.file)
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
    golden.disagreed, golden.compared, o.file), 0)
end
