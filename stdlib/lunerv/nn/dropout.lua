-- Elements dropped at random in training.
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local takes <const> = options.takes("nn.Dropout", {
  { "training", nil, "whether elements are dropped (default: while gradients are recorded)",
    type = "boolean" },
})

--- In training, each element becomes 0 with probability p and is divided by 1 − p otherwise; in
--- evaluation nothing changes (JMLR 15:1929).
--- Unlike PyTorch, there is no training mode: training means that gradients are recorded, and
--- evaluation is inside lv.no_grad, unless `training` (also a field of the module) decides.
---
---     local drop = nn.Dropout(0.1)
---     drop.training = false
---
---@param p? number  probability that an element is dropped (0.5)
---@param options? lunerv.nn.Dropout.Options
local Dropout <const> = class "Dropout"

function Dropout:init(p, given)
  local o = takes(given)
  p = p or 0.5
  if type(p) ~= "number" or not (p >= 0 and p <= 1) then
    errors.raise("nn.Dropout: expected a probability from 0 to 1, got %s", tostring(p))
  end
  self.p = p
  if o.training ~= nil then self.training = o.training end
end

function Dropout:forward(x)
  local training = self.training
  if training == nil then training = native.is_grad_enabled() end
  if not training then return x end
  return x:dropout(self.p)
end

return Dropout
