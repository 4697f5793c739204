-- lunerv run scripts/figuring/picture.lua CLIP FILE.lnv OUT.png FRAME: a frame next to its
-- reconstruction from the file.
local lv <const> = require "lunerv"

local clip <close> = assert(lv.video.open(arg[1]))
local decoded <const> = assert(lv.codec.open(arg[2]))
local at <const> = tonumber(arg[4])
assert(lv.video.write_image(arg[3], lv.video.side_by_side(clip:frame(at), decoded:frame(at))))
