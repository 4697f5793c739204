-- A custom decoder in a file: "program@1" and a tree of classes and their arguments, in the section
-- 'decoder'; the Lua modules of the classes, and those of probability models, in the section
-- 'decoder program'.
--
-- A class is the result of a module that `require` has loaded, or one of lv.nn. The modules of a
-- decoder are constructed with plain data and other such modules.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local layout <const> = require "lunerv.codec.layout"
local native <const> = require "lunerv.native"
local origin <const> = require "lunerv.nn.origin"

local program <const> = {}

local mark <const> = "program@1"

-- Whether a section 'decoder' names a stored program.
function program.is(text) return text:sub(1, #mark) == mark end

-- Describing --------------------------------------------------------------------------------

-- The name of a module that `require` has loaded and that returned `value`, or nil. Of several, the
-- first by name, so that files are reproducible.
local function module_name(value)
  local found
  for name, loaded in pairs(package.loaded) do
    if loaded == value and type(name) == "string" and not name:match "^lunerv%f[.\0]"
      and not (found and found < name)
    then
      found = name
    end
  end
  return found
end

-- The name under which a program finds a probability model.
function program.model_name(model)
  return module_name(model) or errors.raise("a file cannot hold this model: no module returns it; "
    .. "put it into a separate file, which ends with 'return' and the model, and "
    .. "`require` that")
end

-- The name of a class for a decoder program: that of a module that `require` has loaded, or
-- "lunerv.nn.Conv2d" and the like.
local function class_name(class)
  local own = module_name(class)
  if own then return own end
  for name, value in pairs(require "lunerv.nn") do
    if value == class then return "lunerv.nn." .. name end
  end
  errors.raise("a file cannot hold a decoder with %s in it: no module returns the class; put it "
    .. "into a separate file, which ends with 'return %s', and `require` that",
    tostring(class), class.class_name)
end

local describe

-- Plain data for JSON; modules become their constructors' arguments, under the key "@".
local function plain(value, where, depth)
  if type(value) == "table" and origin[value] then return describe(value, depth + 1) end
  if type(value) ~= "table" then
    local is_data = type(value) == "string" or type(value) == "boolean"
      or type(value) == "number" and value == value and math.abs(value) < math.huge
    if is_data then return value end
    errors.raise("a file cannot hold %s: %s is not plain data", where,
      type(value) == "number" and tostring(value) or "a " .. type(value))
  end
  if depth > 20 then errors.raise("a file cannot hold %s: it is nested too deeply", where) end
  local copy, count = {}, 0
  for key, item in pairs(value) do
    count = count + 1
    if key == "@" or type(key) ~= "string" and not (math.type(key) == "integer" and key >= 1
      and key <= #value)
    then
      errors.raise("a file cannot hold %s: '%s' is not a key of plain data", where, tostring(key))
    end
    copy[key] = plain(item, where .. (math.type(key) and "[%d]" or ".%s"):format(key), depth + 1)
  end
  if #copy > 0 and count > #copy then
    errors.raise("a file cannot hold %s: a list with names among its items", where)
  end
  return copy
end

function describe(module, depth)
  local built = origin[module]
  if not built then errors.raise("a file cannot hold %s", tostring(module)) end
  local class, arguments = built.class, {}
  for i = 1, built.arguments.n do
    local value = built.arguments[i]
    arguments[i] = value == nil and native.json_null
      or plain(value, ("argument %d of %s"):format(i, class.class_name), depth)
  end
  return { ["@"] = class_name(class), with = arguments }
end

-- The text of the section 'decoder' for `model`; `embedding` is the shape of a frame's embedding,
-- if it decodes embeddings, `group` the frames per group (order.lua), or nil.
function program.describe(model, embedding, group)
  return mark .. native.json_encode {
    model = describe(model, 0), embedding = embedding, group = group,
  }
end

-- A source without indentation and comment lines, which a file does not need; lines keep their
-- numbers. Sources with long strings, or strings over several lines, are unchanged.
local function stripped(source)
  if source:find "%[=*%[" or source:find "\\\r?\n" then return source end
  local lines = {}
  for line in (source .. "\n"):gmatch "(.-)\r?\n" do
    lines[#lines + 1] = line:match "^%s*%-%-" and "" or line:match "^%s*(.-)%s*$"
  end
  return (table.concat(lines, "\n"):gsub("\n+$", "\n"))
end

-- The file of a module, or nil and the places searched.
local function file_of(name)
  local path = bridge.file_of_module(name)
  if path then return path end
  return package.searchpath(name, package.path)
end

-- The modules that `text` needs, and that of a probability model if `model_name` is given, with all
-- that they `require`: names and sources.
function program.sources(text, model_name)
  local names, sources, seen = {}, {}, {}
  local function add(name)
    if seen[name] then return end
    seen[name] = true
    local path, searched = file_of(name)
    local source, problem = nil, searched and searched:gsub("%s+", " ")
    if path then source, problem = native.read_file(path) end
    if not source then
      errors.raise("a file cannot hold the module '%s': %s", name, problem)
    end
    names[#names + 1], sources[#sources + 1] = name, stripped(source)
    for word in source:gmatch "require%s*%(?%s*[\"']([%w_.-]+)[\"']" do
      -- A name that was never loaded is in a comment, or is not needed to decode.
      if package.loaded[word] ~= nil and not word:match "^lunerv%f[.\0]"
        and file_of(word)
      then
        add(word)
      end
    end
  end
  local function visit(value)
    if type(value) ~= "table" then return end
    local name = rawget(value, "@")
    if name and not name:match "^lunerv%." then add(name) end
    for _, item in pairs(value) do visit(item) end
  end
  if program.is(text) then visit(program.parse(text).model) end
  if model_name then add(model_name) end
  return names, sources
end

-- The class of a name in this process, for custom models.
function program.class(name)
  local inner = name:match "^lunerv%.nn%.(.+)$"
  return inner and require("lunerv.nn")[inner] or require(name)
end

-- Building ----------------------------------------------------------------------------------

local function fail(message, ...) layout.damaged("decoder", message, ...) end

-- Parses `text`: { model, embedding, group }.
function program.parse(text)
  local readable, described = pcall(native.json_decode, text:sub(#mark + 1))
  if not readable or type(described) ~= "table" or type(described.model) ~= "table" then
    fail "it cannot be read"
  end
  local shape = described.embedding
  if shape ~= nil then
    if type(shape) ~= "table" or #shape < 1 or #shape > 8 then fail "invalid embedding shape" end
    local count = 1
    for _, size in ipairs(shape) do
      if math.type(size) ~= "integer" or size < 1 or size > (1 << 28) // count then
        fail "the embedding is too large"
      end
      count = count * size
    end
  end
  local group = described.group
  if group ~= nil and not (math.type(group) == "integer" and group >= 1) then
    fail "invalid number of frames in a group"
  end
  return described
end

-- The module that a tree describes; `find(name)` returns the class of a name.
local function build(tree, find, depth)
  if depth > 40 then fail "it is nested too deeply" end
  if type(tree) ~= "table" then
    if tree == native.json_null then return nil end
    return tree
  end
  if tree["@"] == nil then
    local copy = {}
    for key, item in pairs(tree) do copy[key] = build(item, find, depth + 1) end
    return copy
  end
  local class, given, arguments = find(tree["@"]), tree.with, {}
  if type(given) ~= "table" then fail "a class has no arguments" end
  for i = 1, #given do arguments[i] = build(given[i], find, depth + 1) end
  return class(table.unpack(arguments, 1, #given))
end

-- The model that the section 'decoder' describes, with uninitialised parameters; the shape of an
-- embedding, if it decodes embeddings; and the frames per group, if they depend on each other.
-- `find(name)` returns the class of a name.
function program.build(text, find)
  local described = program.parse(text)
  if described.model["@"] == nil then fail "it names no class" end
  return build(described.model, find, 0), described.embedding, described.group
end

return program
