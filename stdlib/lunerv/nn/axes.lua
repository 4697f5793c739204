-- Options of convolutions: one number, or one per axis.
local errors <const> = require "lunerv.errors"
local parameter <const> = require "lunerv.nn.parameter"

local axes <const> = {}

local forms <const> = { [2] = "{ y, x }", [3] = "{ d, y, x }" }

-- `value` as an integer of at least `least` (1), or as a list of `count` of them.
function axes.checked(value, count, what, least)
  if type(value) ~= "table" then return parameter.integer(value, what, least) end
  if #value ~= count then
    errors.raise("%s: expected an integer or %s, got a table of %d", what, forms[count], #value)
  end
  local list = {}
  for i = 1, count do list[i] = parameter.integer(value[i], what, least) end
  return list
end

-- The same value as a list of `count` numbers.
function axes.list(value, count, what, least)
  local checked = axes.checked(value, count, what, least)
  if type(checked) == "table" then return checked end
  local list = {}
  for i = 1, count do list[i] = checked end
  return list
end

-- Whether a table is a list of kernel sides rather than a table of options.
function axes.is_list(value) return type(value) == "table" and value[1] ~= nil end

-- The options of the convolution `what`; the kernel may precede them.
function axes.with_kernel(what, takes, kernel, given)
  if type(kernel) ~= "number" and not axes.is_list(kernel) then
    if given ~= nil then
      errors.raise("%s: expected the kernel before the options, got %s", what, type(kernel))
    end
    return takes(kernel)
  end
  local o = takes(given)
  if o.kernel ~= nil then
    errors.raise("%s: expected one kernel, got %s and the option 'kernel'", what,
      axes.is_list(kernel) and "a table" or kernel)
  end
  o.kernel = kernel
  return o
end

-- Padding: numbers, or "same" where `same` is allowed.
function axes.padding(value, count, what, same)
  if same and value == "same" then return value end
  if type(value) == "string" then
    errors.raise("%s: expected numbers%s, got '%s'", what, same and " or 'same'" or "", value)
  end
  return axes.checked(value, count, what, 0)
end

-- Checks groups: they must divide the input and output channels; `what` is the layer.
function axes.groups(value, c_in, c_out, what)
  local groups = parameter.integer(value, what .. ": groups")
  if c_in % groups ~= 0 or c_out % groups ~= 0 then
    errors.raise("%s: groups: expected a divisor of %d and %d channels, got %d", what, c_in, c_out,
      groups)
  end
  return groups
end

-- `value`, or nil if it is 1, the default.
function axes.unless_one(value)
  if value ~= 1 then return value end
end

return axes
