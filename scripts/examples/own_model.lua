-- lunerv run scripts/examples/own_model.lua scripts/sample/bunny.mp4 OUT.own [EPOCHS]: weights
-- coded by a probability model of one's own, in a file of one's own, which is then decoded
-- again.
local lv <const> = require "lunerv"
local Decoder <const> = require "phase"

-- Frequencies of the codes −127 to 127: a peak as wide as the code before was large, in integers,
-- so that every machine gets the same.
local model <const> = {
  family = "own", first = -127,
  context = function(seen, i) return math.min(15, math.abs(seen[i - 1] or 4)) end,
  weights = function(width)
    local list = {}
    for code = -127, 127 do list[code + 128] = (1 << 20) // (1 + (code * code) // (width + 1)) end
    return list
  end,
}

lv.seed(1)
local clip <close> = assert(lv.video.open(arg[1]))
local network <const> = Decoder(clip.height, clip.width)
lv.train { model = network, clip = clip, epochs = tonumber(arg[3]) or 10 }

local parts, steps = {}, {}
for i, weight in ipairs(network:parameters()) do
  steps[i] = math.max(weight:detach():abs():amax():item() / 127, 1e-9)
  parts[i] = { symbols = (weight:detach() / steps[i]):round():to "i32", model = model }
end
local coded <const>, shapes <const> = lv.coder.encode(parts)
assert(lv.write_file(arg[2], string.pack("<" .. ("f"):rep(#steps), table.unpack(steps)) .. coded))

-- Whoever decodes has this script: shapes follow from the network, frequencies from the model.
local bytes <const> = assert(lv.read_file(arg[2]))
local symbols <const> = lv.coder.decode(bytes:sub(4 * #steps + 1), shapes)
for i, weight in ipairs(network:parameters()) do
  local step = string.unpack("<f", bytes, 4 * i - 3)
  lv.no_grad(function() weight:copy_(symbols[i]:to "f32" * step) end)
end
print(("%d bytes, %.4f bpp"):format(#bytes, 8 * #bytes / (#clip * clip.width * clip.height)))
print(lv.metrics.evaluate(network, clip))
