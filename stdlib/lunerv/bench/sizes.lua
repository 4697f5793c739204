-- The frame sizes of `lunerv bench`: the published 1.5M models at 720p, and proportionally smaller
-- ones, like SIZES in scripts/bench/torch_bench.py. `steps` and `torch_steps` are the default
-- numbers of timed steps; `kinds` holds the sizes from models/kinds.lua. A kind without one gets
-- its own default size.
local kinds <const> = require "lunerv.models.kinds"

local sizes <const> = {
  ["180p"] = {
    height = 180, width = 320, strides = { 5, 2, 2 }, enc_dim = { 64, 8 },
    steps = 20, torch_steps = 9, kinds = {},
  },
  ["360p"] = {
    height = 360, width = 640, strides = { 5, 2, 2, 2 }, enc_dim = { 64, 16 },
    steps = 10, torch_steps = 6, kinds = {},
  },
  ["720p"] = {
    height = 720, width = 1280, strides = { 5, 2, 2, 2, 2 }, enc_dim = { 64, 16 },
    steps = 6, torch_steps = 3, kinds = {},
  },
}

for _, kind in ipairs(kinds.list) do
  for name, known in pairs(kind.bench or {}) do sizes[name].kinds[kind.name] = known end
end

return sizes
