-- nn.out_image(x, how): what the head made, as an image. "tanh" is 0.5·tanh(x) + 0.5; "sigmoid"; a
-- number is added as it is.
local errors <const> = require "lunerv.errors"

return function(x, how)
  if how == nil or how == "tanh" then return x:tanh() * 0.5 + 0.5 end
  if how == "sigmoid" then return x:sigmoid() end
  if type(how) == "number" then return x + how end
  errors.raise("out_image: expected 'tanh', 'sigmoid' or a number, got %s", tostring(how))
end
