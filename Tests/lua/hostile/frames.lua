-- Decoders with invalid frames, and frames with false references to each other.
local image <const> = "return lv.zeros(1, 3, 12, 20) "
local in_turn <const> = "function C:restart() end "

local function references(body, expected)
  return { "function C:references(i) " .. body .. " end", expected, place = "ordered" }
end

return {
  { class = "wrong frames", programs = {
    { "return lv.zeros(1, 3, 2, 2)", "frame 1: expected f32 (1, 3, 12, 20)", place = "forward" },
    { "return lv.zeros(1, 3, 12, 20):to 'f64'", "got f64 (1, 3, 12, 20)", place = "forward" },
    { "return lv.zeros(1, 3, 12, 20, { dtype = 'u8' })", "got u8", place = "forward" },
    { "return 7", "section '", place = "forward" },
    { "return nil", "section '", place = "forward" },
    { "return {}", "section '", place = "forward" },
    { "return { evaluate = function() return 7 end }", "got number", place = "forward" },
    { "return { evaluate = function() return {} end }", "got table", place = "forward" },
    { "local r = { 1 } for k = 1, 40 do r = { r, r } end return { evaluate = function() return r "
      .. "end }", "got table", place = "forward" },
    { "return { evaluate = function() return setmetatable({ dtype = 'f32', shape = { 1, 3, 12, 20 }"
      .. " }, { __index = lv.zeros(1, 3, 12, 20).shape }) end }", "got table", place = "forward" },
    { "return { evaluate = function() return self end }", "got table", place = "forward" },
    { "return lv.zeros(1):expand(1, 3, 1 << 20, 1 << 20)", "section '", place = "forward" },
    { "return lv.zeros(1):expand(1 << 40)", "section '", place = "forward" },
    { "return t == 1 and lv.zeros(1) or lv.zeros(1, 3, 12, 20)", "frame 3: expected",
      place = "forward" },
    { "return lv.zeros(0, 3, 12, 20)", "got f32 (0, 3, 12, 20)", place = "forward" },
    { "C.__call = error C.evaluate = error function C:forward() return self end", "section '",
      place = "class" },
    { "C.forward = nil", "section '", place = "class" },
    { "C.forward = lv.zeros(1)", "section '", place = "class" },
    { "C.forward = setmetatable({}, { __call = function() return 1 end })", "section '",
      place = "class" },
  } },
  { class = "references and restarts", programs = {
    references("return 7", "expected a list of numbers, got number"),
    references("return nil", "expected a list of numbers, got nil"),
    references("return { i }", "other frames of its group"),
    references("return { 0 }", "other frames of its group"),
    references("return { 4 }", "other frames of its group"),
    references("return { 1.5 }", "other frames of its group"),
    references("return { 'x' }", "other frames of its group"),
    references("return { 1 << 62 }", "other frames of its group"),
    references("return { i % 3 + 1 }", "depends on itself"),
    references("return lv.zeros(3)", "got userdata"),
    references("error 'no'", "no"), references("while true do end", "seconds of processor time"),
    references("return { setmetatable({}, { __index = error }) }", "section '"),
    references("local t = {} for k = 0, 40 do t[1 << k] = i > 1 and 1 or 2 end return t",
      "other frames of its group"),
    { in_turn .. "C.group = 0", "frames", place = "ordered", harmless = true },
    { in_turn .. "function C:references(i) return { i + 1 } end", "earlier frames",
      place = "ordered" },
    { "function C:restart() error 'again' end", "again", place = "ordered" },
    { "function C:restart() self.x = self.x or {} for k = 1, 1e9 do self.x[k] = k end end",
      "memory", place = "ordered" },
    { "C.restart = 7", "frames", place = "ordered", harmless = true },
    { "C.references = setmetatable({}, { __call = error })", "frames", place = "ordered",
      harmless = true },
    { in_turn .. "function C:forward(t, i) self.kept = self.kept or {} "
      .. "for k = 1, 99 do self.kept[#self.kept + 1] = lv.zeros(1 << 18) end " .. image .. "end",
      "memory", place = "ordered", work = 1e9 },
  } },
  { class = "decoders that lie", programs = {
    { "return 7", "is not a class" }, { "return nil", "is not a class" },
    { "return lv", "section '" }, { "return lv.nn", "section '" },
    { "return function() end", "is not a class" }, { "return setmetatable({}, {})", "section '" },
    { "return setmetatable({}, { __call = function() return 7 end })", "section '" },
    { "return setmetatable({}, { __call = function() return {} end })", "section '" },
    { "return setmetatable({}, { __call = function() return lv.nn.List {} end })", "section '" },
    { "return setmetatable({}, { __call = function(c) return c(c) + 1 end })", "section '" },
    { image, "section '" },
    { image, "section '", decoder = 'program@1{"model":{"@":"own","with":[' .. ("["):rep(99) },
    { image, "section '", decoder = 'program@1{"model":{"@":"lunerv","with":[]}}' },
    { image, "section '", decoder = 'program@1{"model":{"@":"lunerv.nn.class","with":["x"]}}' },
    { image, "section '", decoder = 'program@1{"model":{"@":"lunerv.nn.Linear","with":'
      .. '[1048576,1048576]}}' },
    { image, "section '", decoder = 'program@1{"model":{"@":"lunerv.nn.List","with":[[' .. ("1,")
      :rep(9999) .. "1]]}}" },
    { image, "section '", decoder = 'program@1{"model":{"@":"own","with":[12,20]},"group":1e99}' },
    { image, "section '", decoder = 'program@1{"model":{"@":"own","with":[12,20]},'
      .. '"embedding":[268435456,9]}' },
  } },
}
