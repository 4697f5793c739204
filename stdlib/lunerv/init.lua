-- local lv = require "lunerv": tensors and their functions, and the modules beside this file.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local submodules <const> = {
  nn = "lunerv.nn",
  options = "lunerv.options",
  optim = "lunerv.optim",
  loss = "lunerv.loss",
  metrics = "lunerv.metrics",
  schedule = "lunerv.schedule",
  models = "lunerv.models",
  video = "lunerv.video",
  train = "lunerv.train",
  interop = "lunerv.interop",
  verify = "lunerv.verify",
  bench = "lunerv.bench",
  quant = "lunerv.quant",
  compress = "lunerv.compress",
  codec = "lunerv.codec",
  coder = "lunerv.coder",
  tasks = "lunerv.tasks",
  diagnose = "lunerv.diagnose",
  reference = "lunerv.reference",
  bd_rate = "lunerv.bd_rate",
  plot = "lunerv.plot",
}

local lv <const> = { json = { encode = native.json_encode, decode = native.json_decode } }
for name, value in pairs(native) do lv[name] = value end

-- A submodule is loaded when it is first named: a script that only adds tensors loads none.
return setmetatable(lv, {
  __index = function(self, name)
    local path = submodules[name]
    if not path then errors.raise("lv has no '%s'", tostring(name)) end
    local module = require(path)
    rawset(self, name, module)
    return module
  end,
})
