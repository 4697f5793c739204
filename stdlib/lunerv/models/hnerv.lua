-- HNeRV: an encoder makes a small embedding of each frame, the decoder the frame of it.
local budget <const> = require "lunerv.models.budget"
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local nn <const> = require "lunerv.nn"
local options <const> = require "lunerv.options"

local HNeRV <const> = nn.class "HNeRV"

HNeRV.kind = "hnerv"

-- lv.models.hnerv { clip = …, size = 1.525 }, or height, width and frames for the clip; options
-- are those of options.lua. One of `fc_dim`, `params` or `size` sets the width.
function HNeRV:init(given)
  local o = self:settle(given)
  self.encoder = nn.ConvNeXt {
    strides = o.enc_strides, width = o.enc_dim[1], out = o.enc_dim[2], blocks = o.enc_blks,
  }
  self.stem = self:block(o.enc_dim[2], o.fc_dim, { kernel = 1, scale = o.unfold })
  self.stages = nn.List {}
  local width = o.fc_dim
  for _, stage in ipairs(geometry.stages(o, o.fc_dim)) do
    self.stages:append(self:block(stage.from, stage.to,
      { kernel = stage.kernel, scale = stage.scale }))
    width = stage.to
  end
  self.head = nn.Conv2d(width, 3, { kernel = 3, padding = 1 })
end

function HNeRV:block(c_in, c_out, given)
  given.act = self.config.act
  return nn.NeRVBlock(c_in, c_out, given)
end

-- (1, 3, height, width) → the embedding, (1, enc_dim[2], grid height, grid width). Frames that
-- the strides do not divide are continued by their last row and column.
function HNeRV:encode(image)
  local c, p = self.config, self.padding
  if image:size(3) ~= c.height or image:size(4) ~= c.width then
    errors.raise("a frame of %dx%d expected, got %dx%d", c.height, c.width, image:size(3),
      image:size(4))
  end
  if p.bottom > 0 or p.right > 0 then image = image:pad(p) end
  return self.encoder(image)
end

-- The embedding → (1, 3, height, width).
function HNeRV:decode(embedding)
  local x = self.stem(embedding)
  for _, stage in ipairs(self.stages) do x = stage(x) end
  return self:image(self.head(x))
end

function HNeRV:forward(image, t) return self:decode(self:encode(image), t) end

-- What training and evaluation call: `frame` is { image, t, index }.
function HNeRV:reconstruct(frame) return self(frame.image, frame.t) end

-- The head's output as an image, without the padding.
function HNeRV:image(x)
  local c, p = self.config, self.padding
  if p.bottom > 0 then x = x:slice(3, 1, c.height) end
  if p.right > 0 then x = x:slice(4, 1, c.width) end
  return nn.out_image(x, c.out_image)
end

-- Hyper-parameters --------------------------------------------------------------------------

-- Completes the options, works out what is not given, and keeps it all in `self.config`, from
-- which an equal model can be built.
function HNeRV:settle(given)
  local o = options.for_model(self.kind, given, { "clip", "height", "width", "frames", "unfold" })
  o.kind = self.kind
  o.height, o.width, o.frames = geometry.frame(o)
  o.clip = nil
  o.largest_kernel = self.largest_kernel
  o.strides = o.strides or geometry.strides(o.height, o.width)
  o.enc_strides = o.enc_strides or o.strides

  local down, up = geometry.product(o.enc_strides), geometry.product(o.strides)
  if down % up ~= 0 then
    errors.raise("enc_strides: a multiple of the strides' product %d expected, got %d", up, down)
  end
  o.unfold = down // up
  self.padding = {
    bottom = geometry.up(o.height, down) - o.height,
    right = geometry.up(o.width, down) - o.width, mode = "edge",
  }
  self.grid = { (o.height + self.padding.bottom) // down, (o.width + self.padding.right) // down }

  local cells = self.grid[1] * self.grid[2]
  if not (o.fc_dim or o.params or o.size) then
    -- 1.5 million for 132 frames of 720×1280, and as the root of the pixels from there.
    o.size = 1.5 * math.sqrt(o.height * o.width * o.frames / (720 * 1280 * 132))
  end
  if o.enc_dim[2] < 1 then
    if not o.size then errors.raise "enc_dim: a share of the size needs a size" end
    o.enc_dim[2] = math.max(1, math.floor(o.enc_dim[2] * 1e6 * o.size / o.frames / cells))
  end
  local embeddings = o.enc_dim[2] * cells * o.frames
  if o.fc_dim then
    o.params, o.size = nil, nil
  elseif o.params then
    o.size = nil
    o.fc_dim = budget.exact_width(o.params, function(width)
      return budget.hnerv_decoder(o, width) + embeddings
    end)
  else
    o.fc_dim = budget.published_width(o, o.size, embeddings, o.enc_dim[2] * o.unfold ^ 2 * 9)
  end
  self.config = o
  return o
end

-- Parameters that a file holds: the decoder's, and every frame's embedding.
function HNeRV:stored_parameters()
  local c = self.config
  local embeddings = c.enc_dim[2] * self.grid[1] * self.grid[2] * c.frames
  return self:parameter_count() - self.encoder:parameter_count() + embeddings
end

-- One line for people.
function HNeRV:summary()
  local c = self.config
  return ("%s: width %d, strides %s, grid %dx%d, embedding %d, %d stored parameters"):format(
    c.kind, c.fc_dim, table.concat(c.strides, ","), self.grid[1], self.grid[2], c.enc_dim[2],
    self:stored_parameters())
end

return HNeRV
