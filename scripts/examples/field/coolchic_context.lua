-- coolchic_context.lua: what is expected of a latent of coolchic.lua, given those before it. A
-- small network sees the row above, the frame before and a coarser grid, and gives a mean and a
-- scale.
--
-- Its weights are codes that count sixteenths, so that a decoder computes with integers: sums of
-- products below 2^24, which f32 holds exactly in any order, on every machine.
local context <const> = { hidden = 16, unit = 1 / 16 }

-- The grids of latents: pixels a cell, and the grid that a grid's context has, coded before it.
context.grids = {
  { name = "grid1", cell = 2, coarser = 2 }, { name = "grid2", cell = 4, coarser = 3 },
  { name = "grid3", cell = 8, coarser = 4 }, { name = "grid4", cell = 16 },
  { name = "grid5", cell = 8 }, { name = "grid6", cell = 8, coarser = 5 },
}

-- The neighbours: of the same frame (1) or the one before (2), rows and columns away.
context.neighbours = {
  { 1, -1, -1 }, { 1, -1, 0 }, { 1, -1, 1 },
  { 2, 0, 0 }, { 2, 0, -1 }, { 2, 0, 1 }, { 2, -1, 0 }, { 2, 1, 0 },
}
-- With the coarser grid, and the number of its own grid.
context.inputs = #context.neighbours + 2

-- Latents that are farther from 0 count as 63.
function context.bounded(latents) return latents:clamp(-63, 63) end

-- The means, in 256ths, and the scales, i of 2^(i/16 − 4), of n latents, as the coder takes them:
-- i32. `inputs` (inputs, n) is what the network sees of each, `net` holds its weights' codes.
function context.distributions(net, inputs)
  local hidden = (net.hidden:matmul(inputs) + net.hidden_bias):clamp(0, 255)
  local out = net.out:matmul(hidden) + net.skip:matmul(inputs) * 16 + net.out_bias * 16
  local steps = (out / 16):floor()
  return (steps:select(1, 1) * 16):to "i32", (steps:select(1, 2) + 64):clamp(16, 160):to "i32"
end

return context
