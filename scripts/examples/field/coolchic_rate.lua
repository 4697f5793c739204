-- coolchic_rate.lua: the cost of coolchic.lua's latents during training.
local lv <const> = require "lunerv"
local context <const> = require "coolchic_context"

-- The positions of the context network's inputs under a 3×3 kernel over three maps, those of the
-- frame, the previous frame and the coarser grid: (inputs − 1, 3 · 3 · 3).
local function taps()
  local rows = {}
  for k = 1, context.inputs - 1 do
    local map, dy, dx = table.unpack(context.neighbours[k] or { 3, 0, 0 })
    rows[k] = {}
    for at = 1, 27 do rows[k][at] = at == (map - 1) * 9 + dy * 3 + dx + 5 and 1 or 0 end
  end
  return lv.tensor(rows)
end
local places <const> = taps()

-- The bits of a grid's latents `now` (h, w): the computation of coolchic_context, in real numbers
-- and for all latents at once.
return function(net, index, now, before, coarser)
  local h, w = now:size(1), now:size(2)
  local above = coarser and coarser:view(1, 1, coarser:size(1), coarser:size(2))
    :interpolate { size = { h, w } } or lv.zeros(1, 1, h, w)
  local maps = context.bounded(lv.cat({ now:view(1, 1, h, w), before:view(1, 1, h, w), above }, 2))
  local first = lv.cat { net.hidden, net.skip }
  local kernel = first:slice(2, 1, context.inputs - 1):matmul(places):view(-1, 3, 3, 3)
  local bias = lv.cat { net.hidden_bias, net.out_bias } + first:slice(2, -1, -1) * index
  local x = maps:conv2d(kernel, bias:view(-1), { padding = 1 })
  local hidden = x:slice(2, 1, context.hidden):clamp(0, 255 / 16)
  local out = hidden:conv2d(net.out:view(2, -1, 1, 1)) + x:slice(2, context.hidden + 1, -1)
  local scale = (out:select(2, 2):view(h, w):clamp(-3, 6) * math.log(2)):exp()
  return lv.quant.laplace_bits(now, out:select(2, 1):view(h, w), scale):sum()
end
