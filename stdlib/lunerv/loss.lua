-- What training minimises: functions of the output and the image, both (n, 3, h, w), to a scalar.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"

local l1 <const>, mse <const> = native.l1_loss, native.mse_loss
local ssim <const>, ms_ssim <const> = native.ssim, native.ms_ssim

local loss <const> = {}

function loss.l1(output, image) return l1(output, image) end
function loss.l2(output, image) return mse(output, image) end

-- NeRV and E-NeRV.
function loss.l1_ssim(output, image)
  return 0.7 * l1(output, image) + 0.3 * (1 - ssim(output, image))
end

-- The boosted models: pixels, structure, and the frequencies of the whole frame.
function loss.boosted(output, image)
  return loss.l1_ms_ssim(output, image) + native.freq_loss(output, image)
end

-- Parts of that, for comparison: without the frequencies, without the structure.
function loss.l1_ms_ssim(output, image)
  return 60 * (0.7 * l1(output, image) + 0.3 * (1 - ms_ssim(output, image)))
end

function loss.l1_freq(output, image)
  return 60 * l1(output, image) + native.freq_loss(output, image)
end

local by_name <const> = {
  l1 = loss.l1, l2 = loss.l2, l1_ssim = loss.l1_ssim, boosted = loss.boosted,
  l1_ms_ssim = loss.l1_ms_ssim, l1_freq = loss.l1_freq,
}

-- The loss called `name` on the command line.
function loss.by_name(name)
  local names = {}
  for known in pairs(by_name) do names[#names + 1] = known end
  return by_name[name]
    or errors.raise("unknown loss '%s' (known: %s)", tostring(name), errors.list(names))
end

return errors.refuse_unknown(loss, "lv.loss")
