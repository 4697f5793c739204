-- NeRV and NeRV-Boost in the published programs: see lunerv.interop.families.
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.interop.names"
local native <const> = require "lunerv.native"
local programs <const> = require "lunerv.interop.programs"
local shapes <const> = require "lunerv.interop.shapes"

local nerv <const> = {
  mark = "stem.0.weight", time = "stem.0.weight", first_block = "layers.0.",
  encoded = { ["stem.0.weight"] = 1, ["stem_t.0.weight"] = 1 },
  program = { interleaved = true, time = function(i, n) return (i - 1) / n end },
}

nerv.names = {
  { "^stem%.(%d)%.", names.numbered("stem", 2) },
  { "^stages%.(%d+)%.", names.numbered("layers", 1), names.boosted_block },
  { "^time%.(%d)%.", names.numbered("stem_t", 2) },
  { "^head%.", "head_layer." },
}

function nerv.read(o, tensors)
  shapes.read_stages(o, tensors, "layers.%d.", 0)
  o.stem_dim = shapes.size(tensors, "stem.0.weight", 1)
end

function nerv.cells(tensors, fc_dim) return shapes.size(tensors, "stem.2.weight", 1) // fc_dim end

-- The largest error of an angle, in radians, at which frames still count as equal.
local tolerance <const> = 0.01

-- Columns for the encoding of t + shift, from those for the encoding of t: a rotation of every pair
-- of sine and cosine.
local function rotated(weight, bases, shift)
  bases = bases:tolist()
  local levels = #bases
  if bases[levels] * 2 ^ -24 > tolerance then
    errors.raise("interop: pe_levels: %d levels distinguish times that are equal in 32 bits, so "
      .. "frames cannot be counted from time 0 as NeRV's program does", levels)
  end
  local sines, cosines = {}, {}
  for k, base in ipairs(bases) do
    sines[k], cosines[k] = math.sin(base * shift), math.cos(base * shift)
  end
  sines, cosines = native.tensor(sines):view(1, levels), native.tensor(cosines):view(1, levels)
  local rows = weight:size(1)
  local flat = weight:view(rows, 2 * levels)
  local of_sine, of_cosine = flat:slice(2, 1, levels), flat:slice(2, levels + 1, 2 * levels)
  return native.cat({
    of_sine * cosines - of_cosine * sines, of_sine * sines + of_cosine * cosines,
  }, 2)
end

-- The parameters of `model`, a NeRV, in the form of NeRV's own program; `list` holds { name, tensor
-- } in that of the boosting program. Its frame times are i/n from 0, ours from 1.
function nerv.for_program(list, model)
  local result, last = {}, 0
  for _, entry in ipairs(list) do
    local number = entry[1]:match "^layers%.(%d+)%."
    if number then last = math.max(last, math.tointeger(number)) end
  end
  for i, entry in ipairs(list) do
    local name, tensor = entry[1], entry[2]
    if name == "stem.0.weight" then
      tensor = rotated(tensor, model.position.bases, 1 / model.config.frames)
      tensor = programs.reorder(tensor, 1, 2, tensor:size(2) // 2)
    elseif name:match "^stem%.%d%.weight$" then
      tensor = tensor:view(tensor:size(1), tensor:size(2))
    end
    name = name:gsub("%.upconv%.0%.", ".conv."):gsub("^head_layer%.",
      ("head_layers.%d."):format(last))
    result[i] = { name, tensor }
  end
  return result
end

return nerv
