-- C functions that no limit covers: methods of strings, patterns, long names.
local long <const> = "local s = 'x' for i = 1, 24 do s = s .. s end "

return {
  { class = "methods of strings", programs = {
    { "('x'):rep(1 << 40)", "strings have no 'rep'" }, { "('x').rep('x', 9)", "no 'rep'" },
    { "('x'):format(1)", "no 'format'" }, { "('%99999999d'):format(1)", "no 'format'" },
    { "('x'):find(('a?'):rep(99))", "no 'find'" }, { "('x'):gsub('.', 'y')", "'gsub'" },
    { "('x'):match '((((((.*)*)*)*)*)*)'", "no 'match'" }, { "('x'):gmatch '.'", "'gmatch'" },
    { "('x'):byte(1, -1)", "no 'byte'" }, { "('x'):char()", "no 'char'" },
    { "('x'):dump()", "no 'dump'" }, { "('x'):pack(1)", "no 'pack'" },
    { "('x'):unpack('s1')", "no 'unpack'" }, { "('x'):len()", "no 'len'" },
    { "('x'):sub(1)", "no 'sub'" }, { "('x').nothing = 1", "section '" },
    { "local k = {} return ('x')[k]", "strings have no 'table" }, { "return ('x')[1]", "no '1'" },
    { "return #('x') + ('x')", "section '" }, { "return -'x'", "section '" },
  } },
  { class = "quadratic patterns", programs = {
    { "local s = '' while true do s = s .. 'xxxxxxxxxxxxxxxx' end", "section '" },
    { long .. "while true do s = s .. s end", "memory" },
    { "local t = {} for i = 1, 1e9 do t[i] = i end", "memory" },
    { "local t = {} for i = 1, 1e9 do t[{}] = i end", "memory" },
  } },
  { class = "long names", programs = {
    { long .. "lv.nn.class(s)()()", "section '" },
    { long .. "lv.zeros(1, { [s] = 1 })", "unknown" },
    { long .. "lv.zeros(1):to(s)", "unknown dtype" }, { long .. "return lv[s]()", "section '" },
    { long .. "return lv.zeros(1)[s]", "no field" }, { long .. "return lv.nn[s]", "section '" },
    { long .. "lv.einsum(s, lv.zeros(1))", "einsum" },
    { long .. "lv.nn.activation(s)", "section '" },
    { long .. "lv.zeros(1, 1, 2, 2):pad { left = 1, mode = s }", "mode" },
    { long .. "lv.zeros(1, 1, 2, 2):interpolate { scale = 2, mode = s }", "mode" },
    { long .. "lv.options({ [s] = 1 }, {})", "unknown option" },
    { long .. "lv.options({}, {}, { s }, s) error 'options'", "section '" },
    { long .. "local C = lv.nn.class 'C' C():load_state_dict { [s] = lv.zeros(1) }", "section '" },
    { long .. "lv.nn.reparametrise(lv.nn.Linear(1, 1), s, error)", "section '" },
    { long .. "lv.nn.with_parameters(lv.nn.Linear(1, 1), { [s] = lv.zeros(1) }, error)",
      "section '" },
    { long .. "lv.zeros(s)", "section '" }, { long .. "lv.zeros(1):sum { s }", "section '" },
    { long .. "local m = lv.nn.List {} m[s] = lv.nn.Linear(1, 1) m[s]:forward(lv.zeros(2, 9))",
      "section '" },
    { long .. "return 1 < s", "section '" }, { long .. "error(s .. '')", "xxx" },
  } },
}
