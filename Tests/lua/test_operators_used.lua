-- The operators that the decoders of five programs use, as in the reference's table.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local uses <const> = require "lunerv.help.uses"

local equal <const>, test <const> = harness.equal, harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."
local before <const> = package.path
package.path = root .. "/scripts/examples/field/?.lua;" .. before

-- Names of functions, and of methods of tensors.
local names <const> = {}
for _, name in ipairs(native.pure_operators) do
  names[native[name]] = name
  local is_method, method = pcall(function() return lv.zeros(1)[name] end)
  if is_method then names[method] = name end
end
-- What Lua's own operators call.
local metatable <const> = debug.getmetatable(lv.zeros(1))
for event, name in pairs { __add = "add", __sub = "sub", __mul = "mul", __div = "div",
  __unm = "neg", __pow = "pow", __mod = "remainder", __idiv = "floor_divide" }
do
  if rawget(metatable, event) then names[metatable[event]] = name end
end

-- The operators that are called while f runs.
local function used_by(f, ...)
  local found = {}
  debug.sethook(function()
    local name = names[debug.getinfo(2, "f").func]
    if name then found[name] = true end
  end, "c")
  local ok, message = pcall(f, ...)
  debug.sethook()
  assert(ok, message)
  local list = {}
  for name in pairs(found) do list[#list + 1] = name end
  table.sort(list)
  return table.concat(list, " ")
end

local height <const>, width <const>, frames <const> = 40, 60, 6

local programs <const> = {
  ["HNeRV-Boost"] = function()
    local model = lv.models.hnerv_boost { height = height, width = width, frames = frames,
      fc_dim = 8, enc_dim = { 8, 4 }, strides = { 5, 2, 2 } }
    local embedding = lv.zeros(1, 4, model.grid[1], model.grid[2])
    return function() model:decode(embedding, 0.5):evaluate() end
  end,
  FFNeRV = function()
    local model = require "ffnerv"(height, width, frames, { width = 16 })
    return function() model(0.5):evaluate() end
  end,
  HiNeRV = function()
    local model = require "hinerv"(height, width, frames, { width = 16 })
    return function() model(0.5):evaluate() end
  end,
  ["Cool-chic"] = function()
    local model, codes = require "coolchic"(height, width, frames), {}
    for name, parameter in model:named_parameters() do
      codes[name] = parameter:detach():round():to "i32"
    end
    local of_tensor = require "coolchic_model"
    return function()
      for name, symbols in pairs(codes) do
        local own = of_tensor(name, symbols.shape, 1, codes)
        if own then lv.coder.bits(symbols, own) end
      end
      model(0.5):evaluate()
    end
  end,
  motion = function()
    local model = require "motion"(height, width, frames, { width = 16 })
    local images = { lv.zeros(1, 3, height, width) }
    return function() model(0.5, 3, images):evaluate() end
  end,
}

for _, program in ipairs(uses) do
  test("the operators of " .. program.name .. " are those of the reference", function()
    local run = programs[program.name]()
    local found = used_by(lv.no_grad, run)
    local listed = {}
    for name in program.operators:gmatch "%S+" do listed[#listed + 1] = name end
    equal(found, table.concat(listed, " "))
  end)
end

package.path = before
