-- The parts that all kinds of models share: options that depend on one another, a width that fits a
-- budget, stages that may be boosted, images without padding.
--
-- A kind is a class with `kind`, `least_width`, `largest_kernel` where it caps kernels, and
--   set_grid(o)           sets self.grid and self.padding, completes what they depend on
--   next_width            one of geometry.next_width
--   stem_weights(o)       b of the published size rule: the first layer's weights per channel
--   embedding_parameters  stored with the decoder
local advice <const> = require "lunerv.models.advice"
local budget <const> = require "lunerv.models.budget"
local errors <const> = require "lunerv.errors"
local geometry <const> = require "lunerv.models.geometry"
local nn <const> = require "lunerv.nn"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local Model <const> = nn.class "Model"

Model.least_width = 1

-- Fields of a configuration in addition to the options of options/catalogue.lua. `widths`: of the
-- stages, if a foreign file does not follow the rule; `encoder`: false for a decoder alone.
-- `static_path`: where frames lie on a static map that is larger than they are, pairs of a row and
-- a column in pixels, in one list; `static_knots` and `static_reach` follow from it, or are given.
Model.extras = { "clip", "height", "width", "frames", "unfold", "widths", "encoder",
  "static_path", "static_knots", "static_reach" }

-- Fills in the missing options, and stores all of them in `self.config`, from which an equal model
-- can be built.
function Model:configure(given)
  local o = options.for_model(self.kind, given, Model.extras, "models." .. self.kind)
  o.kind, o.largest_kernel = self.kind, self.largest_kernel
  o.height, o.width, o.frames = geometry.frame(o)
  o.clip = nil
  o.head_scale, o.static_dim = math.tointeger(o.head_scale or 1), math.tointeger(o.static_dim or 0)
  o.strides = o.strides or geometry.strides(o.height, o.width, o.head_scale)
  if not (o.fc_dim or o.params or o.size) then
    -- 1.5 million for 132 frames of 720×1280; scaled by the square root of the pixel count.
    o.size = 1.5 * math.sqrt(o.height * o.width * o.frames / (720 * 1280 * 132))
  end
  self.config = o
  self:set_grid(o)
  self:place_static(o)

  local embeddings = self:embedding_parameters()
  if o.fc_dim then
    o.params, o.size = nil, nil
    if o.fc_dim < self.least_width then
      errors.raise("models.%s: fc_dim: expected at least %d, got %d", self.kind, self.least_width,
        o.fc_dim)
    end
  elseif o.params then
    o.size = nil
    o.fc_dim = self:width_within(o.params)
  elseif o.head_scale > 1 then
    -- A size gives the same number of parameters for every head scale.
    local whole = self:full_resolution(given)
    local limit = whole:count(whole.config, whole.config.fc_dim) + whole:embedding_parameters()
    o.fc_dim = self:width_within(limit)
  else
    o.fc_dim = budget.published_width(o, o.size, embeddings, self:stem_weights(o),
      self.least_width, embeddings > 0 and o.enc_dim[2] or nil)
  end
  return o
end

-- A model with the options `given` and a trunk of the frame's full resolution, as a shape only: it
-- has a configuration and a grid, but no layers.
function Model:full_resolution(given)
  local shape = setmetatable({}, { __index = self })
  local others = options.copy(given)
  others.head_scale, others.strides, others.size = 1, self.config.strides, self.config.size
  others.enc_strides, others.widths = nil, nil
  shape:configure(others)
  return shape
end

-- The parameter count of a decoder with options `o` and a width, from a model built of shapes
-- alone.
function Model:count(o, width)
  local config = options.copy(o)
  config.fc_dim, config.encoder = width, false
  return parameter.of_shapes(require("lunerv.models").build, config):parameter_count()
end

-- The largest width with which at most `limit` parameters are stored.
function Model:width_within(limit)
  local embeddings = self:embedding_parameters()
  local width, least = budget.exact_width(limit, function(width)
    return self:count(self.config, width) + embeddings
  end, self.least_width, self:drop_at())
  return width or advice.refuse(self, limit, least)
end

-- Sets `self.static_map`, the options of the nn.StaticMap, and `self.static_stage`, where it is.
function Model:place_static(o)
  self.static_map, self.static_stage = nil, nil
  if o.static_dim == 0 then return end
  local map = geometry.static_map(o, self.grid)
  local path, positions = o.static_path, nil
  if path then
    if type(path) ~= "table" or #path < 4 or #path % 2 == 1 then
      errors.raise("models.%s: static_path: expected a list of at least two pairs, got %s", o.kind,
        type(path) == "table" and ("%d numbers"):format(#path) or errors.show(path))
    end
    positions, o.static_reach = geometry.cells(path, map.cell)
    o.static_knots = #positions
  end
  self.static_stage = map.stage
  self.static_map = { dim = o.static_dim, height = map.height, width = map.width,
    knots = o.static_knots or 0, reach = o.static_reach, path = positions }
end

-- A width at which the parameter count may be lower than at the previous one, or nil.
function Model:drop_at() return nil end

-- Channels of the temporal embedding that conditions the blocks; nil if there is none.
function Model:condition()
  local o = self.config
  return o.conditioning and o.conditioning ~= "none" and o.ch_t or nil
end

-- The stages of a decoder of width `fc_dim`: see geometry.stages. One of them may have `static`,
-- the options of its nn.StaticMap.
function Model:plan(o, fc_dim)
  local stages = geometry.stages(o, fc_dim, self.next_width)
  for _, stage in ipairs(stages) do
    if stage.stage == self.static_stage then stage.static = self.static_map end
  end
  return stages
end

function Model:embedding_parameters() return 0 end

-- The padding at the bottom and the right: how far self.grid, upsampled by `unit`, exceeds the
-- frame. The trunk upsamples by its strides, the head by its scale.
function Model:padding_at(unit)
  local o = self.config
  return { bottom = self.grid[1] * unit - o.height, right = self.grid[2] * unit - o.width }
end

-- Building ----------------------------------------------------------------------------------

-- `block`, which makes the map of `stage`, one of self:plan, with what the stage adds to it: the
-- static map and, in a boosted model, a residual block conditioned on time.
function Model:boosted(block, stage)
  local o, cond, channels = self.config, self:condition(), stage.to
  if stage.static then block = nn.StaticMap(block, channels, stage.static) end
  if not cond then return block end
  return nn.Boosted(block, channels, { cond = cond, normalise = o.conditioning == "adain" })
end

-- One block of the decoder: `stage` is one of self:plan.
function Model:block(stage)
  local up = nn.NeRVBlock(stage.from, stage.to,
    { kernel = stage.kernel, scale = stage.scale, act = self.config.act })
  return self:boosted(up, stage)
end

-- The first block; E-NeRV's differs.
function Model:first_block(stage) return self:block(stage) end

-- All stages after the stem, and the head, which turns the last map into an image: each cell
-- becomes head_scale × head_scale pixels.
function Model:add_stages(head_kernel)
  local o = self.config
  local plan = self:plan(o, o.fc_dim)
  self.stages = nn.List {}
  for i, stage in ipairs(plan) do
    self.stages:append(i == 1 and self:first_block(stage) or self:block(stage))
  end
  -- A head that makes several pixels per cell also sees the cells around.
  local kernel = o.head_scale > 1 and math.max(3, head_kernel) or head_kernel
  self.head = nn.Conv2d(plan[#plan].to, 3 * o.head_scale ^ 2 // 1,
    { kernel = kernel, padding = kernel // 2 })
end

-- The temporal embedding z of a boosted model: position encoding of t → ch_t channels.
function Model:add_time()
  local o, cond = self.config, self:condition()
  if cond then self.time = nn.MLP({ 2 * o.pe_levels, 2 * cond, cond }, { act = o.act }) end
end

-- Use ---------------------------------------------------------------------------------------

-- The last argument of blocks: the time, if there is a static map that is larger than the frame.
function Model:map_time(t) return self.static_map and self.static_map.knots > 0 and t or nil end

-- The map of the stem and the temporal embedding z, if there is one → (n, 3, height, width).
function Model:render(x, z, t)
  local time = self:map_time(t)
  for _, stage in ipairs(self.stages) do x = stage(x, z, time) end
  return self:image(self.head(x))
end

-- Crops the padding from the head's output and makes an image of it.
function Model:image(x)
  local c, p = self.config, self.padding
  if c.head_scale > 1 then x = x:pixel_shuffle(c.head_scale) end
  if p.bottom > 0 then x = x:slice(3, 1, c.height) end
  if p.right > 0 then x = x:slice(4, 1, c.width) end
  return nn.out_image(x, c.out_image)
end

--- The reconstruction of a frame, for training and evaluation.
---
---     local image = model:reconstruct(clip:sample(1))
---
---@param frame table  { image, t, index }
---@return lunerv.Tensor  (1, 3, height, width)
function Model:reconstruct(frame) return self(frame.t) end

--- The number of parameters in a file, with the embeddings but without the encoder.
---
---     print(model:stored_parameters())
---
---@return integer
function Model:stored_parameters() return self:parameter_count() end

function Model:head_note()
  local scale = self.config.head_scale
  return scale > 1 and (" (the last %d the head's)"):format(scale) or ""
end

--- A one-line summary: kind, width, strides, grid, parameters.
---
---     print(model:summary())
---
---@return string
function Model:summary()
  local c = self.config
  return ("%s: width %d, strides %s%s, grid %dx%d, %d stored parameters"):format(c.kind, c.fc_dim,
    table.concat(c.strides, ","), self:head_note(), self.grid[1], self.grid[2],
    self:stored_parameters())
end

return Model
