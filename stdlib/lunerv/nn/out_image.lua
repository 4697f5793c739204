-- Turns the output of a decoder's last layer into an image.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

--- Turns the output of a decoder's head into an image: "tanh" is 0.5·tanh(x) + 0.5, "sigmoid" is
--- the sigmoid; a number is added to the output.
---
---     local image = nn.out_image(self.head(x), "sigmoid")
---
---@param x lunerv.Tensor  (n, 3, h, w)
---@param how? string|number  "tanh" unless given
---@return lunerv.Tensor
local function out_image(x, how)
  if how == nil or how == "tanh" then return native.tanh(x) * 0.5 + 0.5 end
  if how == "sigmoid" then return native.sigmoid(x) end
  if type(how) == "number" then return x + how end
  errors.raise("nn.out_image: expected 'tanh', 'sigmoid' or a number, got %s", errors.show(how))
end

return out_image
