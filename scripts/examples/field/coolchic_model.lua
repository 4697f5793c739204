-- coolchic_model.lua: the probability model of coolchic.lua's latents, row by row for all groups of
-- frames at once. It is stored in the file.
local lv <const> = require "lunerv"
local context <const> = require "coolchic_context"

-- The positions of neighbours in four consecutive rows, each padded by a column on both sides: for
-- `groups` rows of w latents, a list of positions.
local function positions(groups, w)
  local order <const> = { { [-1] = 0 }, { [0] = 1, [-1] = 2, [1] = 3 } }
  local list = {}
  for _, neighbour in ipairs(context.neighbours) do
    local row = order[neighbour[1]][neighbour[2]]
    for g = 1, groups do
      local first = (row * groups + g - 1) * (w + 2) + 1 + neighbour[3]
      for x = 1, w do list[#list + 1] = first + x end
    end
  end
  return lv.tensor(list, { dtype = "i32" })
end

-- The model of a grid (frames of a group, h, groups, w); `coarser` holds the codes of another grid,
-- or nil.
local function of_grid(net, index, shape, coarser)
  local length, h, groups, w = table.unpack(shape)
  local where <const>, n <const> = positions(groups, w), groups * w
  local nothing <const> = lv.zeros(groups * (w + 2))
  local above = lv.zeros(length, h, n)
  if coarser then
    local h2, w2 = coarser:size(2), coarser:size(4)
    local maps = context.bounded(coarser:to "f32"):permute(1, 3, 2, 4)
    above = maps:reshape(1, length * groups, h2, w2):interpolate { size = { h, w } }
      :view(length, groups, h, w):permute(1, 3, 2, 4):reshape(length, h, n)
  end
  local number <const> = lv.full(index, 1, n)
  local rows
  local function row(j, y)
    if j < 0 or y < 0 or y >= h then return nothing end
    return rows[j * h + y + 1]
  end
  return { family = "slices", dims = 2, parameters = function(seen, k)
    if k == 1 then rows = {} end
    local j, y = (k - 1) // h, (k - 1) % h
    if k > 1 then
      rows[k - 1] = context.bounded(seen[k - 1]:to "f32"):pad({ 1, 1 }):reshape(-1)
      rows[k - 2 * h] = nil
    end
    local near = lv.cat { row(j, y - 1), row(j - 1, y), row(j - 1, y - 1), row(j - 1, y + 1) }
    local inputs = lv.cat { near:index_select(1, where):view(-1, n),
      above:select(1, j + 1):select(1, y + 1):view(1, n), number }
    local means, scales = context.distributions(net, inputs)
    return means:view(groups, w), scales:view(groups, w)
  end }
end

-- The model of each tensor of the file, in order; nil for the networks' weights, so that lunerv
-- fits it.
return function(name, shape, _, codes)
  for index, grid in ipairs(context.grids) do
    if grid.name == name then
      local net = {}
      for _, part in ipairs { "hidden", "hidden_bias", "out", "skip", "out_bias" } do
        net[part] = codes["context." .. part]:to "f32"
      end
      local coarser = grid.coarser and codes[context.grids[grid.coarser].name]
      return of_grid(net, index, shape, coarser)
    end
  end
  return nil
end
