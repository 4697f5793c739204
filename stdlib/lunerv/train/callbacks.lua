-- The callbacks of a training: the functions among its options, then the objects of its list
-- `callbacks`, in order.
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"

local Callbacks <const> = {}
Callbacks.__index = Callbacks

local events <const> = { "on_start", "on_step", "on_epoch", "on_frame", "on_end" }

-- Adds the methods of an object, also those of its class. A field `on_…` that is not one of the
-- events is an error.
local function listen(self, object, number)
  if type(object) ~= "table" then
    errors.raise("train: callbacks: expected objects, got %s at %d", type(object), number)
  end
  local found
  for _, event in ipairs(events) do
    local method = object[event]
    if method ~= nil then
      if type(method) ~= "function" then
        errors.raise("train: callbacks: %d: %s: expected a function, got %s", number, event,
          type(method))
      end
      found = true
      self:add(event, function(...) return method(object, ...) end)
    end
  end
  for name in next, object do
    if type(name) == "string" and name:match "^on_" and not self:knows(name) then
      errors.raise("train: callbacks: %d: unknown method '%s'%s (known: %s)", number, name,
        names.meant(name, events), errors.list(events))
    end
  end
  if not found then
    errors.raise("train: callbacks: %d: expected an object with one of %s, got none of them",
      number, errors.list(events))
  end
end

-- The callbacks of a training's options `o`.
function Callbacks.of(o)
  local self = setmetatable({}, Callbacks)
  for _, event in ipairs { "on_step", "on_epoch", "on_frame" } do
    if o[event] then self:add(event, o[event]) end
  end
  if o.callbacks ~= nil then errors.check_list("train: callbacks", o.callbacks) end
  for i, object in ipairs(o.callbacks or {}) do listen(self, object, i) end
  return self
end

function Callbacks:knows(name)
  for _, event in ipairs(events) do
    if name == event then return true end
  end
  return false
end

function Callbacks:add(event, listener)
  self[event] = self[event] or {}
  table.insert(self[event], listener)
end

-- Calls all callbacks of an event. Returns false if one of them did, which stops the training.
function Callbacks:notify(event, ...)
  local continues = true
  for _, listener in ipairs(self[event] or {}) do
    if listener(...) == false then continues = false end
  end
  return continues
end

return Callbacks
