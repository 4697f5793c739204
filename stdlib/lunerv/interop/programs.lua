-- The programs that published checkpoints come from: those of the boosted kinds, which have HNeRV
-- and E-NeRV too and whose names lunerv.interop.names knows, and NeRV's and E-NeRV's own. These two
-- differ in names, in the order of a position's encoding (sin, cos, sin, cos, … in place of all
-- sines, then all cosines), in the times of frames and in what makes an image of the head's output.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local programs <const> = {}

-- `interleaved`: the order of an encoding; `time(i, n)`: that of frame i of n, counted from 1.
local boosting <const> = { interleaved = false, time = function(i, n) return i / n end }
local nerv <const> = { interleaved = true, time = function(i, n) return (i - 1) / n end }
local enerv <const> = {
  interleaved = true, time = function(i, n) return (i - 1) / math.max(n - 1, 1) end,
  out_image = "sigmoid",
}

-- The number of the last head: those of lower resolutions come before it.
local function last_head(tensors)
  local last
  for name in pairs(tensors) do
    local number = math.tointeger(tonumber(name:match "^head_layers%.(%d+)%."))
    if number then last = math.max(last or 0, number) end
  end
  return last
end

-- The program that wrote these tensors, and the tensors under the boosting program's names.
function programs.recognise(tensors)
  local last = last_head(tensors)
  if not last then return boosting, tensors end
  local result, head = {}, ("^head_layers%%.%d%%."):format(last)
  for name, tensor in pairs(tensors) do
    name = name:gsub(head, "head_layer."):gsub("^(layers%.%d+%.conv%d?)%.conv%.", "%1.upconv.0.")
    -- The coordinates of the grid are no parameters, other heads make no frame.
    if name ~= "xy_coord" and not name:match "^head_layers" then result[name] = tensor end
  end
  return tensors["stem_xy.0.weight"] and enerv or nerv, result
end

-- The layers that take the encoding of a time, and the one that takes those of two coordinates.
local encoded <const> = {
  ["stem_t.0.weight"] = 1, ["t_branch.0.weight"] = 1, ["stem_xy.0.weight"] = 2,
}

local function each_encoded(tensors, kind, each)
  for name, count in pairs(encoded) do
    if tensors[name] then tensors[name] = each(tensors[name], count) end
  end
  if kind:match "^nerv" then tensors["stem.0.weight"] = each(tensors["stem.0.weight"], 1) end
end

-- The columns of a weight for `count` encodings, a × b in order, as b × a.
local function reorder(weight, count, a, b)
  local shape = weight.shape
  if shape[2] ~= count * a * b then
    errors.data("a layer of %s inputs takes no %d encodings of sines and cosines",
      tostring(shape[2]), count)
  end
  return weight:view(shape[1], count, a, b):transpose(3, 4):clone():view(table.unpack(shape))
end

-- Tensors by the boosting program's names whose encodings are interleaved, for those that are not.
function programs.separate(tensors, kind)
  each_encoded(tensors, kind, function(weight, count)
    return reorder(weight, count, weight.shape[2] // (2 * count), 2)
  end)
end

-- Largest error of an angle, in radians, with which frames are still the same.
local tolerance <const> = 0.01

-- Columns for the encoding of t + shift, as those for the encoding of t: a turn of every pair of
-- sine and cosine.
local function turned(weight, bases, shift)
  bases = bases:tolist()
  local levels = #bases
  if bases[levels] * 2 ^ -24 > tolerance then
    errors.raise("pe_levels: %d levels tell times apart that 32 bits do not, so that frames "
      .. "cannot be counted from time 0 as NeRV's program does", levels)
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

-- The parameters of `model`, a NeRV, as NeRV's own program has them: `list` holds { name, tensor }
-- of the boosting program. Its frames are those of times i/n from 0, ours from 1.
function programs.for_nerv(list, model)
  local result, last = {}, 0
  for _, entry in ipairs(list) do
    local number = entry[1]:match "^layers%.(%d+)%."
    if number then last = math.max(last, math.tointeger(number)) end
  end
  for i, entry in ipairs(list) do
    local name, tensor = entry[1], entry[2]
    if name == "stem.0.weight" then
      tensor = turned(tensor, model.position.bases, 1 / model.config.frames)
      tensor = reorder(tensor, 1, 2, tensor:size(2) // 2)
    elseif name:match "^stem%.%d%.weight$" then
      tensor = tensor:view(tensor:size(1), tensor:size(2))
    end
    name = name:gsub("%.upconv%.0%.", ".conv."):gsub("^head_layer%.",
      ("head_layers.%d."):format(last))
    result[i] = { name, tensor }
  end
  return result
end

return programs
