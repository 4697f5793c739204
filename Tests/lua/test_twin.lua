-- Every kind against our PyTorch twin, on frames as small as the strides allow. Needs torch.
local harness <const> = require "harness"
local native <const> = require "lunerv.native"
local verify <const> = require "lunerv.verify"

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."

if not os.execute "python3 -c 'import torch' 2>/dev/null" then
  print "skipped: the PyTorch twin (python3 has no torch)"
  return
end

local folder <close> = harness.folder()
local script <const> = root .. "/scripts/bench/make_golden.py"
assert(os.execute(("python3 '%s' all '%s' --height 40 --width 60"):format(script, folder.path)),
  "make_golden.py failed")

for _, kind in ipairs(require("lunerv.models").kinds) do
  harness.test(kind .. " agrees with its PyTorch twin", function()
    local path = ("%s/%s.safetensors"):format(folder.path, kind)
    local golden = verify(assert(native.load_safetensors(path)))
    local disagreements = {}
    function golden.report(name, deviation, tolerance, agrees)
      if not agrees then
        table.insert(disagreements, ("%s: %.3g, %.3g allowed"):format(name, deviation, tolerance))
      end
    end
    golden:check_values()
    golden:check_gradients()
    golden:check_trajectory()
    harness.equal(disagreements, {})
    assert(golden.compared > 30, golden.compared)
  end)
end
