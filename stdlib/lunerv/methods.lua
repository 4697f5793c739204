-- The error message for a call of a missing method.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local Module <const> = require "lunerv.nn.state"
local tree <const> = require "lunerv.nn.tree"

local is_module <const>, ORDER <const> = tree.is_module, tree.ORDER

-- The name of an object in messages: a module or class by its class, others by their Lua type.
local function name_of(object)
  if type(object) == "userdata" then
    local name = tostring(object):match "^(%a+)"
    return name
  elseif type(object) ~= "table" then
    return nil
  end
  if is_module(object) or type(rawget(object, "class_name")) == "string" then
    return object.class_name
  end
  local meta = getmetatable(object)
  return type(meta) == "table" and type(meta.__index) == "table" and meta.__name or nil
end

-- Two lists of names: the methods of an object's own classes; and all methods, including those of
-- every module, and the fields.
local function names_of(object)
  local own, all, seen = {}, {}, {}
  local function add(key, is_own)
    if type(key) ~= "string" or seen[key] then return end
    seen[key] = true
    all[#all + 1] = key
    if is_own then own[#own + 1] = key end
  end
  if type(object) == "userdata" then
    for key in next, (bridge.class_members(object)) or {} do add(key, key:sub(1, 2) ~= "__") end
    return own, all
  end
  for _, key in ipairs(is_module(object) and object[ORDER] or {}) do add(key) end
  local is_class = rawget(object, "class_name") ~= nil
  local class = is_class and object or getmetatable(object).__index
  while type(class) == "table" do
    for key, value in next, class do
      local is_hidden = key == "init" or type(key) == "string" and key:sub(1, 2) == "__"
      if type(value) == "function" and not is_hidden then add(key, class ~= Module) end
    end
    local meta = getmetatable(class)
    class = meta and meta.__index
  end
  return own, all
end

-- The message for a call of an object's missing method; nil to keep Lua's own message.
return function(object, name)
  local called = name_of(object)
  if not called or object[name] ~= nil then return nil end
  local own, all = names_of(object)
  table.sort(all)
  return ("%s has no method '%s'%s (methods: %s)"):format(called, name, names.meant(name, all),
    errors.list(own))
end
