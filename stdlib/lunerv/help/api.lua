-- Every public name, native or Lua, and its description. Descriptions come from the signatures of
-- native functions, the comments above Lua functions and classes, and the options that both
-- declare.
--
-- An entry: { path = "nn.Conv2d", kind = "function" | "class" | "method" | "property" | "module" |
-- "value", owner, summary, text, example, parameters, results, options, chunk, line, foreign }; a
-- foreign one is not lv's. A parameter: { name, type, optional, doc }; an option: { name, type,
-- default, doc }, its default a text.
local comments <const> = require "lunerv.help.comments"
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"

local api <const> = {}

-- Types as annotations name them --------------------------------------------------------------

local types <const> = {
  tensor = "lunerv.Tensor", value = "any", ["..."] = "any", dtype = "lunerv.DType",
  ["tensor or number"] = "lunerv.Tensor|number", clip = "lunerv.NativeClip",
  optimiser = "lunerv.Optimiser", hook = "lunerv.Hook", writer = "lunerv.Writer",
  events = "lunerv.Events",
}

local function type_name(text)
  if types[text] then return types[text] end
  local parts = {}
  for part in (text .. " or "):gmatch "(.-) or " do parts[#parts + 1] = types[part] or part end
  return table.concat(parts, "|")
end

-- Options -------------------------------------------------------------------------------------

-- A default as Lua writes it.
local function literal(value)
  if value == nil then return nil end
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) == "table" then
    local items = {}
    for i, item in ipairs(value) do items[i] = literal(item) end
    return "{ " .. table.concat(items, ", ") .. " }"
  end
  if type(value) == "function" then return nil end
  return tostring(value)
end

-- The names of option types in annotations, where they differ.
local catalogue_types <const> = {
  choice = "string", list = "number[]", bytes = "integer", count = "number",
  text_or_number = "string|number", module = "lunerv.Module", clip = "lunerv.Clip",
  tensor = "lunerv.Tensor",
}

-- The options of a function, declared by options.takes, or nil.
local function options_of(path)
  local declared = options.takes.declared[path]
  if not declared then return nil end
  local list = {}
  for i, option in ipairs(declared.list) do
    list[i] = { name = option.name, doc = option.doc, default = literal(option.default),
      type = catalogue_types[option.type] or option.type }
  end
  return list
end

-- Entries -------------------------------------------------------------------------------------

-- Merges a comment with the registered signature. The signature wins, unless Swift says only "any",
-- "table" or "...".
local function of_signature(signature, path, kind)
  local entry = comments.parse(comments.split(signature.doc))
  local documented = {}
  for _, parameter in ipairs(entry.parameters) do documented[parameter.name] = parameter end
  local parameters = {}
  for i, parameter in ipairs(signature.parameters) do
    local words = documented[parameter.name] or {}
    local known = parameter.type ~= "value" and parameter.type ~= "table"
      and parameter.type ~= "..."
    parameters[i] = {
      name = parameter.name, optional = parameter.optional, doc = words.doc or "",
      type = not known and words.type or type_name(parameter.type),
    }
    if #parameter.options > 0 then
      -- For "number or table", the other type stays.
      local class = ("lunerv.%s.Options"):format((path:gsub(":", ".")))
      parameters[i].type = type_name(parameter.type):gsub("table$", class)
      entry.options = parameter.options
      for _, option in ipairs(entry.options) do option.type = type_name(option.type) end
    end
  end
  entry.parameters = parameters
  if #entry.results == 0 then
    for i, result in ipairs(signature.results) do
      entry.results[i] = { type = type_name(result), doc = "" }
    end
  end
  entry.path, entry.kind, entry.native = path, kind, true
  entry.missing = entry.summary == "" or nil
  return entry
end

-- The parameters of a Lua function by name alone, if no comment documents them.
local function add_parameters(entry, value)
  if #entry.parameters > 0 then return end
  for i = 1, debug.getinfo(value, "u").nparams do
    local name = debug.getlocal(value, i)
    if not (i == 1 and name == "self") then
      entry.parameters[#entry.parameters + 1] = { name = name, type = "any", doc = "" }
    end
  end
end

local function of_function(value, path, kind, any)
  local info = debug.getinfo(value, "S")
  local found = comments.at(info.source, info.linedefined, any)
  local entry = found or { summary = "", text = "", parameters = {}, results = {} }
  entry.path, entry.kind, entry.missing = path, kind, entry.summary == "" or nil
  entry.chunk, entry.line = info.source, info.linedefined
  entry.options = options_of(path)
  add_parameters(entry, value)
  return entry
end

-- Any function of the class itself, to find the class's file.
local function some_function(class)
  for _, name in ipairs { "init", "forward" } do
    if type(rawget(class, name)) == "function" then return rawget(class, name) end
  end
  for _, value in next, class do
    if type(value) == "function" then return value end
  end
end

-- The line of a module's file that defines a plain value: "module.name = …".
local function line_of_value(chunk, name)
  for i, line in ipairs(chunk and comments.lines_of(chunk) or {}) do
    if line:match("^[%w_]+%." .. name .. "%s*=") then return i end
  end
end

local function line_of_class(chunk, name)
  for i, line in ipairs(comments.lines_of(chunk) or {}) do
    if line:find('class "' .. name .. '"', 1, true) or line:find('class("' .. name .. '"', 1, true)
    then
      return i
    end
  end
end

local function of_class(class, path, any)
  local known = some_function(class)
  local info = known and debug.getinfo(known, "S")
  local line = info and line_of_class(info.source, class.class_name)
  local found = line and comments.at(info.source, line, any)
  local entry = found or { summary = "", text = "", parameters = {}, results = {} }
  entry.path, entry.kind, entry.missing = path, "class", entry.summary == "" or nil
  entry.chunk, entry.line = info and info.source, line
  if any and rawget(class, "init") then add_parameters(entry, rawget(class, "init")) end
  entry.options = options_of(path)
  entry.results = { { type = "lunerv." .. path, doc = "" } }
  return entry
end

-- The API ---------------------------------------------------------------------------------------

local function sorted(t)
  local keys = {}
  for key in next, t do
    if type(key) == "string" and not key:match "^_" then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b)
    if a:lower() ~= b:lower() then return a:lower() < b:lower() end
    return a < b
  end)
  return keys
end

local function add(list, entry) list[#list + 1] = entry end

-- The methods of a table in which objects look them up.
local function add_methods(list, methods, owner)
  for _, name in ipairs(sorted(methods)) do
    local value = rawget(methods, name)
    if type(value) == "function" and not name:match "^__" and name ~= "init"
      and name ~= "forward"
    then
      local entry = of_function(value, owner .. ":" .. name, "method")
      entry.owner = owner
      add(list, entry)
    end
  end
end

local function add_native_class(list, name, owner)
  local known = native.signatures(name)
  if not known then return end
  for _, property in ipairs(known.properties) do
    local entry = of_signature(property, owner .. "." .. property.name, "property")
    entry.owner = owner
    add(list, entry)
  end
  for _, method in ipairs(known.functions) do
    if method.parameters[1] then table.remove(method.parameters, 1) end
    local entry = of_signature(method, owner .. ":" .. method.name, "method")
    entry.owner = owner
    add(list, entry)
  end
end

-- A plain value, described by the comment above its definition.
local function of_value(value, path, chunk)
  local line = line_of_value(chunk, path:match "[%w_]+$")
  local entry = line and comments.at(chunk, line)
    or { summary = "", text = "", parameters = {}, results = {} }
  entry.path, entry.kind, entry.value = path, "value", value
  entry.missing = entry.summary == "" or nil
  return entry
end

-- Traverses a module of the API, whose fields are functions, classes, types and modules.
local function add_module(list, module, path, chunk, natives)
  local about = chunk and comments.of_file(chunk)
  local entry = about or { summary = "", text = "" }
  entry.path, entry.kind, entry.parameters, entry.results = path, "module", {}, {}
  entry.chunk = chunk
  -- A callable module is also a function, described above its `__call`.
  local meta = getmetatable(module)
  local call = type(meta) == "table" and rawget(meta, "__call")
  if call then
    entry = of_function(call, path, "function")
    table.remove(entry.parameters, entry.parameters[1] and entry.parameters[1].name == "_" and 1
      or #entry.parameters + 1)
    entry.about = about and about.summary
  end
  add(list, entry)
  -- A module with lazily loaded parts lists them itself.
  local parts = type(meta) == "table" and rawget(meta, "__names")
  for _, name in ipairs(parts and parts() or sorted(module)) do
    local value, inside = module[name], path .. "." .. name
    if type(value) == "function" then
      if natives[value] then
        add(list, of_signature(natives[value], inside, "function"))
        list[#list].value = value
      else
        add(list, of_function(value, inside, "function"))
      end
    elseif type(value) == "table" and rawget(value, "class_name") then
      add(list, of_class(value, inside))
      add_methods(list, value, inside)
    elseif type(value) == "table" and name:match "^%u" then
      add_methods(list, value, inside)
    elseif type(value) ~= "table" then
      add(list, of_value(value, inside, chunk))
    end
  end
end

local built

--- Every entry of the API, in order: tensors and their functions, then module by module.
---
---@return table[]
function api.entries()
  if built then return built end
  local lv, list = require "lunerv", {}
  local signatures, natives = {}, {}
  for _, signature in ipairs(native.signatures("lunerv.native").functions) do
    signatures[signature.name] = signature
    natives[native[signature.name]] = signature
  end
  local known, modules = getmetatable(lv).__names(), {}
  for _, name in ipairs(known) do
    local value = lv[name]
    if signatures[name] and value == native[name] then
      add(list, of_signature(signatures[name], name, "function"))
    elseif type(value) == "function" then
      add(list, of_function(value, name, "function"))
    elseif type(value) == "table" then
      modules[#modules + 1] = name
    else
      add(list, of_value(value, name, "@lunerv:init.lua"))
    end
  end
  add_native_class(list, "tensor", "Tensor")
  add_methods(list, getmetatable(lv.nn.class "Any").__index, "Module")
  add_native_class(list, "optimiser", "Optimiser")
  add_native_class(list, "hook", "Hook")
  add_native_class(list, "writer", "Writer")
  add_native_class(list, "events", "Events")
  for _, name in ipairs(modules) do
    local value = lv[name]
    if rawget(value, "class_name") then
      add(list, of_class(value, name))
    else
      local path = "@lunerv:" .. name .. ".lua"
      if not native.stdlib_source(name .. ".lua") then path = "@lunerv:" .. name .. "/init.lua" end
      add_module(list, value, name, path, natives)
    end
  end
  built = list
  return list
end

-- A changed module is read again.
function api.forget()
  built = nil
  comments.forget()
end

local function plain(name)
  name = name:gsub("^lv%.", ""):gsub("^lunerv%.", "")
  return name:gsub("^Tensor%.([%w_]+)$", "Tensor:%1")
end

--- The entry of a name: "conv2d", "lv.nn.Conv2d", "Conv2d", "Tensor:sum", "clip:part"; if there is
--- none, nil and the nearest names.
---
---@param name string
---@return table?
---@return string[]?
function api.find(name)
  local wanted, tail = plain(name), nil
  -- Users name a method by their object: "clip:part" is video.Clip:part.
  local ending = "." .. wanted:lower()
  for _, entry in ipairs(api.entries()) do
    if entry.path == wanted then return entry end
    local is_tail = entry.path:match "[%w_]+$" == wanted
      or wanted:find ":" and ("." .. entry.path:lower()):sub(-#ending) == ending
    if is_tail and not tail then tail = entry end
  end
  if tail then return tail end
  local known = {}
  for i, entry in ipairs(api.entries()) do known[i] = entry.path:match "[%w_]+$" end
  return nil, names.nearest(wanted:match "[%w_]+$" or "", known)
end

--- The entry of a value: a function, a class, an object's class or a module; nil for anything else.
---
---@param value any
---@return table?
function api.of(value)
  local lv = require "lunerv"
  for _, name in ipairs(getmetatable(lv).__names()) do
    if rawget(lv, name) == value and value ~= nil then return api.find(name) end
  end
  if type(value) == "userdata" and native.is_tensor(value) then return api.find "tensor" end
  if type(value) == "table" then
    local class = value.class_name and value
    if class and rawget(class, "class_name") == nil then
      class = getmetatable(value).__index
    end
    if class then
      for _, entry in ipairs(api.entries()) do
        if entry.kind == "class" and entry.path:match "[%w_]+$" == class.class_name then
          return entry
        end
      end
      local entry = of_class(class, class.class_name, true)
      entry.foreign = true
      return entry
    end
    for _, entry in ipairs(api.entries()) do
      if entry.kind == "module" and rawget(lv, entry.path) == value then return entry end
    end
  end
  if type(value) ~= "function" then return nil end
  local info = debug.getinfo(value, "S")
  if info.what == "C" then
    for _, entry in ipairs(api.entries()) do
      if entry.value == value then return entry end
    end
    for name, known in next, native do
      if known == value then return (api.find(name)) end
    end
    return nil
  end
  for _, entry in ipairs(api.entries()) do
    if entry.chunk == info.source and entry.line == info.linedefined then return entry end
  end
  local entry = of_function(value, debug.getinfo(value, "n").name or "function", "function", true)
  entry.foreign = true
  return entry
end

--- The names of the options that a function takes; an empty list where it takes none.
---
---@param value function|string
---@return string[]
function api.options_of(value)
  local entry
  if type(value) == "string" then entry = api.find(value) else entry = api.of(value) end
  local list = {}
  for i, option in ipairs(entry and entry.options or {}) do list[i] = option.name end
  return list
end

return errors.refuse_unknown(api, "help.api")
