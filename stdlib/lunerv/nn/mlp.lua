-- nn.MLP({ 160, 64, 32 }, { act = "sin", last = "sin" }): linear layers, each followed by the
-- activation, the last one by `last` (the same unless given).
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"
local Linear <const> = require "lunerv.nn.linear"
local List <const> = require "lunerv.nn.list"
local options <const> = require "lunerv.options"

local MLP <const> = class("MLP", List)

function MLP:init(widths, given)
  errors.check_list("MLP", widths)
  if #widths < 2 then errors.raise("MLP: expected at least two widths, got %d", #widths) end
  local o = options(given, { act = "relu" }, { "last" })
  for i = 2, #widths do self:append(Linear(widths[i - 1], widths[i])) end
  self.act, self.last = activation(o.act), activation(o.last or o.act)
end

function MLP:forward(x)
  for i = 1, #self - 1 do x = self.act(self[i](x)) end
  return self.last(self[#self](x))
end

return MLP
