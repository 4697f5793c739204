-- Begins and ends a measurement. The measuring is native (Sources/Tensors/Profiler.swift); here it
-- is told which module Lua is in.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local tree <const> = require "lunerv.nn.tree"
local watch <const> = require "lunerv.nn.watch"

local measuring <const> = {}

-- Module → the number of its path, until a module moves.
local numbers, known_moves

local function number_of(module)
  if known_moves ~= tree.moves then
    numbers, known_moves = setmetatable({}, { __mode = "k" }), tree.moves
  end
  local number = numbers[module]
  if not number then
    number = native.profile_path(tree.path(module))
    numbers[module] = number
  end
  return number
end

-- A coroutine is where it was resumed until it enters a module, and there again afterwards.
local function enter(stack)
  local outer = native.profile_site(number_of(stack[#stack]))
  if #stack == 1 then stack.outer = outer end
end

local function leave(stack)
  local module = stack[#stack]
  native.profile_site(module and number_of(module) or stack.outer or 0)
end

function measuring.begin()
  if native.profile_is_on() then errors.raise("profile: a profile is being made already") end
  numbers, known_moves = nil, nil
  native.profile_start()
  watch.enter, watch.leave = enter, leave
end

-- What was measured, as plain data; nil where nothing was.
function measuring.stop()
  watch.enter, watch.leave = nil, nil
  return native.profile_stop()
end

return measuring
