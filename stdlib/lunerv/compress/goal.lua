-- The goals of rate control: bytes, a quality, a time; each optional.
local native <const> = require "lunerv.native"
local request <const> = require "lunerv.compress.request"

local goal <const> = {}

-- Whether the command line's options `o` ask for rate control.
function goal.wanted(o) return (o.bpp or o.bytes or o.psnr or o.minutes) ~= nil end

-- { bytes, psnr, began, deadline } for `clip`. A resumed run gets the full minutes again.
function goal.of(clip, o)
  local now = native.time()
  return {
    bytes = request.bytes(o, clip), psnr = o.psnr,
    began = now, deadline = o.minutes and now + 60 * o.minutes,
  }
end

function goal.seconds_left(self)
  return self.deadline and self.deadline - native.time() or math.huge
end

return goal
