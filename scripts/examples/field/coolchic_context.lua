-- coolchic_context.lua: the distribution of a latent of coolchic.lua, given the previous ones. A
-- small network sees the row above, the previous frame and a coarser grid, and returns a mean and a
-- scale.
--
-- Its weights are codes in units of 1/16, so that a decoder computes with integers: sums of
-- products below 2^24, which f32 holds exactly in any order, on every machine.
local context <const> = { hidden = 16, unit = 1 / 16 }

-- The grids of latents: pixels per cell, and the grid that a grid's context uses, coded before it.
context.grids = {
  { name = "grid1", cell = 2, coarser = 2 }, { name = "grid2", cell = 4, coarser = 3 },
  { name = "grid3", cell = 8, coarser = 4 }, { name = "grid4", cell = 16 },
  { name = "grid5", cell = 8 }, { name = "grid6", cell = 8, coarser = 5 },
}

-- The neighbours: in the same frame (1) or the previous one (2), and their offset in rows and
-- columns.
context.neighbours = {
  { 1, -1, -1 }, { 1, -1, 0 }, { 1, -1, 1 },
  { 2, 0, 0 }, { 2, 0, -1 }, { 2, 0, 1 }, { 2, -1, 0 }, { 2, 1, 0 },
}
-- Plus the coarser grid, and the number of its own grid.
context.inputs = #context.neighbours + 2

-- Latents are clamped to ±63.
function context.bounded(latents) return latents:clamp(-63, 63) end

-- The means, in 256ths, and the scales, i of 2^(i/16 − 4), of n latents, as the coder takes them:
-- i32. `inputs` (inputs, n) is the network's input for each, `net` holds its weights' codes.
function context.distributions(net, inputs)
  local hidden = (net.hidden:matmul(inputs) + net.hidden_bias):clamp(0, 255)
  local out = net.out:matmul(hidden) + net.skip:matmul(inputs) * 16 + net.out_bias * 16
  local steps = (out / 16):floor()
  return (steps:select(1, 1) * 16):to "i32", (steps:select(1, 2) + 64):clamp(16, 160):to "i32"
end

return context
