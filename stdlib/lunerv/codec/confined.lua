-- The code of the process that decodes a file (Bindings/DecoderProcess). The process has no rights:
-- it opens nothing, starts nothing, and its time and memory are limited. A program from the file
-- sees neither Lua's libraries nor ours, only the names listed here.
local bridge <const> = require "lunerv.bridge"
local codec <const> = require "lunerv.codec"
local native <const> = require "lunerv.native"
local Module <const> = require "lunerv.nn.module"
local nn <const> = require "lunerv.nn"
local options <const> = require "lunerv.options"
local program <const> = require "lunerv.codec.program"
local videos <const> = require "lunerv.codec.video"

local load_text <const>, strings <const> = load, string
local caller <const> = debug.getinfo

-- Only the library's own modules need strings and protected calls.
for _, name in ipairs { "io", "os", "debug", "load", "loadfile", "dofile", "print", "warn",
  "collectgarbage" } do
  _G[name], package.loaded[name] = nil, nil
end
rawset(package, "loadlib", nil)
package.path, package.cpath = "", ""

-- Methods of strings are only for the library: limits do not cover `("x"):rep(1e9)` and hostile
-- patterns.
getmetatable("").__index = function(_, name)
  local frame = caller(2, "S")
  if frame and strings.sub(frame.source, 1, 8) == "@lunerv:" then return strings[name] end
  error(strings.format("strings have no '%s' in a decoder program", tostring(name)), 2)
end

-- The program's environment --------------------------------------------------------------------

local lv <const> = { nn = {} }

-- Pure operators: no files, gradients, callbacks, threads.
for _, name in ipairs(native.pure_operators) do lv[name] = native[name] end
for name, value in pairs(nn) do lv.nn[name] = value end

-- The longest list that the library copies, table.insert moves or table.unpack spreads. A small
-- table may claim any length, by `__len` or without.
local longest <const> = 1 << 16

function lv.options(given, defaults, optional)
  if type(optional) == "table" and rawlen(optional) > longest then
    error("options: expected a list of at most 65536 names", 2)
  end
  return options(given, defaults, optional)
end
-- There are no gradients here: custom gradients only compute, and checkpoints do not recompute.
function lv.func(definition)
  return function(...) return definition.forward({}, ...) end
end
function lv.checkpoint(f, ...) return f(...) end

local environment <const> = {
  ipairs = ipairs, select = select, type = type, error = error, math = {},
}
for name, value in pairs(math) do
  if name ~= "random" and name ~= "randomseed" then environment.math[name] = value end
end

-- Visits integers and strings in order, so that a program does the same in every process.
function environment.pairs(t)
  if type(t) ~= "table" then error("pairs: expected a table, got " .. type(t), 2) end
  local keys, others = {}, {}
  for key in next, t do
    local kind = type(key)
    local list = (kind == "number" or kind == "string") and keys or others
    list[#list + 1] = key
  end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) == "number" end
    return a < b
  end)
  for _, key in ipairs(others) do keys[#keys + 1] = key end
  local i = 0
  return function()
    local value
    repeat -- what was removed meanwhile is skipped
      i = i + 1
      if keys[i] == nil then return nil end
      value = rawget(t, keys[i])
    until value ~= nil
    return keys[i], value
  end
end

environment.table = {}
function environment.table.insert(t, ...)
  local n, position, value = select("#", ...), ...
  if type(t) ~= "table" or n < 1 or n > 2 then error("insert: expected a table and a value", 2) end
  local last = rawlen(t) + 1
  if n == 1 then position, value = last, position end
  if math.type(position) ~= "integer" or position < 1 or position > last or last > longest then
    error("insert: expected a position in a list of at most 65536", 2)
  end
  for i = last, position + 1, -1 do rawset(t, i, rawget(t, i - 1)) end
  rawset(t, position, value)
end

function environment.table.unpack(t, first, last)
  if type(t) ~= "table" then error("unpack: expected a table, got " .. type(t), 2) end
  first, last = first or 1, last or rawlen(t)
  if math.type(first) ~= "integer" or math.type(last) ~= "integer" or first < 1
    or last > longest
  then
    error("unpack: expected positions from 1 to 65536", 2)
  end
  return table.unpack(t, first, last)
end

-- `__len` with a checked result.
local function bounded_length(given)
  return function(t)
    local n = given(t)
    if math.type(n) ~= "integer" or n < 0 or n > longest then
      error("__len: expected an integer from 0 to 65536", 2)
    end
    return n
  end
end

local events <const> = {}
for name in strings.gmatch("index newindex call add sub mul div mod pow unm idiv len eq lt le "
  .. "concat", "%S+") do events["__" .. name] = true end

-- Sets a copy: the program cannot add events to it later.
function environment.setmetatable(t, given)
  if type(t) ~= "table" or type(given) ~= "table" then
    error("setmetatable: expected two tables", 2)
  end
  if getmetatable(t) ~= nil then error("setmetatable: this table has one already", 2) end
  local meta = {}
  for key, value in next, given do
    if events[key] then
      local kind = type(value)
      if kind ~= "function" and not (kind == "table" and key:match "index$") then
        error("setmetatable: '" .. key .. "' must be a function", 2)
      end
      meta[key] = key == "__len" and bounded_length(value) or value
    elseif type(key) == "string" and strings.sub(key, 1, 2) == "__" then
      error("setmetatable: a decoder program may not set '" .. key .. "'", 2)
    end
  end
  return setmetatable(t, meta)
end

-- Running the program -----------------------------------------------------------------------------

-- require: "lunerv", and the modules stored in the file.
local function loader(sources)
  local loaded, loading = { lunerv = lv }, {}
  return function(name)
    if type(name) ~= "string" then error("require: expected a name, got " .. type(name), 2) end
    if loaded[name] ~= nil then return loaded[name] end
    local source = sources[name]
    if not source then
      error("module '" .. name .. "' is not in the file: a decoder program may require 'lunerv', "
        .. "and the modules stored with it", 2)
    end
    if loading[name] then error("module '" .. name .. "' requires itself", 2) end
    loading[name] = true
    local path = strings.gsub(name, "%.", "/")
    local chunk, message = load_text(source, "@" .. path .. ".lua", "t", environment)
    if not chunk then error(message, 0) end
    local value = chunk(name)
    if value == nil then value = true end
    loaded[name] = value
    return value
  end
end

-- Methods that modules got after files with programs existed. Those that no source calls are
-- removed: a program may use such a name for its own field, and test whether it is empty.
local later <const> = { "apply", "children", "clone", "named_children", "named_modules", "to" }

local function hide_methods(sources)
  Module.save, Module.load = nil, nil -- there are no files here
  for _, name in ipairs(later) do
    local is_called = false
    for _, text in ipairs(sources) do
      is_called = is_called or strings.find(text, ":%s*" .. name .. "%f[^%w_]") ~= nil
    end
    if not is_called then Module[name] = nil end
  end
end

-- Lets `require` find the modules of the file, which are not yet loaded; returns their sources.
local function unpack_modules(sections)
  local names, texts = native.lnv_read_program(sections["decoder program"])
  local sources = {}
  for i, name in ipairs(names) do sources[name] = texts[i] end
  environment.require = loader(sources)
  return texts
end

local function network_of(text, sections)
  hide_methods(unpack_modules(sections))
  return program.build(text, function(name)
    local class = type(name) == "string" and strings.match(name, "^lunerv%.nn%.(.+)$")
    class = class and rawget(nn, class) or not class and environment.require(name)
    if type(class) ~= "table" then error("'" .. tostring(name) .. "' is not a class", 0) end
    return class
  end)
end

-- The probability model that a module returns.
local function model_of(name, sections)
  unpack_modules(sections)
  return environment.require(name)
end

local function serve()
  videos.when_begun(native.confined_begin)
  local video <const> = codec.decode(native.confined_file(),
    { build = network_of, models = model_of })
  native.confined_ready()
  local expected <const> = strings.format("f32 (1, 3, %d, %d)", video.height, video.width)
  while true do
    local index = native.confined_request()
    if not index then return end
    local frame = video:frame(index)
    local found = native.is_tensor(frame) and strings.format("%s (%s)", frame.dtype,
      table.concat(frame.shape, ", ")) or type(frame)
    if found ~= expected then
      error(strings.format("frame %d: expected %s, got %s", index, expected, found), 0)
    end
    native.confined_answer(frame)
  end
end

local ok <const>, message <const> = pcall(serve)
-- The text of another value would come from its own function.
if not ok then
  local is_text = type(message) == "string" or bridge.is_error(message)
  error(is_text and message or "its error is a " .. type(message), 0)
end
