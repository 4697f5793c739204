-- Malicious probability models of weights: their results, the times of their calls, their side
-- effects.
local own <const> = "return { family = 'own', first = -9, "

local function model(text, expected, more)
  local program = { text, expected, place = "model" }
  for name, value in pairs(more or {}) do program[name] = value end
  return program
end

return {
  { class = "models that lie", programs = {
    model("return 7", "not return a prob"), model("return {}", "not return a prob"),
    model("return lv", "not return a prob"), model("return lv.zeros(1)", "not return a prob"),
    model("return { family = 7 }", "not return a prob"),
    model("return { family = 'nonsense' }", "unknown family"),
    model("return setmetatable({}, { __index = function() return 'own' end })", "section '"),
    model("return function() return 7 end", "expected a table with a family"),
    model("return function() return {} end", "one without"),
    model("return function() error 'no' end", "no"),
    model("return function() while true do end end", "seconds of processor time"),
    model("return function(name, shape) shape[1] = 1 << 40 return nil end", "section '"),
    model("return function(name, shape, index, codes) return codes[name] end", "section '"),
    model("return function(name, shape, index, codes) codes.w = lv.zeros(1) codes[1] = 1 "
      .. "return nil end", "section '"),
    model(own .. "weights = {} }", "got an empty one"),
    model(own .. "weights = { 1, 2, 3 } }", "section '"),
    model(own .. "weights = { 1.5 } }", "floats may differ"),
    model(own .. "weights = { -1 } }", "expected an integer from 0"),
    model(own .. "weights = { 1 << 40 } }", "expected an integer from 0"),
    model(own .. "weights = { 0, 0, 0 } }", "section '"),
    model(own .. "weights = { 'x' } }", "section '"), model(own .. "weights = 7 }", "section '"),
    model(own .. "other = 1, weights = { 1 } }", "unknown field"),
    model(own .. "weights = { family = 'own', weights = { 1 } } }", "section '"),
    model(own .. "context = 7, weights = { 1 } }", "context: expected a function"),
    model(own .. "context = function() return {} end, weights = { 1 } }", "an integer or a text"),
    model(own .. "context = function() return 0/0 end, weights = { 1 } }", "an integer or a text"),
    model(own .. "context = function() error 'no' end, weights = { 1 } }", "no"),
    model(own .. "context = function() return 1 end, weights = {} }", "section '"),
    model(own .. "context = function() return 1 end, weights = function() return 7 end }",
      "section '"),
    model(own .. "context = function(seen) seen[1] = 'x' return 1 end, weights = { { 1, 2 } } }",
      "section '"),
    model(own .. "context = function(seen) for k = 1, 1e9 do seen[k] = k end return 1 end, "
      .. "weights = { { 1, 2 } } }", "memory"),
    model("local n = 0 " .. own .. "context = function() n = n + 1 return n end, weights = "
      .. "function() local t = {} for k = 1, 60000 do t[k] = 1 end return t end }", "section '"),
    model("local t = {} for i = 1, 70000 do t[i] = 1 end " .. own .. "weights = t }", "section '"),
    model("local t = {} for i = 0, 40 do t[1 << i] = 1 end " .. own .. "weights = t }",
      "section '"),
    model("local t = {} for i = 0, 40 do t[1 << i] = 1 end return { family = 'table', first = 0, "
      .. "weights = t }", "section '"),
    model("return { family = 'table', first = 1 << 40, weights = { 1 } }", "section '"),
    model("return { family = 'table', first = 2147483647, weights = { 1, 1, 1 } }", "section '"),
    model("return { family = 'table', first = -2147483648, weights = { 1, 1, 1 } }", "section '"),
    model("return { family = 'adaptive', first = 0, count = 1 << 30 }", "section '"),
    model("return { family = 'adaptive', first = 0, count = -1 }", "section '"),
    model("return { family = 'gaussian', mean = 1 << 40, scale = 0 }", "section '"),
    model("return { family = 'gaussian', mean = 0/0, scale = 0 }", "section '"),
    model("return { family = 'laplace', mean = 0, scale = 999 }", "section '"),
    model("local function f(...) return 1, f(1, ...) end return f", "stack overflow"),
    model("require 'model'", "requires itself"), model("require 'os'", "is not in the file"),
  } },
  { class = "slices that lie", programs = {
    model("return { family = 'slices' }", "parameters: expected a function"),
    model("return { family = 'slices', dims = 9, parameters = error }", "dims"),
    model("return { family = 'slices', dims = 0, parameters = error }", "dims"),
    model("return { family = 'slices', of = 'nonsense', parameters = error }", "section '"),
    model("return { family = 'slices', parameters = function() return 7, 7 end }",
      "expected a tensor (2), got number"),
    model("return { family = 'slices', parameters = function() return lv.zeros(9), lv.zeros(2) "
      .. "end }",
      "expected a tensor (2), got (9)"),
    model("return { family = 'slices', parameters = function() return lv.zeros(2), lv.zeros(2) "
      .. "end }",
      "section '"),
    model("local r = { 1 } for k = 1, 40 do r = { r, r } end return { family = 'slices', "
      .. "parameters = function() return r, r end }", "got table"),
    model("return { family = 'slices', parameters = function() local x = lv.full(0/0, 2) "
      .. "return x, x end }", "section '"),
    model("return { family = 'slices', parameters = function() local x = lv.full(2147483647, 2, "
      .. "{ dtype = 'i32' }) return x, x end }", "section '"),
    model("return { family = 'slices', parameters = function() local x = lv.full(-2147483648, 2, "
      .. "{ dtype = 'i32' }) return x, x end }", "section '"),
    model("return { family = 'slices', parameters = function(seen, k) seen[1] = 7 "
      .. "local x = lv.zeros(2, { dtype = 'i32' }) return x, x end }", "section '"),
    model("return { family = 'slices', parameters = function() return lv.zeros(1):expand(1 << 40), "
      .. "1 end }", "section '"),
  } },
}
