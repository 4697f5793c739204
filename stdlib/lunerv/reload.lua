-- lv.reload: reads a module's changed file again and updates the objects in use.

-- Whether a table is an nn.class, or a module that holds functions.
local function is_plain(t)
  local meta = getmetatable(t)
  return type(meta) ~= "table" or rawget(meta, "__call") ~= nil or meta.__index == nil
end

-- Pairs of tables, new → old, that correspond to each other.
local function pair(old, new, replaced)
  if type(old) ~= "table" or type(new) ~= "table" or old == new or replaced[new] then return end
  replaced[new] = old
  for key, value in next, new do
    local before = rawget(old, key)
    if type(before) == "table" and type(value) == "table" and is_plain(before) then
      pair(before, value, replaced)
    end
  end
end

-- Replaces references to new tables by the old ones in the functions in `value` and below.
local function redirect(value, replaced, seen)
  if seen[value] then return end
  if type(value) == "function" then
    seen[value] = true
    for i = 1, math.huge do
      local name, upvalue = debug.getupvalue(value, i)
      if not name then break end
      if type(upvalue) == "table" and replaced[upvalue] then
        debug.setupvalue(value, i, replaced[upvalue])
        redirect(upvalue, replaced, seen)
      elseif type(upvalue) == "function" then
        redirect(upvalue, replaced, seen)
      end
    end
  elseif type(value) == "table" and replaced[value] then
    seen[value] = true
    for _, item in next, value do redirect(item, replaced, seen) end
  end
end

-- Updates a table to its new version. Removed functions are removed; data comes from the new one.
local function move(old, new, replaced)
  for key, value in next, old do
    if type(value) == "function" and rawget(new, key) == nil then rawset(old, key, nil) end
  end
  for key, value in next, new do rawset(old, key, replaced[value] or value) end
  local before, after = getmetatable(old), getmetatable(new)
  if type(before) == "table" and type(after) == "table" then
    -- The base class may change; the constructor stays, because it makes objects of the old table.
    local parent = rawget(after, "__index")
    if type(parent) == "table" then before.__index = replaced[parent] or parent end
  end
end

--- Reloads a module's file after a change. Functions and classes are updated in the existing
--- tables: objects of an `nn.class` keep their parameters and get the new methods. Changes of
--- `init` apply only to new objects. A file with an error changes nothing. A function that a script
--- copied out of the module earlier stays the old one.
---
---     local Block = require "block"
---     local block = Block(8)
---     lv.reload "block"    -- after a change of block.lua; `block` computes the new forward
---
---@param name string  as `require` takes it
---@return any  the module: the existing table, if it is one
return function(name)
  local errors <const> = require "lunerv.errors"
  if type(name) ~= "string" then
    errors.raise("reload: expected the name of a module, got %s", type(name))
  end
  local bridge <const> = require "lunerv.bridge"
  local old = package.loaded[name]
  if old == nil then return (require(name)) end
  package.loaded[name] = nil
  local new = bridge.on_error(require, function() package.loaded[name] = old end, name)
  if type(old) ~= "table" or type(new) ~= "table" or old == new then return new end
  local replaced = {}
  pair(old, new, replaced)
  redirect(new, replaced, {})
  for from, to in pairs(replaced) do move(to, from, replaced) end
  package.loaded[name] = old
  return old
end
