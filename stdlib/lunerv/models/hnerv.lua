-- HNeRV: an encoder makes a small embedding of each frame; the decoder makes the frame from it.
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local Model <const> = require "lunerv.models.model"
local nn <const> = require "lunerv.nn"

--- HNeRV (arXiv 2304.02633): an encoder makes a small embedding of each frame, and the decoder
--- makes the frame from it. Files hold the decoder and the embeddings.
---
---     local model = lv.models.hnerv { clip = clip, params = 1.5e6 }
---     local image = model(clip:frame(1))
---
---@param given table  clip, or height, width and frames; one of params, size or fc_dim; options
local HNeRV <const> = nn.class("HNeRV", Model)

HNeRV.kind = "hnerv"
HNeRV.next_width = geometry.next_width.hnerv

-- Options are those of options/catalogue.lua. One of `fc_dim`, `params` or `size` sets the width.
function HNeRV:init(given)
  local o = self:configure(given)
  if o.encoder ~= false then
    self.encoder = nn.ConvNeXt {
      strides = o.enc_strides, width = o.enc_dim[1], out = o.enc_dim[2], blocks = o.enc_blks,
    }
  end
  self.stem = self:block { from = o.enc_dim[2], to = o.fc_dim, scale = o.unfold, kernel = 1 }
  self:add_stages(3)
end

--- The embedding of a frame, (1, enc_dim[2], grid height, grid width). Frames whose sides are not
--- multiples of the strides' product are padded by repeating the last row and column. If the trunk
--- stops short of the frame's resolution, the encoder gets frames scaled down accordingly.
---
---     local embedding = model:encode(clip:frame(1))
---
---@param image lunerv.Tensor  (1, 3, height, width)
---@return lunerv.Tensor
function HNeRV:encode(image)
  local c, p = self.config, self.padding
  if not self.encoder then
    errors.raise("%s: this model is only a decoder: it has no encoder for embeddings",
      self.kind)
  end
  if image:size(3) ~= c.height or image:size(4) ~= c.width then
    errors.raise("%s: expected a frame of %dx%d, got %dx%d", self.kind, c.height, c.width,
      image:size(3), image:size(4))
  end
  if p.bottom > 0 or p.right > 0 then image = image:pad(p) end
  local scale, s = c.head_scale, image.shape
  if scale > 1 then
    image = image:view(s[1], s[2], s[3] // scale, scale, s[4] // scale, scale):mean { 4, 6 }
  end
  return self.encoder(image)
end

--- The frame of an embedding, (1, 3, height, width).
---
---     local image = model:decode(model:encode(clip:frame(1)))
---
---@param embedding lunerv.Tensor
---@param t? number  the frame's time, if a static map follows the camera
---@return lunerv.Tensor
function HNeRV:decode(embedding, t) return self:render(self.stem(embedding), nil, t) end

function HNeRV:forward(image, t) return self:decode(self:encode(image), t) end

--- The reconstruction of a frame, for training and evaluation.
---
---     local image = model:reconstruct(clip:sample(1))
---
---@param frame table  { image, t, index }
---@return lunerv.Tensor  (1, 3, height, width)
function HNeRV:reconstruct(frame) return self(frame.image, frame.t) end

-- Hyper-parameters --------------------------------------------------------------------------

--- Sets the grid and the padding, and fills in the options that depend on them.
---
---@param o table  the options
function HNeRV:set_grid(o)
  local trunk, scale = geometry.trunk(o), o.head_scale
  o.enc_strides = o.enc_strides or trunk
  local down, up = geometry.product(o.enc_strides), geometry.product(trunk)
  if down % up ~= 0 then
    errors.raise("models.%s: enc_strides: expected a multiple of the strides' product %d, got %d",
      o.kind, up, down)
  end
  o.unfold = down // up
  local unit = down * scale
  self.grid = { geometry.up(o.height, unit) // unit, geometry.up(o.width, unit) // unit }
  self.padding = self:padding_at(unit)
  self.padding.mode = "edge"

  if o.enc_dim[2] < 1 then
    local millions = o.size or o.params and o.params / 1e6
    if not millions then
      errors.raise("models.%s: enc_dim: expected `size` or `params`, of which %g is a share, "
        .. "got neither", o.kind, o.enc_dim[2])
    end
    local cells = self.grid[1] * self.grid[2]
    o.enc_dim[2] = math.max(1, math.floor(o.enc_dim[2] * 1e6 * millions / o.frames / cells))
  end
end

--- The published size rule's linear term: weights per channel in the first layer.
---
---@param o table  the options
---@return number
function HNeRV:stem_weights(o) return o.enc_dim[2] * o.unfold ^ 2 * 9 end

--- The number of values in the embeddings of all frames.
---
---     print(model:embedding_parameters())
---
---@return integer
function HNeRV:embedding_parameters()
  local c = self.config
  return c.enc_dim[2] * self.grid[1] * self.grid[2] * c.frames
end

--- The number of parameters in a file: the decoder's, and every frame's embedding.
---
---     print(model:stored_parameters())
---
---@return integer
function HNeRV:stored_parameters()
  local encoder = self.encoder and self.encoder:parameter_count() or 0
  return self:parameter_count() - encoder + self:embedding_parameters()
end

--- A one-line summary: kind, width, strides, grid, embedding, parameters.
---
---     print(model:summary())
---
---@return string
function HNeRV:summary()
  local c = self.config
  return ("%s: width %d, strides %s%s, grid %dx%d, embedding %d, %d stored parameters"):format(
    c.kind, c.fc_dim, table.concat(c.strides, ","), self:head_note(), self.grid[1], self.grid[2],
    c.enc_dim[2], self:stored_parameters())
end

return HNeRV
