-- Linear layers with activations.
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local Linear <const> = require "lunerv.nn.linear"
local List <const> = require "lunerv.nn.list"
local options <const> = require "lunerv.options"

local takes <const> = options.takes("nn.MLP", {
  { "act", "relu", "the activation after each layer: a name or a function" },
  { "last", nil, "the activation after the last layer (act)", type = "string|function" },
})

--- Linear layers over the last dimension, each followed by an activation.
---
---     local mlp = nn.MLP({ 160, 64, 32 }, { act = "sin", last = "none" })
---
---@param widths integer[]  features of the input, then of each layer's output
---@param options? lunerv.nn.MLP.Options
local MLP <const> = class("MLP", List)

function MLP:init(widths, given)
  errors.check_list("nn.MLP", widths)
  if #widths < 2 then errors.raise("nn.MLP: expected at least two widths, got %d", #widths) end
  local o = takes(given)
  for i = 2, #widths do self:append(Linear(widths[i - 1], widths[i])) end
  self.act, self.last = activation(o.act), activation(o.last or o.act)
end

function MLP:forward(x)
  for i = 1, #self - 1 do x = self.act(self[i](x)) end
  return self.last(self[#self](x))
end

return MLP
