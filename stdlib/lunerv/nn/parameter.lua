-- Trained tensors and their initial values.
local native <const> = require "lunerv.native"
local errors <const> = require "lunerv.errors"
local tree <const> = require "lunerv.nn.tree"

local parameter <const> = {}

-- Tensor → the random number state it was drawn from, and the bound.
local origins <const> = setmetatable({}, { __mode = "k" })

local without_memory = false

-- Runs body(...) with parameters that have a shape but no memory, for counting them. The modules
-- that body builds must not be used otherwise.
function parameter.of_shapes(body, ...)
  local outer <const> = without_memory
  local _ <close> = setmetatable({}, { __close = function() without_memory = outer end })
  without_memory = true
  return body(...)
end

-- A tensor of zeros for a parameter, to be filled by `fill` with the remaining arguments.
local function filled(shape, fill, ...)
  if without_memory then return native.zeros(1):expand(table.unpack(shape)) end
  return native[fill](native.zeros(table.unpack(shape)), ...)
end

--- Makes a tensor a parameter: it gets a gradient, and optimisers see it.
--- Unlike PyTorch, it returns the same tensor, whose requires_grad is set.
---
---     self.scale = nn.parameter(lv.ones(1, width, 1, 1))
---
---@param tensor lunerv.Tensor
---@return lunerv.Tensor  the tensor
function parameter.from(tensor)
  if not native.is_tensor(tensor) then
    errors.raise("nn.parameter: expected a tensor, got %s", errors.type_of(tensor))
  end
  -- A tensor that requires a gradient must have its memory.
  if without_memory then tree.shapes[tensor] = true else tensor.requires_grad = true end
  return tensor
end

-- U(±1/√fan_in).
function parameter.uniform(fan_in, ...)
  local bound = 1 / math.sqrt(fan_in)
  -- Programs from files have no random state, and need no origins.
  local state = native.rng_state and native.rng_state()
  local tensor = parameter.from(filled({ ... }, "uniform_", -bound, bound))
  if state then origins[tensor] = { state = state, bound = bound } end
  return tensor
end

-- The origin of a tensor's initial values, { state =, bound = }: bound·(2u − 1) of the numbers u in
-- [0, 1) drawn from that state on. nil for any other initialisation.
function parameter.origin(tensor) return origins[tensor] end

-- Sets the origin of `tensor`; nil keeps the old one.
function parameter.set_origin(tensor, origin) origins[tensor] = origin or origins[tensor] end

-- The origins of a module's parameters, by name, as plain data: what files of a network store.
function parameter.origins(module)
  local list = {}
  for name, tensor in module:named_parameters() do
    local origin = origins[tensor]
    -- JSON's numbers do not hold 64 bits.
    list[name] = origin and { bound = origin.bound, seed = tostring(origin.state.seed),
      counter = tostring(origin.state.counter) }
  end
  return list
end

-- Sets the origins of tensors by name from `list`, a result of parameter.origins; tensors that are
-- not in it keep theirs.
function parameter.take_origins(tensors, list)
  for name, origin in pairs(list) do
    local state = { seed = tonumber(origin.seed), counter = tonumber(origin.counter) }
    if tensors[name] then origins[tensors[name]] = { bound = origin.bound, state = state } end
  end
end

-- The initial values of a tensor with this origin, in the shape of `tensor`.
function parameter.start(origin, tensor)
  local now = native.rng_state()
  native.set_rng_state(origin.state)
  local values = native.zeros(table.unpack(tensor.shape)):uniform_(-origin.bound, origin.bound)
  native.set_rng_state(now)
  return values
end

-- Normal (0, std), redrawn beyond ±2.
function parameter.trunc_normal(std, ...)
  return parameter.from(filled({ ... }, "trunc_normal_", std))
end

-- The same value everywhere.
function parameter.full(value, ...)
  return parameter.from(filled({ ... }, "fill_", value))
end

-- Returns `value` as an integer of at least `least` (a float such as 8.0 is accepted), or raises an
-- error.
function parameter.integer(value, what, least)
  local integer = math.tointeger(value)
  if not integer or integer < (least or 1) then
    errors.raise("%s: expected an integer of at least %d, got %s", what, least or 1,
      errors.show(value))
  end
  return integer
end

return parameter
