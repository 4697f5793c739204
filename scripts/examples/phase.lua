-- phase.lua: a decoder that lunerv does not know. Time does not change its filters; it shifts the
-- phase of their sines.
local lv <const> = require "lunerv"
local nn <const> = lv.nn

-- Upsampling, sines with one phase per channel and time, and a residual that starts at zero.
local PhaseBlock = nn.class "PhaseBlock"

function PhaseBlock:init(c_in, c_out, options)
  local o = lv.options(options, { up = 2, cond = 32 }) -- a key it does not list is an error
  self.factor = o.up
  self.up = nn.Conv2d(c_in, c_out * o.up ^ 2, { kernel = 3, padding = 1 })
  self.phase = nn.Linear(o.cond, c_out)
  self.refine = nn.Conv2d(c_out, c_out, { kernel = 3, padding = 1 })
  self.gain = nn.parameter(lv.zeros(1, c_out, 1, 1))
end

function PhaseBlock:forward(x, z)
  local phase = self.phase(z):view(-1, #self.phase.bias, 1, 1)
  x = (self.up(x):pixel_shuffle(self.factor) + phase):sin()
  return x + self.refine(x):gelu() * self.gain
end

-- PhaseDecoder(height, width): a time from 0 to 1 → the image, (1, 3, height, width).
local Decoder = nn.class "PhaseDecoder"

local ups <const> = { 5, 2, 2 }
local unit <const> = 5 * 2 * 2

function Decoder:init(height, width, options)
  local o = lv.options(options, { channels = 48, levels = 40 })
  if height % unit > 0 or width % unit > 0 then
    error(("expected a frame of multiples of %d pixels, got %dx%d"):format(unit, height, width))
  end
  self.grid = { o.channels, height // unit, width // unit }
  self.encode_time = nn.PositionEncoding { levels = o.levels }
  self.time = nn.MLP({ 2 * o.levels, 64, 32 }, { act = "sin" })
  self.scene = nn.parameter(lv.randn(1, table.unpack(self.grid)))
  self.change = nn.Linear(32, #self.scene:view(-1))
  self.body = nn.List {}
  local c = o.channels
  for _, up in ipairs(ups) do
    self.body:append(PhaseBlock(c, c * 3 // 4, { up = up }))
    c = c * 3 // 4
  end
  self.head = nn.Conv2d(c, 3, { kernel = 3, padding = 1 })
end

function Decoder:forward(t)
  local z = self.time(self.encode_time(t))
  local x = self.scene + self.change(z):view(-1, table.unpack(self.grid))
  for _, block in ipairs(self.body) do x = block(x, z) end
  return nn.out_image(self.head(x))
end

return Decoder
