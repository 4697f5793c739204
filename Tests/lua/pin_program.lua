-- lunerv run Tests/lua/pin_program.lua MODULE.lua OUT.lnv: writes a small file whose decoder is the
-- class that MODULE.lua returns, called as Decoder(12, 20) for frames of 12 rows and 20 columns. If
-- the class uses a new layer or operator, pin.lua adds the file to those that later versions must
-- decode.
local folder <const> = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = folder .. "/?.lua;" .. package.path
local errors <const> = require "lunerv.errors"
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local workshop <const> = require "workshop"

local source <const>, output <const> = arg[1], arg[2]
if not (source and output and source:match "%.lua$") then
  errors.fail("usage", "pin_program: expected MODULE.lua OUT.lnv")
end
package.path = (source:match "^(.*)/[^/]*$" or ".") .. "/?.lua;" .. package.path
local Decoder <const> = require(source:match "([^/]*)%.lua$")

lv.seed(1)
local place <close> = harness.folder()
local clip <close> = workshop.clip(place)
local small <const> = lv.compress.cem(Decoder(clip.height, clip.width), { clip = clip })
print(assert(lv.codec.write(output, small, { clip = clip })))
