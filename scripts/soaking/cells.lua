-- A custom decoder for `scripts/soak`: it is trained with a hook and a custom gradient, has
-- statistics, and is stored in files.
local lv <const> = require "lunerv"

-- Rounds to eighths, with a straight-through gradient.
local eighths <const> = lv.func {
  forward = function(_, x) return (x * 8):round() / 8 end,
  backward = function(_, g) return g end,
}

local Cells = lv.nn.class "Cells"

function Cells:init(height, width, channels)
  self.cells = { height // 4, width // 4 }
  self.channels = channels
  self.when = lv.nn.PositionEncoding { levels = 4 }
  self.stem = lv.nn.Linear(8, channels * self.cells[1] * self.cells[2])
  self.body = lv.nn.Conv2d(channels, channels, 3, { padding = 1 })
  self.norm = lv.nn.BatchNorm2d(channels)
  self.head = lv.nn.Conv2d(channels, 48, 3, { padding = 1 })
end

function Cells:forward(t)
  local x = self.stem(self.when(t)):view(-1, self.channels, self.cells[1], self.cells[2])
  x = lv.checkpoint(function(y) return self.body(y):gelu() end, x) + x:sin()
  return lv.nn.out_image(self.head(eighths(self.norm(x))):pixel_shuffle(4))
end

return Cells
