-- grids.lua: the inputs of published decoders that replace an encoding of time: learned maps at
-- several temporal resolutions, { frames between entries, channels } each. A time lies between two
-- entries of each, and the channels of all resolutions are concatenated.
local lv <const> = require "lunerv"
local nn <const> = lv.nn

local Grid = nn.class "TemporalGrid"

function Grid:init(entries, channels, rows, columns)
  self.entries = nn.parameter(lv.randn(entries, channels, rows, columns))
end

function Grid:forward(time)
  local last = self.entries:size(1) - 1
  if last == 0 then return self.entries end
  local before = math.min(math.floor(time * last), last - 1)
  local share = time * last - before
  return self.entries:slice(1, before + 1, before + 1) * (1 - share)
    + self.entries:slice(1, before + 2, before + 2) * share
end

-- TemporalGrids({ { 6, 8 }, { 1, 2 } }, frames, rows, columns): a time from 0 to 1 → a map of ten
-- channels, (1, 10, rows, columns).
local Grids = nn.class "TemporalGrids"

function Grids:init(levels, frames, rows, columns)
  self.levels, self.channels = nn.List {}, 0
  for _, level in ipairs(levels) do
    local entries = math.ceil((frames - 1) / level[1]) + 1
    self.levels:append(Grid(entries, level[2], rows, columns))
    self.channels = self.channels + level[2]
  end
end

function Grids:forward(time)
  local maps = {}
  for i, grid in ipairs(self.levels) do maps[i] = grid(time) end
  return lv.cat(maps, 2)
end

return Grids
