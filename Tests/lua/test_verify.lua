-- What verify.lua proves: it must notice 1 % of a tensor's range added to any one parameter.
-- Needs a golden file: LUNERV_GOLDENS names the folder.
local harness <const> = require "harness"
local native <const> = require "lunerv.native"
local verify <const> = require "lunerv.verify"

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."
local folder <const> = os.getenv "LUNERV_GOLDENS" or root .. "/../shared/goldens"
local path <const> = folder .. "/hnerv_boost.safetensors"

if not native.exists(path) then
  print("skipped: verify (no golden file; LUNERV_GOLDENS names the folder that has them)")
  return
end

-- Adding one number to every entry changes nothing in these, or nothing a number can tell:
local invisible <const> = {
  -- a constant has no range;
  range = function(tensor) return (tensor:amax() - tensor:amin()):item() == 0 end,
  -- LayerNorm over channels takes away what is added to all of them.
  ["encoder.downsample_layers.0.0.bias"] = "the LayerNorm behind it removes it",
}

local tensors <const>, metadata <const> = assert(native.load_safetensors(path))

harness.test("the golden file agrees", function()
  local golden = verify(tensors, metadata)
  golden:check_values()
  golden:check_gradients()
  harness.equal(golden.disagreed, 0)
  assert(golden.compared > 300, "too few comparisons: " .. golden.compared)
end)

harness.test("1 % of the range added to any one parameter is noticed", function()
  local exceptions, missed = {}, {}
  for name, tensor in pairs(tensors) do
    local short = name:match "^param/(.+)$"
    if short then
      local changed = {}
      for key, value in pairs(tensors) do changed[key] = value end
      changed[name] = tensor + 0.01 * (tensor:amax() - tensor:amin())
      local golden = verify(changed, metadata)
      golden:check_values()
      if golden.disagreed == 0 then golden:check_gradients() end
      if golden.disagreed == 0 then
        local reason = invisible[short] or invisible.range(tensor) and "it is constant"
        if reason then
          exceptions[#exceptions + 1] = ("%s: %s"):format(short, reason)
        else
          missed[#missed + 1] = short
        end
      end
    end
  end
  table.sort(exceptions)
  table.sort(missed)
  for _, exception in ipairs(exceptions) do print("exception: " .. exception) end
  harness.equal(missed, {})
end)
