-- The storage of `x:register_hook(f)`. A hook of a computed tensor lives as long as its graph. A
-- hook of a parameter lives as long as the parameter, even if it refers to the parameter or to its
-- model: the tape refers to it only by number.
local callback <const> = require "lunerv.gradients.callback"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

-- Parameter → its hooks, { run =, hook = } by number; number → one of these. A hook that refers to
-- its parameter does not keep it alive, because only the parameter holds the hook.
local hooks_of <const> = setmetatable({}, { __mode = "k" })
local by_number <const> = setmetatable({}, { __mode = "v" })
local count = 0

local function checked(f)
  local run <const> = callback.of(f)
  return function(gradient)
    local other = run(gradient)
    local problem = other ~= nil and callback.problem(other, gradient.dtype, gradient.shape)
    if problem then errors.raise("register_hook%s: %s", callback.place(f), problem) end
    return other
  end
end

return function(x, f)
  local run <const> = checked(f)
  if not x.is_leaf then return native.add_hook(x, run) end
  count = count + 1
  local number <const> = count
  local hook <const> = native.add_hook(x, function(gradient)
    local known = by_number[number]
    return known and known.run(gradient)
  end)
  local list = hooks_of[x] or {}
  for key, other in pairs(list) do
    if not other.hook.active then list[key] = nil end
  end
  local entry = { run = run, hook = hook }
  hooks_of[x], list[number], by_number[number] = list, entry, entry
  return hook
end
