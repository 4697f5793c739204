-- Files for `scripts/soak` to decode: CLIP FOLDER. One with a decoder of the library, one in
-- segments, one with a custom decoder, one with a custom probability model of its weights.
local lv <const> = require "lunerv"

package.path = (arg[0]:match "^(.*)/" or ".") .. "/?.lua;" .. package.path
local folder <const> = arg[2]

lv.seed(2)
local clip <close> = assert(lv.video.open(arg[1]))

local function small_of(model)
  lv.train { model = model, clip = clip, epochs = 4 }
  local small = lv.compress.cem(model, { clip = clip })
  lv.train { model = small, clip = clip, epochs = 2 }
  return small
end

local small <const> = small_of(lv.models.hnerv_boost {
  clip = clip, fc_dim = 8, enc_dim = { 8, 4 }, strides = { 2, 2 }, ch_t = 4, pe_levels = 8,
})
local plain <const> = folder .. "/plain.lnv"
assert(lv.codec.write(plain, small, { clip = clip, group = 4 }))
assert(lv.codec.join(folder .. "/segments.lnv", { plain, plain, plain }))
assert(lv.codec.write(folder .. "/own.lnv",
  small_of(require "cells"(clip.height, clip.width, 6)), { clip = clip }))
assert(lv.codec.write(folder .. "/modelled.lnv", small,
  { clip = clip, model = require "peaks" }))
