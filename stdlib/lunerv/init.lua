-- local lv = require "lunerv": tensors and their functions, and the modules next to this file.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local names <const> = require "lunerv.names"
local native <const> = require "lunerv.native"

-- Modules of the API, and functions in files of their own.
local submodules <const> = {
  batch = "lunerv.batch",
  bd_rate = "lunerv.bd_rate",
  bench = "lunerv.bench",
  checkpoint = "lunerv.gradients.checkpoint",
  codec = "lunerv.codec",
  coder = "lunerv.coder",
  compress = "lunerv.compress",
  csv = "lunerv.csv",
  diagnose = "lunerv.diagnose",
  dist = "lunerv.dist",
  func = "lunerv.gradients.func",
  gradcheck = "lunerv.gradients.gradcheck",
  help = "lunerv.help",
  image = "lunerv.image",
  interop = "lunerv.interop",
  json = "lunerv.json",
  loss = "lunerv.loss",
  metrics = "lunerv.metrics",
  models = "lunerv.models",
  names = "lunerv.names",
  nn = "lunerv.nn",
  optim = "lunerv.optim",
  options = "lunerv.options",
  parallel = "lunerv.parallel",
  plot = "lunerv.plot",
  profile = "lunerv.profile",
  quant = "lunerv.quant",
  reference = "lunerv.reference",
  reload = "lunerv.reload",
  report = "lunerv.report",
  schedule = "lunerv.schedule",
  tasks = "lunerv.tasks",
  train = "lunerv.train",
  verify = "lunerv.verify",
  video = "lunerv.video",
}

-- Renamed functions. The old name works, and warns once.
local renamed <const> = {
  json_encode = { "lv.json.encode", native.json_encode },
  json_decode = { "lv.json.decode", native.json_decode },
  json_null = { "lv.json.null", native.json_null },
}

-- lunerv.nn.class, if it is loaded, has set this already, with the path of the running module.
if not package.loaded["lunerv.nn.class"] then
  bridge.set_error_path(nil, function(...) return require("lunerv.methods")(...) end)
end

local lv <const> = {}
for _, name in ipairs(native.public_functions) do lv[name] = native[name] end

--- Runs a function without recording anything for gradients, and returns its results.
--- It applies to the coroutine that calls it, and ends with the function, also after an error.
---
---     local image = lv.no_grad(function() return model(frame.t) end)
---
---@param f fun(...: any): any
---@param ... any  the function's arguments
---@return any
function lv.no_grad(f, ...)
  if type(f) ~= "function" then
    local meta = type(f) == "table" and getmetatable(f)
    if not (meta and meta.__call) then
      errors.raise("no_grad: expected a function, got %s", errors.type_of(f))
    end
    -- Modules can be called too.
    return native.no_grad(function(...) return f(...) end, ...)
  end
  return native.no_grad(f, ...)
end

--- The version of this API. It is raised if existing scripts may need a change.
lv.api_version = native.api_version

-- The names of the API, sorted, whether their modules are loaded or not.
local function known()
  local list = {}
  for name in next, lv do list[#list + 1] = name end
  for name in next, submodules do
    if rawget(lv, name) == nil then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

--- Whether lv has a name. Reading an unknown name is an error.
---
---     if lv.has "grid_sample" then … end
---
---@param name string
---@return boolean
function lv.has(name) return rawget(lv, name) ~= nil or submodules[name] ~= nil end

-- A submodule is loaded when it is first named: a script that only adds tensors loads none.
return setmetatable(lv, {
  __index = function(self, name)
    local path = submodules[name]
    if path then
      local module = require(path)
      rawset(self, name, module)
      return module
    end
    local old = renamed[name]
    if old then
      errors.renamed("lv." .. name, old[1])
      return old[2]
    end
    -- Internals were here once.
    if type(name) == "string" and native[name] ~= nil then
      errors.renamed("lv." .. name, ('internal: require("lunerv.native").%s'):format(name))
      return native[name]
    end
    errors.raise("lv has no '%s'%s", tostring(name), names.meant(tostring(name), known()))
  end,
  __names = known,
})
