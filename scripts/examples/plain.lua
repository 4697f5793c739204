-- plain.lua: lunerv as a module of a plain Lua 5.4, here to fit a picture.
--
--   scripts/install --library     # once; installs it where Lua looks by default
--   lua5.4 scripts/examples/plain.lua [STEPS]
--
-- In a checkout: lua5.4 -e 'package.cpath = "…/liblunerv-lua.so"' scripts/examples/plain.lua
local lv <const> = require "lunerv"
local nn <const> = lv.nn

local steps <const> = tonumber(arg[1]) or 200
lv.seed(1)

-- A picture of rings, (1, 3, 48, 64), and the position of each pixel, (1, 2, 48, 64).
local y <const> = lv.linspace(-1, 1, 48):view(1, 1, 48, 1) + lv.zeros(1, 1, 48, 64)
local x <const> = lv.linspace(-1, 1, 64):view(1, 1, 1, 64) + lv.zeros(1, 1, 48, 64)
local radius <const> = (x * x + y * y):sqrt()
local picture <const> = lv.cat({ (radius * 12):sin(), (radius * 9):cos(), x * y }, 2) * 0.5 + 0.5
local places <const> = lv.cat({ x, y }, 2)

local Rings <const> = nn.class "Rings"

function Rings:init(width)
  self.place = nn.Conv2d(2, width, { kernel = 1 })
  self.mix = nn.Conv2d(width, width, { kernel = 1 })
  self.head = nn.Conv2d(width, 3, { kernel = 1 })
end

function Rings:forward(p)
  return self.head((self.mix((self.place(p) * 8):sin())):gelu()):sigmoid()
end

local net <const> = Rings(32)
local optimiser <const> = lv.optim.Adam(net:parameters(), { lr = 1e-2 })
for step = 1, steps do
  local loss = (net(places) - picture):square():mean()
  optimiser:zero_grad()
  loss:backward()
  optimiser:step()
  if step == 1 or step % 50 == 0 then
    print(("step %d: psnr %.2f dB"):format(step, -10 * math.log(loss:item(), 10)))
  end
end
