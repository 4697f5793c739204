-- What tests of training train: a clip of noise, and a model small enough to learn it at once.
local lv <const> = require "lunerv"

local tiny <const> = {}

-- A clip of noise, large enough for the structural losses.
function tiny.noise_clip(folder)
  local path = folder.path .. "/noise.mkv"
  local writer = assert(lv.video.writer(path, { width = 64, height = 48, fps = 25 }))
  lv.seed(7)
  for _ = 1, 3 do writer:write(lv.rand(1, 3, 48, 64)) end
  writer:close()
  return assert(lv.video.open(path))
end

function tiny.model(clip)
  lv.seed(3)
  return lv.models.hnerv_boost {
    clip = clip, fc_dim = 6, enc_dim = { 4, 2 }, strides = { 2, 2 }, ch_t = 4, pe_levels = 4,
  }
end

-- Of `given`, what a model of `kind` takes: options that other kinds have are left out.
function tiny.options(kind, given)
  local o = {}
  for name, value in pairs(given) do
    if lv.options.applies(name, kind) then o[name] = value end
  end
  return o
end

-- The values of all tensors of a model.
function tiny.values(model)
  local list = {}
  for i, entry in ipairs(model:state_dict()) do list[i] = entry[2]:tolist() end
  return list
end

return tiny
