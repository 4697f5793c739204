-- nn.Sequential { a, b, … }: each applied to the result of the one before. Modules, functions and
-- names of activations.
local activation <const> = require "lunerv.nn.activation"
local class <const> = require "lunerv.nn.class"
local errors <const> = require "lunerv.errors"

local Sequential <const> = class "Sequential"

function Sequential:init(steps, ...)
  errors.check_list("Sequential", steps, ...)
  for i, step in ipairs(steps) do
    if type(step) == "string" then step = activation(step) end
    if type(step) ~= "table" and type(step) ~= "function" then
      errors.raise("step %d: expected a module or a function, got %s", i, type(step))
    end
    self[i] = step
  end
end

function Sequential:forward(x)
  for _, step in ipairs(self) do x = step(x) end
  return x
end

return Sequential
