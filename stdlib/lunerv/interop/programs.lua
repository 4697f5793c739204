-- The programs that published checkpoints come from: the program of the boosted kinds, which also
-- has HNeRV and E-NeRV and whose names lunerv.interop.families maps, and NeRV's and E-NeRV's own.
-- These two differ in names, in the order of a position's encoding (sin, cos, sin, cos, … instead
-- of all sines, then all cosines), in the times of frames, and in how the head's output becomes an
-- image.
local errors <const> = require "lunerv.errors"

local programs <const> = {}

-- `interleaved`: the order of an encoding; `time(i, n)`: the time of frame i of n, counted from 1.
-- A family's own program is its `program`.
programs.boosting = { interleaved = false, time = function(i, n) return i / n end }

-- The number of the last head; heads of lower resolutions come before it.
local function last_head(tensors)
  local last
  for name in pairs(tensors) do
    local number = math.tointeger(tonumber(name:match "^head_layers%.(%d+)%."))
    if number then last = math.max(last or 0, number) end
  end
  return last
end

-- The tensors under the boosting program's names, and whether another program wrote them.
function programs.recognise(tensors)
  local last = last_head(tensors)
  if not last then return tensors, false end
  local result, head = {}, ("^head_layers%%.%d%%."):format(last)
  for name, tensor in pairs(tensors) do
    name = name:gsub(head, "head_layer."):gsub("^(layers%.%d+%.conv%d?)%.conv%.", "%1.upconv.0.")
    -- The grid's coordinates are not parameters, and the other heads make no frame.
    if name ~= "xy_coord" and not name:match "^head_layers" then result[name] = tensor end
  end
  return result, true
end

-- Reorders the columns of a weight for `count` encodings from a × b to b × a.
function programs.reorder(weight, count, a, b)
  local shape = weight.shape
  if shape[2] ~= count * a * b then
    errors.data("interop: a layer of %s inputs cannot take %d encodings of sines and cosines",
      tostring(shape[2]), count)
  end
  return weight:view(shape[1], count, a, b):transpose(3, 4):clone():view(table.unpack(shape))
end

-- Converts tensors with interleaved encodings, under the boosting program's names, to that
-- program's order. `encoded`: how many encodings the layers of a name take.
function programs.separate(tensors, encoded)
  for name, count in pairs(encoded) do
    local weight = tensors[name]
    if weight then
      tensors[name] = programs.reorder(weight, count, weight.shape[2] // (2 * count), 2)
    end
  end
end

return programs
