-- lunerv run scripts/verify.lua FILE.safetensors: compares our model with numbers measured on the
-- authors' program. Prints each comparison; fails when one disagrees.
local lv <const> = require "lunerv"

local path <const> = arg[1]
if not path or arg[2] or path:match "^%-" then
  require("lunerv.bridge").fail("usage", "usage: lunerv run scripts/verify.lua FILE.safetensors")
end

-- Comparisons -------------------------------------------------------------------------------

local compared, disagreed = 0, 0

local function report(name, deviation, tolerance)
  local agrees = deviation <= tolerance
  compared = compared + 1
  if not agrees then disagreed = disagreed + 1 end
  print(("%-62s error %.3e  tolerance %.1e  %s"):format(
    name, deviation, tolerance, agrees and "ok" or "FAIL"))
end

local function largest(x) return x:abs():amax():item() end

local function compare_absolute(name, ours, theirs, tolerance)
  report(name, largest(ours - theirs), tolerance)
end

-- Relative to the largest magnitude in `theirs`.
local function compare_to_largest(name, ours, theirs, tolerance)
  local deviation, scale = largest(ours - theirs), largest(theirs)
  report(name, scale > 0 and deviation / scale or deviation, tolerance)
end

local function compare_relative(name, ours, theirs, tolerance)
  report(name, math.abs(ours - theirs) / math.abs(theirs), tolerance)
end

-- The golden file ---------------------------------------------------------------------------

local golden <const>, metadata <const> = lv.load_safetensors(path)
if not golden then error(metadata, 0) end

-- The tensors whose names begin with `prefix`, without it.
local function under(prefix)
  local found, any = {}, false
  for name, tensor in pairs(golden) do
    if name:sub(1, #prefix) == prefix then
      found[name:sub(#prefix + 1)], any = tensor, true
    end
  end
  return any and found
end

local function known_kind(name)
  for _, kind in ipairs(lv.models.kinds) do
    if kind == name then return true end
  end
  return false
end

local kind <const> = metadata.kind
if not known_kind(kind) then
  error(("%s: a golden file of one of %s expected, got kind '%s'"):format(
    path, table.concat(lv.models.kinds, ", "), tostring(kind)), 0)
end

local pixels <const> = golden["input/frames"]:to "f32" / 255
local times <const> = golden["input/norm_idx"]:tolist()
local count <const> = pixels:size(1)

local function sample(i)
  return { image = pixels:slice(1, i, i), t = times[i], index = i }
end

local published <const> = under "param/"

local function fresh_model()
  local given = lv.interop.options_from_published(kind, lv.json.decode(metadata.config),
    pixels:size(3), pixels:size(4), math.tointeger(tonumber(metadata.frames_total)))
  local model = lv.models[kind](given)
  lv.interop.load_published(model, published)
  local bases = golden["input/pe_bases"]
  for _, module in ipairs(model:modules()) do
    if bases and module.bases then lv.no_grad(function() module.bases:copy_(bases) end) end
  end
  return model
end

local boosted <const> = kind:match "_boost$" ~= nil
local total_loss <const> = boosted and lv.loss.boosted or lv.loss.l2

local function check_gradients(prefix, loss, tolerance)
  local expected = under(prefix)
  if not expected then return end
  local model, frame = fresh_model(), sample(2)
  loss(model:reconstruct(frame), frame.image):backward()
  for _, entry in ipairs(lv.interop.published_parameters(model)) do
    local name, tensor = entry[1], entry[2]
    local theirs = expected[name]
    if theirs then
      if tensor.grad then
        compare_to_largest(prefix .. name, tensor.grad,
          lv.interop.reshaped(theirs, tensor.shape, name), tolerance)
      else
        report(prefix .. name, math.huge, tolerance)
      end
      expected[name] = nil
    end
  end
  for name in pairs(expected) do report(prefix .. name .. " (not in our model)", math.huge, 0) end
end

-- One frame: the output and every loss.
do
  local model, frame = fresh_model(), sample(2)
  lv.no_grad(function()
    local output, image = model:reconstruct(frame), frame.image
    compare_absolute("out/frame1", output, golden["out/frame1"], 1e-4)
    local losses = {
      { "l1", lv.loss.l1 }, { "mse", lv.loss.l2 }, { "ms_ssim", lv.ms_ssim },
      { "freq", lv.freq_loss }, { "ssim", lv.ssim }, { "total", total_loss },
    }
    for _, entry in ipairs(losses) do
      local theirs = golden["loss/" .. entry[1]]
      if theirs then
        compare_relative("loss/" .. entry[1], entry[2](output, image):item(), theirs:item(), 1e-4)
      end
    end
  end)
end

-- Its gradients.
check_gradients("grad/", total_loss, boosted and 3e-2 or 1e-3)
check_gradients("grad_mse/", lv.loss.l2, 1e-3)

-- Twenty steps of the optimiser.
do
  local model = fresh_model()
  local optimiser = boosted and lv.optim.Adan(model:parameters(), { lr = 3e-3 })
    or lv.optim.Adam(model:parameters(), { lr = 1e-3 })
  local expected, expected_psnr = golden["traj/loss"]:tolist(), golden["traj/psnr"]:tolist()
  for step, theirs in ipairs(expected) do
    local frame = sample((step - 1) % count + 1)
    local output = model:reconstruct(frame)
    local loss = total_loss(output, frame.image)
    compare_relative(("traj/loss step %d"):format(step), loss:item(), theirs, 5e-3)
    local psnr = lv.no_grad(lv.metrics.psnr, output, frame.image)
    print(("%-62s ours %.4f dB, theirs %.4f dB"):format(
      ("traj/psnr step %d"):format(step), psnr, expected_psnr[step]))
    optimiser:zero_grad()
    loss:backward()
    optimiser:step()
  end
end

print(("%s: %d comparisons, %d disagreements"):format(kind, compared, disagreed))
if disagreed > 0 then
  error(("%d of %d comparisons disagree with %s"):format(disagreed, compared, path), 0)
end
