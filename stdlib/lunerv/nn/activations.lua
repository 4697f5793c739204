-- Activations as modules, for lists of layers: nn.Sequential(nn.Linear(2, 8), nn.GELU()).
local class <const> = require "lunerv.nn.class"
local native <const> = require "lunerv.native"

--- x·Φ(x), Φ the normal distribution's cumulative function, as a module.
---
---     local layers = nn.Sequential(nn.Linear(2, 8), nn.GELU(), nn.Linear(8, 1))
---
local GELU <const> = class "GELU"
function GELU:forward(x) return native.gelu(x) end

--- max(x, 0), as a module.
---
---     local y = nn.ReLU()(x)
---
local ReLU <const> = class "ReLU"
function ReLU:forward(x) return native.relu(x) end

--- x·sigmoid(x), which is also called swish, as a module.
---
---     local y = nn.SiLU()(x)
---
local SiLU <const> = class "SiLU"
function SiLU:forward(x) return native.silu(x) end

--- 1 / (1 + e^-x), as a module.
---
---     local y = nn.Sigmoid()(x)
---
local Sigmoid <const> = class "Sigmoid"
function Sigmoid:forward(x) return native.sigmoid(x) end

--- The hyperbolic tangent, as a module.
---
---     local y = nn.Tanh()(x)
---
local Tanh <const> = class "Tanh"
function Tanh:forward(x) return native.tanh(x) end

--- The sine, as a module: the activation of the boosted kinds.
---
---     local y = nn.Sin()(x)
---
local Sin <const> = class "Sin"
function Sin:forward(x) return native.sin(x) end

--- Returns its input unchanged: a module for a place that needs none.
---
---     model.head = nn.Identity()
---
local Identity <const> = class "Identity"
function Identity:forward(...) return ... end

return {
  GELU = GELU, ReLU = ReLU, SiLU = SiLU, Sigmoid = Sigmoid, Tanh = Tanh, Sin = Sin,
  Identity = Identity,
}
