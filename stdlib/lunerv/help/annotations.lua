-- The API as LuaCATS annotations, which lua-language-server reads: one file of declarations.
local api <const> = require "lunerv.help.api"
local native <const> = require "lunerv.native"

local annotations <const> = {}

local function say_words(lines, words)
  for line in (words or ""):gmatch "[^\n]+" do lines[#lines + 1] = "--- " .. line end
end

-- A type as annotations spell it: "..." is not one.
local function kind_of(text) return (text:gsub("%.%.%.", "any")) end

local function append_options(lines, entry)
  if not entry.options or #entry.options == 0 then return end
  lines[#lines + 1] = ("---@class lunerv.%s.Options"):format((entry.path:gsub(":", ".")))
  for _, option in ipairs(entry.options) do
    local default = option.default and (" (%s)"):format(option.default) or ""
    lines[#lines + 1] = ("---@field %s? %s  %s%s"):format(option.name, kind_of(option.type),
      option.doc, default)
  end
  lines[#lines + 1] = ""
end

-- A parameter's name in Lua; variable arguments are "...".
local function lua_name(parameter)
  return parameter.name:match "^[%a_][%w_]*$" or "..."
end

local function append_function(lines, entry, declared)
  append_options(lines, entry)
  say_words(lines, entry.summary)
  say_words(lines, entry.text)
  local names, rest = {}, false
  for _, parameter in ipairs(entry.parameters) do
    local name = lua_name(parameter)
    if not rest then
      local kind = kind_of(parameter.type)
      if name == "..." then
        rest = true
        lines[#lines + 1] = ("---@param ... %s  %s"):format(kind, parameter.doc)
      else
        lines[#lines + 1] = ("---@param %s%s %s  %s"):format(name,
          parameter.optional and "?" or "", kind, parameter.doc)
      end
      names[#names + 1] = name
    end
  end
  for _, result in ipairs(entry.results) do
    lines[#lines + 1] = ("---@return %s  %s"):format(kind_of(result.type), result.doc)
  end
  lines[#lines + 1] = ("function %s(%s) end"):format(declared, table.concat(names, ", "))
  lines[#lines + 1] = ""
end

-- Settings of lua-language-server, written next to the annotations.
local settings <const> = native.json_encode {
  ["runtime.version"] = "Lua 5.4", ["workspace.library"] = { "." },
}

-- The files of the annotations: a table of texts by name.
function annotations.files()
  local lines = {
    "---@meta lunerv", "", "--- Made by `lunerv help --annotations DIR`.", "",
    '---@alias lunerv.DType "f32"|"f64"|"i32"|"u8"|"bool"', "",
    "---@class lunerv.Error", "---@field kind string", "---@field message string",
    "---@field where? string", "---@field module? string", "---@field data? table",
    "---@field traceback? string", "",
    "---@class lunerv.Module", "---@overload fun(...: any): any", "local Module = {}", "",
    "---@class lunerv.Tensor", "---@operator add(lunerv.Tensor|number): lunerv.Tensor",
    "---@operator sub(lunerv.Tensor|number): lunerv.Tensor",
    "---@operator mul(lunerv.Tensor|number): lunerv.Tensor",
    "---@operator div(lunerv.Tensor|number): lunerv.Tensor",
    "---@operator idiv(lunerv.Tensor|number): lunerv.Tensor",
    "---@operator mod(lunerv.Tensor|number): lunerv.Tensor",
    "---@operator pow(lunerv.Tensor|number): lunerv.Tensor",
    "---@operator unm: lunerv.Tensor",
    "---@operator len: integer",
    "---@field [integer] lunerv.Tensor  a row",
    "---@field [table|lunerv.Tensor] lunerv.Tensor  a block, or the elements that a mask chooses",
  }
  for _, entry in ipairs(api.entries()) do
    if entry.owner == "Tensor" and entry.kind == "property" then
      lines[#lines + 1] = ("---@field %s %s  %s"):format(entry.path:match "[%w_]+$",
        kind_of(entry.results[1] and entry.results[1].type or "any"), entry.summary)
    end
  end
  for _, line in ipairs { "local Tensor = {}", "" } do lines[#lines + 1] = line end
  local owners = { Tensor = true, Module = true }
  lines[#lines + 1] = "---@class lunerv"
  lines[#lines + 1] = "local lv = {}"
  lines[#lines + 1] = ""
  for _, entry in ipairs(api.entries()) do
    if entry.kind == "module" then
      say_words(lines, entry.summary)
      lines[#lines + 1] = ("lv.%s = {}"):format(entry.path)
      lines[#lines + 1] = ""
    elseif entry.kind == "class" then
      append_options(lines, entry)
      local parameters = {}
      for i, parameter in ipairs(entry.parameters) do
        parameters[i] = ("%s%s: %s"):format(parameter.name, parameter.optional and "?" or "",
          kind_of(parameter.type))
      end
      say_words(lines, entry.summary)
      say_words(lines, entry.text)
      lines[#lines + 1] = ("---@class lunerv.%s: lunerv.Module"):format(entry.path)
      lines[#lines + 1] = ("---@overload fun(%s): lunerv.%s"):format(
        table.concat(parameters, ", "), entry.path)
      lines[#lines + 1] = ("lv.%s = {}"):format(entry.path)
      lines[#lines + 1] = ""
    elseif entry.kind == "function" then
      append_function(lines, entry, "lv." .. entry.path)
    elseif entry.kind == "method" then
      local owner, name = entry.path:match "^(.*):([%w_]+)$"
      local inside = owner:find(".", 1, true)
      if not owners[owner] and not inside then
        owners[owner] = true
        lines[#lines + 1] = ("---@class lunerv.%s"):format(owner)
        lines[#lines + 1] = ("local %s = {}"):format(owner)
        lines[#lines + 1] = ""
      end
      append_function(lines, entry, (inside and "lv." or "") .. owner .. ":" .. name)
    end
  end
  lines[#lines + 1] = "return lv"
  return { ["lunerv.lua"] = table.concat(lines, "\n") .. "\n", [".luarc.json"] = settings .. "\n" }
end

return annotations
