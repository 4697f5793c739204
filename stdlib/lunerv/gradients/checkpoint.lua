-- lv.checkpoint: activation checkpointing. A part of a network is recomputed in the backward
-- pass, so that its intermediate results need not be stored.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local running <const> = require "lunerv.nn.running"
local replaced <const> = require "lunerv.nn.replacements"

local function is_callable(f)
  local meta = type(f) ~= "function" and getmetatable(f)
  return type(f) == "function" or type(meta) == "table" and meta.__call ~= nil
end

-- The arguments of a call that is recorded on its own: leaves replace the tensors that require a
-- gradient. Also returns those leaves, as a list.
local function with_leaves(arguments)
  local own, leaves = { n = arguments.n }, {}
  for i = 1, arguments.n do
    own[i] = arguments[i]
    if arguments.wanted[i] then
      own[i] = arguments[i]:detach()
      own[i].requires_grad = true
      leaves[#leaves + 1] = own[i]
    end
  end
  return own, leaves
end

local function tensors_of(results)
  local list = {}
  for i = 1, results.n do
    if native.is_tensor(results[i]) then list[#list + 1] = results[i] end
  end
  return list
end

-- What is stored: the values of the arguments, and which of them need a gradient. Also those
-- tensors.
local function frozen(...)
  local arguments, inputs = table.pack(...), {}
  arguments.wanted = {}
  for i = 1, arguments.n do
    local value = arguments[i]
    if native.is_tensor(value) then
      if value.requires_grad then
        arguments.wanted[i] = true
        inputs[#inputs + 1] = value
      end
      arguments[i] = value:detach()
    end
  end
  return arguments, inputs
end

--- Calls a function without storing its intermediate results. If gradients are needed, the function
--- is called again in the backward pass.
--- Unlike PyTorch, there is only one mode (no `use_reentrant`); it works with parameters, lv.grad
--- and hooks. A network split into such parts needs the memory of its largest part, for about a
--- third more time. The second call draws the same random numbers, and computes the same bits. The
--- function, which may be a module, must depend only on its arguments, on parameters and on lv's
--- random numbers; calls may nest. Its results are computed at once.
---
---     for _, block in ipairs(self.blocks) do x = lv.checkpoint(block, x, z) end
---
---@param f fun(...: any): any
---@param ... any  the arguments of the function
---@return any ...  the results of the function
local function checkpoint(f, ...)
  if not is_callable(f) then
    errors.raise("checkpoint: expected a function or a module, got %s", type(f))
  end
  if not native.is_grad_enabled() then return f(...) end
  local arguments <const>, inputs <const> = frozen(...)
  local state <const>, module <const> = native.rng_state(), running.module()
  local replacements <const> = replaced.current()
  local begin <const> = native.checkpoint_begin()

  local own, leaves = with_leaves(arguments)
  local results = table.pack(f(table.unpack(own, 1, own.n)))
  local function again()
    local _ <close> = module and running.enter(module)
    local _ <close> = running.again()
    local now = native.rng_state()
    local function restore() native.set_rng_state(now) end
    native.set_rng_state(state)
    local new, new_leaves = with_leaves(arguments)
    local made = table.pack(bridge.on_error(function()
      return replaced.call(replacements, f, table.unpack(new, 1, new.n))
    end, restore))
    restore()
    return new_leaves, tensors_of(made)
  end
  local outputs = native.checkpoint_results(begin, again, inputs, leaves, tensors_of(results))
  local next_output = 0
  for i = 1, results.n do
    if native.is_tensor(results[i]) then
      next_output = next_output + 1
      results[i] = outputs[next_output]
    end
  end
  return table.unpack(results, 1, results.n)
end

return checkpoint
