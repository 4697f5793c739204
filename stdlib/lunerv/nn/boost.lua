-- Boosts any decoder: its blocks become conditioned on time, in place.
local Boosted <const> = require "lunerv.nn.boosted"
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local MLP <const> = require "lunerv.nn.mlp"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local PositionEncoding <const> = require "lunerv.nn.position_encoding"

local function is_tensor(value) return type(value) == "userdata" and native.is_tensor(value) end

-- A boosted block whose callers pass no temporal embedding: it takes it from `conditioning`.
local InPlace <const> = class("BoostedInPlace", Boosted)

function InPlace:init(block, channels, conditioning, given)
  Boosted.init(self, block, channels, given)
  self.conditioning = conditioning
end

function InPlace:forward(...)
  local z = self.conditioning.z
    or errors.raise "nn.boost: a boosted block was called without a time: call the boosted decoder"
  local results = table.pack(self.up(...))
  results[1] = self.residual(results[1], z)
  return table.unpack(results, 1, results.n)
end

-- Where to boost ----------------------------------------------------------------------------

-- The first image or map among a call's arguments.
local function map_in(inputs)
  for i = 1, inputs.n do
    if is_tensor(inputs[i]) and #inputs[i].shape == 4 then return inputs[i] end
  end
end

local function enlarges(call)
  local before, after = map_in(call.inputs), call.output
  return before and is_tensor(after) and #after.shape == 4
    and after:size(3) * after:size(4) > before:size(3) * before:size(4)
end

-- The modules that enlarge a map and contain none that does, in the order of their calls.
local function enlarging(calls)
  local found, chosen, seen = {}, {}, {}
  for _, call in ipairs(calls) do found[call.module] = found[call.module] or enlarges(call) end
  for _, call in ipairs(calls) do
    local module, inner = call.module, 0
    for _, part in ipairs(module:modules()) do
      if found[part] then inner = inner + 1 end
    end
    -- modules() includes the module itself: a count of 1 means that none inside it enlarges.
    if found[module] and inner == 1 and not seen[module] then chosen[#chosen + 1] = module end
    seen[module] = true
  end
  return chosen
end

-- The number of channels that `block` made in those calls.
local function channels_of(block, calls)
  local channels
  for _, call in ipairs(calls) do
    if call.module == block then
      if not is_tensor(call.output) or #call.output.shape ~= 4 then
        errors.raise("nn.boost: %s does not make a map, (n, channels, h, w), that could be boosted",
          block.class_name)
      end
      if channels and channels ~= call.output:size(2) then
        errors.raise("nn.boost: %s makes %d channels once, %d another time", block.class_name,
          channels, call.output:size(2))
      end
      channels = call.output:size(2)
    end
  end
  return channels
    or errors.raise("nn.boost: %s is not called in the decoder, or not in this way",
      tostring(block))
end

-- Activations that are replaced by a sine if a module holds them in a field.
local replaceable <const> = { [native.gelu] = true, [native.silu] = true, [native.relu] = true }

-- All layers of the decoder get sines, not only the blocks: another activation in the layers before
-- them loses most of the gain. Modules that were not called, such as an encoder, keep theirs.
local function replace_activations(calls, act)
  for _, call in ipairs(calls) do
    for key, value in pairs(call.module) do
      if replaceable[value] then rawset(call.module, key, act) end
    end
  end
end

-- The boosted decoder -----------------------------------------------------------------------

local takes <const> = options.takes("nn.boost", {
  { "decoder", nil, "the module to boost; it is changed in place", type = "any" },
  { "blocks", nil, "the modules to boost (those that enlarge a map and contain none that does)",
    type = "list" },
  { "clip", nil, "the clip for one run of the decoder that finds its blocks and channels",
    type = "clip" },
  { "sample", nil, "a frame { image, t, index } instead of the clip; a decoder of time alone needs "
    .. "neither", type = "table" },
  { "act", "sin", "activation that replaces those of the modules that run; \"keep\": none is "
    .. "replaced" },
  { "ch_t", 32, "width of the temporal embedding" },
  { "pe_base", 1.25, "base of the positional encoding of the time" },
  { "pe_levels", 80, "levels of the positional encoding of the time" },
  { "conditioning", "tat", "\"tat\", or \"adain\"" },
})

--- Boosts any decoder in place (arXiv 2402.18152): a residual block conditioned on the temporal
--- embedding (nn.TATResidual) follows each of its blocks, and its activations become sines. The
--- decoder is a module that is called with the time, (t) or (image, t), or has
--- `reconstruct(frame)`; its own code does not change. An activation that forward calls by name
--- stays, and so do an encoder's. The result trains like any model; its parameters are the
--- decoder's and the added ones.
---
---     local boosted = nn.boost { decoder = MyDecoder(16), clip = clip }
---     lv.train { model = boosted, clip = clip, epochs = 10 }
---
---@param options lunerv.nn.boost.Options
local Boost <const> = class "Boost"

-- Methods that exist only if the decoder has them.
local function encode(self, ...) return self.decoder:encode(...) end

local function decode(self, embedding, t)
  local _ <close> = self:at(t)
  return self.decoder:decode(embedding, t)
end

-- The decoder's reconstruction of a frame.
local function rebuild(decoder, frame)
  if decoder.reconstruct then return decoder:reconstruct(frame) end
  return decoder(frame.t)
end

-- Replaces each block of self.decoder by a boosted block.
local function boost_blocks(self, o)
  local decoder, sample = self.decoder, o.sample or { t = 0.5, index = 1 }
  if o.clip then sample = o.clip:sample(1) end
  local embedding = decoder.encode and decoder.decode
    and native.no_grad(function() return decoder:encode(sample.image):evaluate() end)
  local calls = decoder:observe(function()
    native.no_grad(function()
      return embedding and decoder:decode(embedding, sample.t) or rebuild(decoder, sample)
    end)
  end)
  local blocks = o.blocks or enlarging(calls)
  if #blocks == 0 then
    errors.raise("nn.boost: no module in %s enlarges a map: name the `blocks` to boost",
      decoder.class_name)
  end
  if o.act ~= "keep" then replace_activations(calls, activation(o.act)) end
  for _, block in ipairs(blocks) do
    local channels = channels_of(block, calls)
    local boosted = InPlace(block, channels, self.conditioning,
      { cond = o.ch_t, normalise = o.conditioning == "adain" })
    if decoder:replace(block, boosted) == 0 then
      errors.raise("nn.boost: %s is the decoder itself, or not in one of its fields",
        block.class_name)
    end
  end
end

function Boost:init(given)
  local o = takes(given)
  if type(o.decoder) ~= "table" or not o.decoder.observe then
    errors.raise("nn.boost: expected a module as its decoder, got %s", type(o.decoder))
  end
  if o.conditioning ~= "tat" and o.conditioning ~= "adain" then
    errors.raise("nn.boost: conditioning: expected 'tat' or 'adain', got '%s'",
      tostring(o.conditioning))
  end
  self.decoder = o.decoder
  self.position = PositionEncoding { base = o.pe_base, levels = o.pe_levels }
  self.time = MLP({ 2 * o.pe_levels, 2 * o.ch_t, o.ch_t },
    { act = o.act == "keep" and "sin" or o.act })
  self.conditioning = {}
  boost_blocks(self, o)

  local decoder = o.decoder
  if decoder.encode then self.encode = encode end
  if decoder.decode then self.decode = decode end
end

--- Sets the time that conditions the blocks, as long as the result is in scope.
---
---     local _ <close> = boosted:at(0.5)
---     local map = boosted.decoder.body(x)
---
---@param t number|number[]
---@return table  to be closed
function Boost:at(t)
  local conditioning, outer = self.conditioning, self.conditioning.z
  conditioning.z = self.time(self.position(t))
  return setmetatable({}, { __close = function() conditioning.z = outer end })
end

-- Called like the decoder, with the time as the last argument.
function Boost:forward(...)
  local count = select("#", ...)
  local t = count > 0 and select(count, ...) or nil
  if type(t) ~= "number" and type(t) ~= "table" then
    errors.raise("Boost: expected a time as the last argument, got %s", type(t))
  end
  local _ <close> = self:at(t)
  return self.decoder(...)
end

--- The reconstruction of a frame, for training and evaluation.
---
---     local image = boosted:reconstruct(clip:sample(1))
---
---@param frame table  { image, t, index }
---@return lunerv.Tensor  (1, 3, height, width)
function Boost:reconstruct(frame)
  local _ <close> = self:at(frame.t)
  return rebuild(self.decoder, frame)
end

--- The number of parameters in a file: the decoder's own count, plus the added ones.
---
---     print(boosted:stored_parameters())
---
---@return integer
function Boost:stored_parameters()
  if not self.decoder.stored_parameters then return self:parameter_count() end
  return self.decoder:stored_parameters() + self.time:parameter_count()
end

return Boost
