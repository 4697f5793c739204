-- HNeRV: an encoder makes a small embedding of each frame, the decoder the frame of it.
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local Model <const> = require "lunerv.models.model"
local nn <const> = require "lunerv.nn"

local HNeRV <const> = nn.class("HNeRV", Model)

HNeRV.kind = "hnerv"
HNeRV.next_width = geometry.next_width.hnerv

-- lv.models.hnerv { clip = …, size = 1.525 }, or height, width and frames for the clip; options
-- are those of options/catalogue.lua. One of `fc_dim`, `params` or `size` sets the width.
function HNeRV:init(given)
  local o = self:settle(given)
  if o.encoder ~= false then
    self.encoder = nn.ConvNeXt {
      strides = o.enc_strides, width = o.enc_dim[1], out = o.enc_dim[2], blocks = o.enc_blks,
    }
  end
  self.stem = self:block { from = o.enc_dim[2], to = o.fc_dim, scale = o.unfold, kernel = 1 }
  self:add_stages(3)
end

-- (1, 3, height, width) → the embedding, (1, enc_dim[2], grid height, grid width). Frames that
-- the strides do not divide are continued by their last row and column; where the trunk stops
-- short of their resolution, the encoder sees them scaled down as far.
function HNeRV:encode(image)
  local c, p = self.config, self.padding
  if not self.encoder then
    errors.raise "this model is a decoder alone: it has no encoder to make embeddings with"
  end
  if image:size(3) ~= c.height or image:size(4) ~= c.width then
    errors.raise("expected a frame of %dx%d, got %dx%d", c.height, c.width, image:size(3),
      image:size(4))
  end
  if p.bottom > 0 or p.right > 0 then image = image:pad(p) end
  local scale, s = c.head_scale, image.shape
  if scale > 1 then
    image = image:view(s[1], s[2], s[3] // scale, scale, s[4] // scale, scale):mean { 4, 6 }
  end
  return self.encoder(image)
end

-- The embedding → (1, 3, height, width).
function HNeRV:decode(embedding) return self:render(self.stem(embedding)) end

function HNeRV:forward(image, t) return self:decode(self:encode(image), t) end

function HNeRV:reconstruct(frame) return self(frame.image, frame.t) end

-- Hyper-parameters --------------------------------------------------------------------------

function HNeRV:place(o)
  local trunk, scale = geometry.trunk(o), o.head_scale
  o.enc_strides = o.enc_strides or trunk
  local down, up = geometry.product(o.enc_strides), geometry.product(trunk)
  if down % up ~= 0 then
    errors.raise("enc_strides: expected a multiple of the strides' product %d, got %d", up, down)
  end
  o.unfold = down // up
  local unit = down * scale
  self.grid = { geometry.up(o.height, unit) // unit, geometry.up(o.width, unit) // unit }
  self.padding = self:surplus(unit)
  self.padding.mode = "edge"

  if o.enc_dim[2] < 1 then
    local millions = o.size or o.params and o.params / 1e6
    if not millions then errors.raise "enc_dim: a share of the size needs a size" end
    local cells = self.grid[1] * self.grid[2]
    o.enc_dim[2] = math.max(1, math.floor(o.enc_dim[2] * 1e6 * millions / o.frames / cells))
  end
end

function HNeRV:stem_weights(o) return o.enc_dim[2] * o.unfold ^ 2 * 9 end

-- Every frame's embedding.
function HNeRV:embedding_parameters()
  local c = self.config
  return c.enc_dim[2] * self.grid[1] * self.grid[2] * c.frames
end

-- The decoder's, and every frame's embedding.
function HNeRV:stored_parameters()
  local encoder = self.encoder and self.encoder:parameter_count() or 0
  return self:parameter_count() - encoder + self:embedding_parameters()
end

function HNeRV:summary()
  local c = self.config
  return ("%s: width %d, strides %s%s, grid %dx%d, embedding %d, %d stored parameters"):format(
    c.kind, c.fc_dim, table.concat(c.strides, ","), self:head_note(), self.grid[1], self.grid[2],
    c.enc_dim[2], self:stored_parameters())
end

return HNeRV
