-- The modules being computed, for paths in errors and for measurements.
local tree <const> = require "lunerv.nn.tree"
local call_hooks <const> = require "lunerv.nn.call_hooks"

local running <const> = {}

-- The stack of modules being computed, outermost first, for each coroutine. The stack is its own
-- guard: a to-be-closed reference to it pops one module, whether the call returns or fails.
local stacks <const> = setmetatable({}, { __mode = "k" })
local Stack <const> = {
  __close = function(stack)
    stack[#stack] = nil
    if call_hooks.leave then call_hooks.leave(stack) end
  end,
}

-- Marks a module as running while the returned to-be-closed variable lives.
function running.enter(module)
  local thread = coroutine.running()
  local stack = stacks[thread]
  if not stack then
    stack = setmetatable({}, Stack)
    stacks[thread] = stack
  end
  stack[#stack + 1] = module
  if call_hooks.enter then call_hooks.enter(stack) end
  return stack
end

-- The running module, or nil.
function running.module()
  local stack = stacks[coroutine.running()]
  return stack and stack[#stack]
end

-- The number of nested repetitions of earlier calls (lv.checkpoint). What the first call changed,
-- such as running statistics, must not change again.
local repeated = 0
local Repeat <const> = setmetatable({}, { __close = function() repeated = repeated - 1 end })

-- Marks calls as repeated while the returned to-be-closed variable lives.
function running.again()
  repeated = repeated + 1
  return Repeat
end

function running.is_repeated() return repeated > 0 end

-- The path of the running module, or nil.
function running.path()
  local module = running.module()
  return module and tree.path(module)
end

return running
