-- Training losses: functions of the output and the image, both (n, 3, h, w), to a scalar.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"

local l1 <const>, mse <const> = native.l1_loss, native.mse_loss
local ssim <const>, ms_ssim <const> = native.ssim, native.ms_ssim

local loss <const> = {}

--- The mean absolute difference.
---
---     local value = lv.loss.l1(model(t), image)
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return lunerv.Tensor  a scalar
function loss.l1(output, image) return l1(output, image) end

--- The mean squared difference: PyTorch's mse_loss.
---
---     local value = lv.loss.l2(model(t), image)
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return lunerv.Tensor  a scalar
function loss.l2(output, image) return mse(output, image) end

--- 0.7 · l1 + 0.3 · (1 − SSIM): the loss of NeRV and E-NeRV.
---
---     lv.train { model = model, clip = clip, loss = lv.loss.l1_ssim }
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return lunerv.Tensor  a scalar
function loss.l1_ssim(output, image)
  return 0.7 * l1(output, image) + 0.3 * (1 - ssim(output, image))
end

--- The loss of the boosted kinds: pixels, structure, and the frequencies of the whole frame:
--- l1_ms_ssim and lv.freq_loss (arXiv 2402.18152).
---
---     lv.train { model = model, clip = clip, loss = "boosted" }
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return lunerv.Tensor  a scalar
function loss.boosted(output, image)
  return loss.l1_ms_ssim(output, image) + native.freq_loss(output, image)
end

--- 60 · (0.7 · l1 + 0.3 · (1 − MS-SSIM)): `boosted` without the frequencies.
---
---     lv.train { model = model, clip = clip, loss = lv.loss.l1_ms_ssim }
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return lunerv.Tensor  a scalar
function loss.l1_ms_ssim(output, image)
  return 60 * (0.7 * l1(output, image) + 0.3 * (1 - ms_ssim(output, image)))
end

--- 60 times l1, and the frequencies of the whole frame: `boosted` without the structure.
---
---     lv.train { model = model, clip = clip, loss = lv.loss.l1_freq }
---
---@param output lunerv.Tensor  (n, 3, h, w)
---@param image lunerv.Tensor  the same shape
---@return lunerv.Tensor  a scalar
function loss.l1_freq(output, image)
  return 60 * l1(output, image) + native.freq_loss(output, image)
end

local by_name <const> = {
  l1 = loss.l1, l2 = loss.l2, l1_ssim = loss.l1_ssim, boosted = loss.boosted,
  l1_ms_ssim = loss.l1_ms_ssim, l1_freq = loss.l1_freq,
}

local known <const> = {}
for name in pairs(by_name) do known[#known + 1] = name end

--- The loss for a name of the command line: the functions above.
---
---     local loss_of = lv.loss.by_name "l1_ssim"
---
---@param name string
---@return fun(output: lunerv.Tensor, image: lunerv.Tensor): lunerv.Tensor
function loss.by_name(name)
  return by_name[name] or errors.raise("loss.by_name: unknown loss '%s'%s", tostring(name),
    errors.meant(name, known))
end

return errors.refuse_unknown(loss, "lv.loss")
