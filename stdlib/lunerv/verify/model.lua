-- Compares our models with numbers from the authors' programs: a golden file holds parameters,
-- frames, and the measured outputs.
local Golden <const> = require "lunerv.verify.golden"
local errors <const> = require "lunerv.errors"
local interop <const> = require "lunerv.interop"
local kinds <const> = require "lunerv.models.kinds"
local loss <const> = require "lunerv.loss"
local metrics <const> = require "lunerv.metrics"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local optim <const> = require "lunerv.optim"

local Model <const> = Golden.class()

-- The tensors whose names begin with `prefix`, without it; nil when there are none.
local function under(tensors, prefix)
  local found, any = {}, false
  for name, tensor in pairs(tensors) do
    if name:sub(1, #prefix) == prefix then
      found[name:sub(#prefix + 1)], any = tensor, true
    end
  end
  return any and found or nil
end

-- The content of a golden file: `tensors` by name, and its metadata.
local function golden(tensors, metadata)
  local kind = kinds.by_name[tostring(metadata.kind):lower()]
  if not kind then
    errors.raise("expected a golden file of one of %s, got kind '%s'",
      table.concat(kinds.names, ", "), tostring(metadata.kind))
  end
  return Golden.new(Model, {
    tensors = tensors, metadata = metadata, kind = kind.name, boosted = kind.boosted,
    total_loss = kind.boosted and loss.boosted or loss.l2,
    published = under(tensors, "param/"),
    pixels = tensors["input/frames"]:to "f32" / 255,
    times = tensors["input/norm_idx"]:tolist(),
  })
end

function Model:sample(i)
  return { image = self.pixels:slice(1, i, i), t = self.times[i], index = i }
end

function Model:model()
  local metadata, pixels = self.metadata, self.pixels
  local given = interop.options_from_published(self.kind, native.json_decode(metadata.config),
    pixels:size(3), pixels:size(4), math.tointeger(tonumber(metadata.frames_total)))
  local model = models[self.kind](given)
  interop.load_published(model, self.published)
  local bases = self.tensors["input/pe_bases"]
  for _, module in ipairs(model:modules()) do
    if bases and module.bases then native.no_grad(function() module.bases:copy_(bases) end) end
  end
  return model
end

-- One frame: the output and every loss.
function Model:check_values()
  local model, frame = self:model(), self:sample(2)
  native.no_grad(function()
    local output, image = metrics.reconstruct(model, frame), frame.image
    self:note_absolute("out/frame1", output, self.tensors["out/frame1"], 1e-4)
    local losses = {
      { "l1", loss.l1 }, { "mse", loss.l2 }, { "ms_ssim", native.ms_ssim },
      { "freq", native.freq_loss }, { "ssim", native.ssim }, { "total", self.total_loss },
    }
    for _, entry in ipairs(losses) do
      local theirs = self.tensors["loss/" .. entry[1]]
      if theirs then
        local ours = entry[2](output, image):item()
        self:note_number("loss/" .. entry[1], ours, theirs:item(), 1e-4)
      end
    end
  end)
end

-- The gradients of that frame's loss. Boosted kinds also have those of the squared error, whose
-- sign does not depend on vanishing frequencies.
function Model:check_gradients()
  self:check_gradients_of("grad/", self.total_loss, self.boosted and 3e-2 or 1e-3)
  self:check_gradients_of("grad_mse/", loss.l2, 1e-3)
end

function Model:check_gradients_of(prefix, of, tolerance)
  local expected = under(self.tensors, prefix)
  if not expected then return end
  local model, frame = self:model(), self:sample(2)
  of(metrics.reconstruct(model, frame), frame.image):backward()
  for _, entry in ipairs(interop.published_parameters(model)) do
    local name, tensor = entry[1], entry[2]
    local theirs = expected[name]
    if theirs and tensor.grad then
      self:note_tensor(prefix .. name, tensor.grad,
        interop.reshaped(theirs, tensor.shape, name), tolerance)
    elseif theirs then
      self:note(prefix .. name, math.huge, tolerance)
    end
    expected[name] = nil
  end
  for name in pairs(expected) do
    self:note(prefix .. name .. " (not in our model)", math.huge, 0)
  end
end

-- Twenty steps of the optimiser; values precede each update.
function Model:check_trajectory()
  local model, count = self:model(), self.pixels:size(1)
  local optimiser = self.boosted and optim.Adan(model:parameters(), { lr = 3e-3 })
    or optim.Adam(model:parameters(), { lr = 1e-3 })
  for step, theirs in ipairs(self.tensors["traj/loss"]:tolist()) do
    local frame = self:sample((step - 1) % count + 1)
    local value = self.total_loss(metrics.reconstruct(model, frame), frame.image)
    self:note_number(("traj/loss step %d"):format(step), value:item(), theirs, 5e-3)
    optimiser:zero_grad()
    value:backward()
    optimiser:step()
  end
end

-- All comparisons.
function Model:check()
  self:check_values()
  self:check_gradients()
  self:check_trajectory()
end

return golden
