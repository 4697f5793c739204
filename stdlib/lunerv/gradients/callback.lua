-- Calls a user's function while gradients are computed: in the module in which it was registered,
-- without recording, and with its location for messages.
local native <const> = require "lunerv.native"
local running <const> = require "lunerv.nn.running"

local callback <const> = {}

-- Wraps `f` for such a call. An error in it keeps its line, and gets the path of that module.
function callback.of(f)
  local module <const> = running.module()
  return function(...)
    local _ <close> = module and running.enter(module)
    return native.no_grad(f, ...)
  end
end

-- Where a function is defined: " (own.lua:12)".
function callback.place(f)
  local info = debug and type(f) == "function" and debug.getinfo(f, "S")
  return info and info.what == "Lua" and (" (%s:%d)"):format(info.short_src, info.linedefined) or ""
end

local function form(dtype, shape) return ("%s (%s)"):format(dtype, table.concat(shape, ", ")) end

-- What is wrong with a gradient that should have this dtype and shape; nil if nothing is.
function callback.problem(gradient, dtype, shape)
  if not native.is_tensor(gradient) then
    return ("expected a tensor or nil, got %s"):format(type(gradient))
  end
  local expected, got = form(dtype, shape), form(gradient.dtype, gradient.shape)
  if got ~= expected then return ("expected %s, got %s"):format(expected, got) end
end

return callback
