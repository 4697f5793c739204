-- Layers in sequence.
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"

--- Applies each step to the result of the previous one. Steps are modules, functions of a tensor,
--- and names of activations, as arguments or as one list. They are the fields 1, 2, …
---
---     local net = nn.Sequential(nn.Linear(2, 16), "gelu", nn.Linear(16, 1))
---     local same = nn.Sequential { nn.Linear(2, 16), nn.GELU(), nn.Linear(16, 1) }
---
---@param ... lunerv.Module|function|string|table
local Sequential <const> = class "Sequential"

-- The single list, or the arguments if the first one is a step.
local function steps_of(first, ...)
  local is_step = type(first) == "function" or type(first) == "string"
    or type(first) == "table" and (first.class_name or getmetatable(first) ~= nil)
  if not is_step then
    errors.check_list("nn.Sequential", first, ...)
    return first, #first
  end
  return { first, ... }, select("#", ...) + 1
end

function Sequential:init(...)
  local steps, count = steps_of(...)
  for i = 1, count do
    local step = steps[i]
    if type(step) == "string" then step = activation(step) end
    local is_class = type(step) == "table" and rawget(step, "class_name")
    if is_class or type(step) ~= "table" and type(step) ~= "function" then
      errors.raise("nn.Sequential: step %d: expected a module or a function, got %s", i, is_class
        and ("the class %s: call it, %s(…)"):format(is_class, is_class) or type(step))
    end
    self[i] = step
  end
end

function Sequential:forward(x)
  for _, step in ipairs(self) do x = step(x) end
  return x
end

return Sequential
