-- Modules: objects that list their parameters, in the order of assignment.
--
--   local Block = nn.class "Block"
--   function Block:init(width) self.conv = nn.Conv2d(width, width, { kernel = 1 }) end
--   function Block:forward(x) return self.conv(x):sin() end
--   local block = Block(8)
--   local y = block(x)
local absent_method <const> = require "lunerv.methods"
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local observing <const> = require "lunerv.nn.observing"
local origin <const> = require "lunerv.nn.origin"
local Module <const> = require "lunerv.nn.state"
local running <const> = require "lunerv.nn.running"
local tree <const> = require "lunerv.nn.tree"

local ORDER <const>, is_module <const> = tree.ORDER, tree.is_module
local enter <const> = running.enter

bridge.set_error_path(running.path, absent_method)

-- Classes -----------------------------------------------------------------------------------

-- Whether `value` is a trained tensor that is not yet a field of the module.
local function is_new_parameter(self, value)
  if not tree.is_tensor(value) or not value.requires_grad then return false end
  local seen = {}
  tree.traverse(self, "", seen, function() end)
  return tree.is_unseen(value, seen)
end

-- Runs when a field is first set: records the order of fields, and a module's parent.
local function assign(self, key, value)
  if is_module(value) then
    tree.place(value, self)
  elseif type(value) == "table" and not getmetatable(value) then
    local first = rawget(value, 1)
    if is_module(first) or is_new_parameter(self, first) then
      errors.raise("field '%s' of %s is a plain table of %s, which training would not find: %s",
        tostring(key), self.class_name, is_module(first) and "modules" or "parameters",
        is_module(first) and "make it nn.List { … }" or "give each one a field of its own")
    end
  end
  local order = self[ORDER]
  order[#order + 1] = key
  rawset(self, key, value)
end

local function call(self, ...)
  local _ <close> = enter(self)
  local observer = observing.observer
  if observer then return observer(self, ...) end
  return self:forward(...)
end

local function describe(self)
  return ("%s (%d parameters)"):format(self.class_name, self:parameter_count())
end

-- Raises an error if a class is called with more arguments than its `init` takes. Programs in files
-- are exempt.
local function refuse_surplus(class, ...)
  local info = debug and debug.getinfo(class.init, "u")
  local most = info and not info.isvararg and math.max(info.nparams - 1, 0)
  if most and select("#", ...) > most then
    errors.raise("%s: expected at most %d arguments, got %d", class.class_name, most,
      select("#", ...))
  end
end

--- Makes a class of modules. Its methods are `init`, which gets the constructor's arguments,
--- `forward`, which computes, and any others. Calling the class makes a module.
--- Unlike PyTorch, the parent's init is not called automatically: call `Parent.init(self, …)` if
--- needed.
---
---     local Block = nn.class "Block"
---     function Block:init(width) self.conv = nn.Conv2d(width, width, 3, { padding = 1 }) end
---     function Block:forward(x) return self.conv(x):sin() + x end
---     local y = Block(8)(lv.rand(1, 8, 16, 16))
---
---@param name string  its name in messages and file sections
---@param parent? table  the base class
---@return table  the class
local function class_of(name, parent)
  if type(name) ~= "string" then
    errors.raise("nn.class: expected the name of the class, got %s", type(name))
  end
  if parent ~= nil and (type(parent) ~= "table" or type(parent.init) ~= "function") then
    errors.raise("nn.class '%s': expected the class it extends, got %s", name,
      errors.type_of(parent))
  end
  local class = { class_name = name }
  local object = {
    __index = class, __newindex = assign, __call = call, __tostring = describe, __name = name,
  }
  return setmetatable(class, {
    __index = parent or Module,
    __call = function(_, ...)
      refuse_surplus(class, ...)
      local self = setmetatable({ [ORDER] = {} }, object)
      origin[self] = { class = class, arguments = table.pack(...) }
      self:init(...)
      return self
    end,
    __tostring = function() return "class " .. name end,
  })
end

return class_of
