-- lunerv run scripts/figuring/scaled.lua FILM OUT HEIGHT WIDTH [FRAMES]: a clip of another size,
-- without loss. A film with fewer frames is played forwards and backwards.
local lv <const> = require "lunerv"

local path <const>, out <const> = arg[1], arg[2]
local film <close> = assert(lv.video.open(path,
  { resize = { tonumber(arg[3]), tonumber(arg[4]) } }))
local writer <close> = assert(lv.video.writer(out,
  { width = film.width, height = film.height, fps = film.fps }))
local last <const> = #film
for k = 0, (tonumber(arg[5]) or last) - 1 do
  local at = k % (2 * last)
  writer:write(film:frame(at < last and at + 1 or 2 * last - at))
end
writer:close()
