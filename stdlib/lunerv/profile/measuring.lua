-- Starts and ends a measurement. The profiler is native (Sources/Tensors/Profiler.swift); this file
-- reports the current Lua module to it.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local tree <const> = require "lunerv.nn.tree"
local call_hooks <const> = require "lunerv.nn.call_hooks"

local measuring <const> = {}

-- Module → the number of its path, valid until a module moves.
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

-- A coroutine counts as part of the module that resumed it until it enters a module, and again
-- after it leaves it.
local function enter(stack)
  local outer = native.profile_site(number_of(stack[#stack]))
  if #stack == 1 then stack.outer = outer end
end

local function leave(stack)
  local module = stack[#stack]
  native.profile_site(module and number_of(module) or stack.outer or 0)
end

function measuring.begin()
  if native.profile_is_on() then errors.raise("profile: a profile is already running") end
  numbers, known_moves = nil, nil
  native.profile_start()
  call_hooks.enter, call_hooks.leave = enter, leave
end

-- The measurement as plain data; nil if there was none.
function measuring.stop()
  call_hooks.enter, call_hooks.leave = nil, nil
  return native.profile_stop()
end

return measuring
