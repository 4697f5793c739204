-- Gradients of whole modules against finite differences, in some elements of every tensor.
local gradcheck <const> = require "lunerv.gradients.gradcheck"

local gradients <const> = {}

function gradients.check(module, inputs)
  gradcheck(module, inputs, { elements = 3, tolerance = 1e-7 })
end

return gradients
