-- ladder.lua: a custom decoder, which knows nothing of boosting.
local lv <const> = require "lunerv"
local nn <const> = lv.nn

-- A rung enlarges the map, and a gate decides how much of it passes.
local Rung = nn.class "Rung"

function Rung:init(c_in, c_out, up)
  self.factor = up
  self.enlarge = nn.Conv2d(c_in, c_out * up ^ 2, { kernel = 3, padding = 1 })
  self.gate = nn.Conv2d(c_out, c_out, { kernel = 1 })
  self.act = nn.activation "gelu"
end

function Rung:forward(x)
  x = self.act(self.enlarge(x):pixel_shuffle(self.factor))
  return x * self.gate(x):sigmoid()
end

-- Ladder(height, width, channels): a time from 0 to 1 → the image, (1, 3, height, width).
local Ladder = nn.class "Ladder"

function Ladder:init(height, width, channels)
  channels = channels or 26
  self.height, self.width = height, width
  self.rows, self.columns = (height + 19) // 20, (width + 19) // 20
  self.encode_time = nn.PositionEncoding { levels = 40 }
  self.ground = nn.MLP({ 80, 64, channels * self.rows * self.columns }, { act = "gelu" })
  self.rungs = nn.List {}
  for _, up in ipairs { 5, 2, 2 } do
    self.rungs:append(Rung(channels, channels // 2 + 6, up))
    channels = channels // 2 + 6
  end
  self.head = nn.Conv2d(channels, 3, { kernel = 3, padding = 1 })
end

function Ladder:forward(t)
  local x = self.ground(self.encode_time(t)):view(1, -1, self.rows, self.columns)
  for _, rung in ipairs(self.rungs) do x = rung(x) end
  return nn.out_image(self.head(x):slice(3, 1, self.height):slice(4, 1, self.width))
end

return Ladder
