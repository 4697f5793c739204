-- Modules: objects that know their parameters, in the order in which they were assigned.
--
--   local Block = nn.class "Block"
--   function Block:init(width) self.conv = nn.Conv2d(width, width, { kernel = 1 }) end
--   function Block:forward(x) return self.conv(x):sin() end
--   local block = Block(8)
--   local y = block(x)
local native <const> = require "lunerv.native"
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local origin <const> = require "lunerv.nn.origin"
local parameter <const> = require "lunerv.nn.parameter"

local ORDER <const> = require "lunerv.nn.order" -- a module's field names, oldest first
local owners <const> = setmetatable({}, { __mode = "k" }) -- module → the module it is a field of

local function is_module(value)
  return type(value) == "table" and rawget(value, ORDER) ~= nil
end

local function is_tensor(value)
  return type(value) == "userdata" and native.is_tensor(value)
end

-- Where we are ------------------------------------------------------------------------------

-- The modules being computed, outermost first, for each coroutine. A stack is its own guard: a
-- to-be-closed reference to it pops one module, whether the call returns or fails.
local stacks <const> = setmetatable({}, { __mode = "k" })
local Stack <const> = { __close = function(stack) stack[#stack] = nil end }

local function enter(module)
  local thread = coroutine.running()
  local stack = stacks[thread]
  if not stack then
    stack = setmetatable({}, Stack)
    stacks[thread] = stack
  end
  stack[#stack + 1] = module
  return stack
end

local function field_of(parent, child)
  for _, key in ipairs(parent[ORDER]) do
    if rawget(parent, key) == child then
      return math.type(key) and ("[%d]"):format(key) or "." .. tostring(key)
    end
  end
end

-- "Decoder.body[2].conv", or nil outside of every module.
local function current_path()
  local stack = stacks[coroutine.running()]
  local module = stack and stack[#stack]
  if not module then return nil end
  local path = ""
  while true do
    local parent = owners[module]
    local field = parent and field_of(parent, module)
    if not field then return module.class_name .. path end
    path, module = field .. path, parent
  end
end

bridge.set_error_path(current_path)

-- What every module can do ------------------------------------------------------------------

local Module <const> = { class_name = "Module" }

function Module.init() end

function Module:forward()
  errors.raise("%s has no forward", self.class_name)
end

-- Calls visit(name, tensor) for every tensor in the module and those inside it, in order of
-- assignment, once for each; `enter_module(name, module)` before what is in a module.
local function walk(module, prefix, seen, visit, enter_module)
  if seen[module] then return end
  seen[module] = true
  if enter_module then enter_module(prefix, module) end
  for _, key in ipairs(module[ORDER]) do
    local value = rawget(module, key)
    local name = prefix == "" and tostring(key) or prefix .. "." .. tostring(key)
    if is_module(value) then
      walk(value, name, seen, visit, enter_module)
    elseif is_tensor(value) and not seen[value] then
      seen[value] = true
      visit(name, value)
    end
  end
end

local function entries(self, wanted)
  local list = {}
  walk(self, "", {}, function(name, tensor)
    if not wanted or wanted(tensor) then list[#list + 1] = { name, tensor } end
  end)
  return list
end

-- What was computed from parameters is none.
local function is_parameter(tensor) return tensor.requires_grad and tensor.is_leaf end

-- Whether `value` is a trained tensor, or a module with one, that `seen` lacks.
local function is_unseen(value, seen)
  if is_tensor(value) then return is_parameter(value) and not seen[value] end
  if not is_module(value) then return false end
  for _, entry in ipairs(entries(value, is_parameter)) do
    if not seen[entry[2]] then return true end
  end
  return false
end

-- Where in a plain table `value`, called `name`, something hides that `seen` lacks; nil if nowhere.
local function hiding_place(value, name, seen, visited)
  if type(value) ~= "table" or is_module(value) or visited[value] then return nil end
  local meta = getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__name") then return nil end -- a clip, say
  visited[value] = true
  for key, item in next, value do
    if is_unseen(key, seen) then return name end
    local place = math.type(key) and ("%s[%s]"):format(name, key) or name .. "." .. tostring(key)
    if is_unseen(item, seen) then return place end
    place = hiding_place(item, place, seen, visited)
    if place then return place end
  end
end

-- Raises where a plain table holds what is meant to be trained: nobody would see it.
local function refuse_hidden(self)
  local seen, visited = {}, {}
  walk(self, "", seen, function() end)
  for _, module in ipairs(self:modules()) do
    for _, key in ipairs(module[ORDER]) do
      local place = hiding_place(rawget(module, key), tostring(key), seen, visited)
      if place then
        errors.raise("%s: '%s' is in a plain table, whose parameters nobody would train: make it "
          .. "nn.List { … }, or a field of its own", module.class_name, place)
      end
    end
  end
end

-- The tensors that are trained, as a list. What hides in a plain table is an error.
function Module:parameters()
  refuse_hidden(self)
  local list = entries(self, is_parameter)
  for i, entry in ipairs(list) do list[i] = entry[2] end
  return list
end

-- for name, tensor in module:named_parameters() do … end
function Module:named_parameters()
  refuse_hidden(self)
  local list, i = entries(self, is_parameter), 0
  return function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end
end

-- The number of trained values.
function Module:parameter_count()
  local count = 0
  for _, tensor in ipairs(self:parameters()) do count = count + tensor:numel() end
  return count
end

-- This module and all inside it, as a list.
function Module:modules()
  local list = {}
  walk(self, "", {}, function() end, function(_, module) list[#list + 1] = module end)
  return list
end

-- Puts the module `new` in the place of `old`, wherever that is in this module or those inside it,
-- under the name it has there. `new` may hold `old`. Returns how many places there were.
function Module:replace(old, new)
  local places = 0
  for _, module in ipairs(self:modules()) do
    for _, key in ipairs(module[ORDER]) do
      if rawget(module, key) == old and module ~= new then
        rawset(module, key, new)
        owners[new] = module
        places = places + 1
      end
    end
  end
  return places
end

-- What Module:observe wants to be told of each call, while it runs.
local observer

local function computed(values)
  for i = 1, values.n do
    if is_tensor(values[i]) then values[i]:evaluate() end
  end
end

-- Calls run(), and returns the calls of this module and those inside it meanwhile, in the order in
-- which they ended: { { module =, inputs = { … }, output =, seconds = }, … }. A call only says what
-- is to be computed: its time is measured with `time = true`, which computes the inputs before it
-- and the output within it, those of modules inside included.
function Module:observe(run, given)
  if type(run) ~= "function" then
    errors.raise("observe: expected a function, got %s", type(run))
  end
  local timed = options(given, { time = false }).time
  local calls, inside, outer = {}, {}, observer
  for _, module in ipairs(self:modules()) do inside[module] = true end
  local function restore() observer = outer end
  bridge.on_error(function()
    observer = function(module, ...)
      local inputs = table.pack(...)
      if timed then computed(inputs) end
      local began = timed and native.time()
      local results = table.pack(module:forward(...))
      if timed then computed(results) end
      if inside[module] then
        calls[#calls + 1] = { module = module, inputs = inputs, output = results[1],
          seconds = timed and native.time() - began or nil }
      end
      return table.unpack(results, 1, results.n)
    end
    run()
  end, restore) -- after an error
  restore()
  return calls
end

-- Parameters and buffers: a list of { name, tensor }, which also answers dict["name"].
function Module:state_dict()
  refuse_hidden(self)
  local list = entries(self)
  local by_name = {}
  for _, entry in ipairs(list) do by_name[entry[1]] = entry[2] end
  return setmetatable(list, { __index = by_name })
end

local function shape_text(shape) return "(" .. table.concat(shape, ", ") .. ")" end

-- Copies values from a state_dict, or from a table of tensors by name, into this module. Names
-- that either side lacks are an error unless strict = false; a wrong shape always is.
function Module:load_state_dict(dict, given)
  local o = options(given, { strict = true })
  if type(dict) ~= "table" then
    errors.raise("load_state_dict: expected a table of tensors by name, got %s", type(dict))
  end
  refuse_hidden(self)
  local own, known = entries(self), {}
  native.no_grad(function()
    for _, entry in ipairs(own) do
      local name, target = entry[1], entry[2]
      local value = dict[name]
      known[name] = true
      if value then
        if not is_tensor(value) then
          errors.raise("%s: expected a tensor, got %s", name, type(value))
        end
        local expected, got = shape_text(target.shape), shape_text(value.shape)
        if expected ~= got then
          errors.raise("%s: expected shape %s, got %s", name, expected, got)
        end
        target:copy_(value)
        parameter.descend(target, parameter.origin(value))
      elseif o.strict then
        errors.raise("'%s' is missing from the values to load", name)
      end
    end
  end)
  if not o.strict then return self end
  local unexpected = {}
  for key, value in pairs(dict) do
    local name = type(key) == "number" and type(value) == "table" and value[1] or key
    if not known[name] then unexpected[#unexpected + 1] = name end
  end
  if #unexpected > 0 then
    errors.raise("%s has no %s", self.class_name, errors.list(unexpected))
  end
  return self
end

-- Classes -----------------------------------------------------------------------------------

-- Whether `value` is a trained tensor that is no field of the module yet.
local function is_new_parameter(self, value)
  if not is_tensor(value) or not value.requires_grad then return false end
  local seen = {}
  walk(self, "", seen, function() end)
  return is_unseen(value, seen)
end

-- Runs when a field is first set: notes its place in the order, and to whom a module belongs.
local function assign(self, key, value)
  if is_module(value) then
    owners[value] = self
  elseif type(value) == "table" and not getmetatable(value) then
    local first = rawget(value, 1)
    if is_module(first) or is_new_parameter(self, first) then
      errors.raise("field '%s' of %s is a plain table of %s, whose parameters nobody would "
        .. "see: make it nn.List { … }", tostring(key), self.class_name,
        is_module(first) and "modules" or "parameters")
    end
  end
  local order = self[ORDER]
  order[#order + 1] = key
  rawset(self, key, value)
end

local function call(self, ...)
  local _ <close> = enter(self)
  if observer then return observer(self, ...) end
  return self:forward(...)
end

local function describe(self)
  return ("%s (%d parameters)"):format(self.class_name, self:parameter_count())
end

-- Raises where a class is called with more than its `init` takes. Programs in files cannot ask.
local function refuse_surplus(class, ...)
  local info = debug and debug.getinfo(class.init, "u")
  local most = info and not info.isvararg and math.max(info.nparams - 1, 0)
  if most and select("#", ...) > most then
    errors.raise("%s: expected at most %d arguments, got %d", class.class_name, most,
      select("#", ...))
  end
end

-- A class of modules called `name`; its methods are `init`, `forward` and whatever it adds.
-- `parent` is the class it extends.
return function(name, parent)
  if type(name) ~= "string" then
    errors.raise("expected the name of the class, got %s", type(name))
  end
  if parent ~= nil and type(parent) ~= "table" then
    errors.raise("class '%s': expected the class it extends, got %s", name, type(parent))
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
