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

-- Adding one number to every entry changes nothing that can be seen in these: it raises all
-- output channels alike, which the next LayerNorm over channels takes away.
local invisible <const> = {
  ["encoder.downsample_layers.0.0.weight"] = true,
  ["encoder.downsample_layers.0.0.bias"] = true,
  ["encoder.downsample_layers.1.1.weight"] = true,
  ["encoder.downsample_layers.1.1.bias"] = true,
}

local function reason(name, tensor)
  if (tensor:amax() - tensor:amin()):item() == 0 then return "it is constant: its range is 0" end
  return invisible[name] and "the LayerNorm that follows takes it away"
end

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
        local excuse = reason(short, tensor)
        if excuse then
          exceptions[#exceptions + 1] = ("%s: %s"):format(short, excuse)
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
