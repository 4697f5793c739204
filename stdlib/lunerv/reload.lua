-- lv.reload: a module's changed file, read again, with what is in use kept.

-- Whether a table is an nn.class, or a module that holds functions.
local function is_plain(t)
  local meta = getmetatable(t)
  return type(meta) ~= "table" or rawget(meta, "__call") ~= nil or meta.__index == nil
end

-- Pairs of tables, new → old, that take each other's place.
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

-- Has the functions in `value` and below refer to the old tables in place of the new ones.
local function redirect(value, replaced, seen)
  if seen[value] then return end
  if type(value) == "function" then
    seen[value] = true
    for i = 1, math.huge do
      local name, held = debug.getupvalue(value, i)
      if not name then break end
      if type(held) == "table" and replaced[held] then
        debug.setupvalue(value, i, replaced[held])
        redirect(held, replaced, seen)
      elseif type(held) == "function" then
        redirect(held, replaced, seen)
      end
    end
  elseif type(value) == "table" and replaced[value] then
    seen[value] = true
    for _, item in next, value do redirect(item, replaced, seen) end
  end
end

-- Makes a table what its new version is. Functions that are gone go; data is the new one's.
local function move(old, new, replaced)
  for key, value in next, old do
    if type(value) == "function" and rawget(new, key) == nil then rawset(old, key, nil) end
  end
  for key, value in next, new do rawset(old, key, replaced[value] or value) end
  local before, after = getmetatable(old), getmetatable(new)
  if type(before) == "table" and type(after) == "table" then
    -- The class that it extends may be another; how it makes objects stays, since it makes them of
    -- the old table.
    local parent = rawget(after, "__index")
    if type(parent) == "table" then before.__index = replaced[parent] or parent end
  end
end

--- Loads a module's file again after it was changed. Functions and classes move into the tables
--- that are in use: objects of an `nn.class` keep their parameters and have the new methods. What
--- `init` makes is made anew only for new objects. A file with an error leaves all as it was. A
--- function that somebody took out of the module before stays the old one.
---
---     local Block = require "block"
---     local block = Block(8)
---     lv.reload "block"    -- after a change of block.lua; `block` computes the new forward
---
---@param name string  as `require` takes it
---@return any  the module: the table that was there before, where it is one
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
