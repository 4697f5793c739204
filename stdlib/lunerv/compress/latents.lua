-- Embeddings as parameters. An encoder finds them quickly; after that they are trained directly,
-- without the encoder, and a step is a sixth cheaper. It is a module, so that optimisers and
-- checkpoints see them.
local class <const> = require "lunerv.nn.class"
local native <const> = require "lunerv.native"
local parameter <const> = require "lunerv.nn.parameter"

local Latents <const> = class "Latents"

-- For `frames` frames, whose embeddings have the shape { 1, channels, height, width }.
function Latents:init(frames, shape)
  self.values = parameter.from(native.zeros(frames, shape[2], shape[3], shape[4]))
  -- 1 for every frame with an embedding.
  self.known = native.zeros(frames)
end

-- Frame `index`'s embedding; nil if it has none yet.
function Latents:at(index)
  if self.known:select(1, index):item() == 0 then return nil end
  return self.values:slice(1, index, index)
end

-- Sets the initial embedding of frame `index` to `y`.
function Latents:put(index, y)
  native.no_grad(function()
    local values, known = self.values, self.known
    local place = native.arange(1, known:size(1)):eq(index)
    known:copy_(native.where(place, native.ones(1), known):evaluate())
    place = place:view(-1, 1, 1, 1):expand(table.unpack(values.shape))
    local all = y:expand(table.unpack(values.shape))
    values:copy_(native.where(place, all, values):evaluate())
  end)
end

return Latents
