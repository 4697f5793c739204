--- Help on a name or a value: help "conv2d", help(lv.nn.Conv2d), help(x).
---
--- Everything comes from the place of definition: the signatures of native functions, the comments
--- above Lua ones, and the options that both declare. The comment above your own block describes
--- it.
local api <const> = require "lunerv.help.api"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local text <const> = require "lunerv.help.text"

local help <const> = { options_of = api.options_of, find = api.find, of = api.of }

-- Columns of the terminal that the user sees; COLUMNS overrides.
local function width() return math.max(40, math.min(100, tonumber(os.getenv "COLUMNS") or 80)) end

-- The members of a module, or the methods of an object's class.
local function members_of(entry)
  local list = {}
  local prefix = entry.path .. "."
  for _, other in ipairs(api.entries()) do
    local inside = entry.kind == "module" and other.path:sub(1, #prefix) == prefix
      and not other.owner
    if inside or other.owner == entry.path then list[#list + 1] = other end
  end
  return list
end

-- An entry for a type that has methods and no comment of its own, such as Tensor or Clip; else nil.
local function of_type(name)
  name = name:gsub("^lv%.", "")
  local path, is_described
  for _, entry in ipairs(api.entries()) do
    local owner = entry.owner
    if owner and (owner == name or owner:match "[%w_]+$" == name) then path = path or owner end
    is_described = is_described or entry.path == name or path and entry.path == path
  end
  if not path or is_described then return nil end
  return { path = path, kind = "type", summary = "", parameters = {}, results = {} }
end

-- An option of the command line, in the same form as a function's.
local function of_option(name)
  local option = options.by_name(name)
  return option and ("--%s: %s"):format(name, option.doc)
end

--- The help on a name or a value; nil and an error if it is unknown.
---
---     print(lv.help.text "conv2d")
---
---@param what any  a name, a function, a class, an object or a module; nil for the whole API
---@return string?
---@return lunerv.Error?
function help.text(what)
  if what == nil then
    local lines = { "lunerv, scripted by `local lv = require \"lunerv\"`. Parts of lv:", "" }
    for _, entry in ipairs(api.entries()) do
      if entry.kind == "module" or entry.about then
        lines[#lines + 1] = ("  lv.%-12s %s"):format(entry.path, entry.about or entry.summary)
      end
    end
    lines[#lines + 1] = ""
    lines[#lines + 1] = "help \"nn\", help \"conv2d\", help \"Tensor\", help(value) show more."
    return table.concat(lines, "\n")
  end
  local entry, near
  if type(what) == "string" then
    entry = of_type(what)
    if not entry then entry, near = api.find(what) end
    local option = not entry and of_option(what:gsub("^%-+", ""):gsub("%-", "_"))
    if option then return option end
  else
    entry = api.of(what)
  end
  if not entry then
    local meant = near and #near > 0 and ": did you mean '" .. table.concat(near, "', '") .. "'?"
    return errors.failure("help: unknown name '%s'%s", tostring(what), meant or "")
  end
  return table.concat(text.lines(entry, width(), members_of(entry)), "\n")
end

--- Prints the help on a name or a value.
---
---     help "conv2d"
---
---@param what any  a name, a function, a class, an object or a module; nil for the whole API
function help.show(what)
  local found, problem = help.text(what)
  print(((found or tostring(problem)):gsub("[^\n]+", native.printable)))
end

--- Runs `lunerv help`: [NAME], --annotations DIR, or --reference DIR.
---
---@param words string[]  the words after `help`
function help.main(words)
  if words[1] == "--annotations" or words[1] == "--reference" then
    local folder = words[2] or errors.fail("usage", "help: %s: expected a folder", words[1])
    local writer = require(words[1] == "--reference" and "lunerv.help.pages"
      or "lunerv.help.annotations")
    native.make_dirs(folder)
    for name, content in pairs(writer.files()) do
      errors.must(native.write_file(folder .. "/" .. name, content))
    end
    return
  end
  local found, problem = help.text(words[1])
  if not found then errors.fail("usage", "%s", errors.reason(problem)) end
  print(found)
end

return setmetatable(help, {
  --- Prints the help on a name or a value.
  ---
  ---     lv.help "conv2d"
  ---
  ---@param what any  a name, a function, a class, an object or a module; nil for the whole API
  __call = function(_, what) return help.show(what) end,
})
