-- lv.func: operators with custom gradients.
local callback <const> = require "lunerv.gradients.callback"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local takes <const> = options.takes("func", {
  { "forward", nil, "fun(save, …): the results, from the arguments", type = "function" },
  { "backward", nil, "fun(saved, …): a gradient or nil for each argument, from those of the "
    .. "results", type = "function" },
  { "name", "func", "what messages and profiles call it" },
})

-- The tensors among values, and their positions.
local function tensors_of(values)
  local tensors, positions = {}, {}
  for i = 1, values.n do
    if native.is_tensor(values[i]) then
      tensors[#tensors + 1], positions[#positions + 1] = values[i], i
    end
  end
  return tensors, positions
end

-- The gradients that `backward` returned, { n = }, one or nil for each tensor among `count`
-- arguments; `inputs` describes the expected gradients.
local function checked(o, found, inputs, count)
  local gradients = { n = #inputs }
  local function fail(message, ...)
    errors.raise("%s: backward%s: %s", o.name, callback.place(o.backward), message:format(...))
  end
  local least = 0
  for _, input in ipairs(inputs) do
    if input.wanted then least = input.position end
  end
  if found.n < least or found.n > count then
    fail("expected %d gradient%s, one or nil for each argument, got %d", count,
      count == 1 and "" or "s", found.n)
  end
  for i = 1, found.n do
    if found[i] ~= nil and not inputs.by_position[i] then
      fail("gradient %d: expected nil for an argument that is not a tensor, got %s", i,
        type(found[i]))
    end
  end
  for k, input in ipairs(inputs) do
    local gradient = found[input.position]
    if gradient ~= nil and input.wanted then
      local problem = callback.problem(gradient, input.dtype, input.shape)
      if problem then fail("gradient %d: %s", input.position, problem) end
      gradients[k] = gradient
    end
  end
  return gradients
end

-- The facts about the arguments that backward needs, without the values.
local function facts_of(arguments)
  local tensors, positions = tensors_of(arguments)
  local facts = { by_position = {} }
  for k, tensor in ipairs(tensors) do
    facts[k] = { position = positions[k], wanted = tensor.requires_grad, dtype = tensor.dtype,
      shape = tensor.shape }
    facts.by_position[positions[k]] = facts[k]
  end
  return facts, tensors
end

local function call(o, ...)
  local save, arguments = {}, table.pack(...)
  local results = table.pack(native.no_grad(o.forward, save, ...))
  local inputs, tensors = facts_of(arguments)
  local outputs, places = tensors_of(results)
  if #outputs == 0 then
    errors.raise("%s: forward%s: expected a tensor among its results, got %s", o.name,
      callback.place(o.forward), results.n == 0 and "none" or type(results[1]))
  end
  local run <const> = callback.of(o.backward)
  local count <const>, result_count <const> = arguments.n, results.n
  local function backward(...)
    local gradients = { ... }
    if #places < result_count then
      gradients = {}
      for k, place in ipairs(places) do gradients[place] = (select(k, ...)) end
    end
    local found = table.pack(run(save, table.unpack(gradients, 1, result_count)))
    return table.unpack(checked(o, found, inputs, count), 1, #inputs)
  end
  for k, tensor in ipairs(native.joint_results(o.name, backward, tensors, outputs)) do
    results[places[k]] = tensor
  end
  return table.unpack(results, 1, results.n)
end

--- Makes an operator with a custom gradient: a function.
---
--- Unlike PyTorch (`torch.autograd.Function`), there is no class and no `save_for_backward`, and
--- the gradient cannot be differentiated again.
---
--- `forward(save, …)` gets an empty table and the arguments, and returns the results. It stores in
--- the table what backward needs. It runs without recording. `backward(saved, …)` gets that table
--- and the gradient of each result: zeros if nothing was computed from the result, nil if the
--- result is an integer tensor or not a tensor. It returns a gradient for each argument, with the
--- shape and dtype of the argument, or nil for no gradient. Other arguments, such as
--- numbers and tables, have none. Tensors that forward uses but does not receive as arguments get
--- no gradient. `backward` cannot yield.
---
---     local clipped = lv.func {
---       forward = function(save, x, bound)
---         save.inside = x:abs():le(bound)
---         return x:clamp(-bound, bound)
---       end,
---       backward = function(saved, dy) return dy * saved.inside, nil end,
---     }
---     local y = clipped(x, 2)
---
---@param definition lunerv.func.Options
---@return fun(...: any): ...
local function func(definition)
  local o = takes(definition)
  for _, name in ipairs { "forward", "backward" } do
    if not o[name] then errors.raise("func: expected a function `%s`, got nil", name) end
  end
  return function(...) return call(o, ...) end
end

return func
