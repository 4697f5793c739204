-- Escapes: globals, environments, upvalues, the library's own functions.
return {
  { class = "environment", programs = {
    { "_G.x = 1", "'_G'" }, { "_ENV = {} lv.zeros(1) print(1)", "'print'" },
    { "local _ENV = {} error(1)", "section '" },
    { "local e = _ENV e.setmetatable = nil e.error = nil string.rep('x', 9)", "'string'" },
    { "local there = '' for _, name in ipairs { 'io', 'os', 'debug', 'package', 'string', 'utf8', "
      .. "'coroutine', 'load', 'loadstring', 'loadfile', 'dofile', 'pcall', 'xpcall', 'rawget', "
      .. "'rawset', 'rawequal', 'rawlen', 'next', 'collectgarbage', 'tostring', 'tonumber', "
      .. "'assert', 'print', 'warn', 'getmetatable', '_G', 'arg', 'native', 'bridge', 'jit', "
      .. "'bit32', "
      .. "'unpack' } do if _ENV[name] ~= nil then there = there .. ' ' .. name end end "
      .. "for _, name in ipairs { 'move', 'sort', 'concat', 'pack', 'remove' } do "
      .. "if table[name] then there = there .. ' table.' .. name end end "
      .. "if math.random or math.randomseed then there = there .. ' random' end "
      .. "error('there is:' .. there .. '.')", "there is:." },
    { "local names = '' for name in pairs(_ENV) do names = names .. ' ' .. name end error(names)",
      " error ipairs math pairs require select setmetatable table type" },
    { "io.open('/tmp/x', 'w')", "'io'" }, { "os.exit(0)", "'os'" },
    { "debug.getupvalue(lv.zeros, 1)", "'debug'" }, { "string.dump(error)", "'string'" },
    { "package.loadlib('libc.so.6', 'system')", "'package'" }, { "pcall(error)", "'pcall'" },
    { "collectgarbage()", "'collectgarbage'" }, { "math.random()", "'random'" },
    { "table.move({}, 1, 1 << 53, 2)", "'move'" },
    { "table.unpack({}, 1, 1 << 40)", "unpack" }, { "table.unpack({}, -5, 2)", "unpack" },
    { "table.unpack({}, 1.5, 2)", "unpack" }, { "table.unpack('x')", "unpack" },
    { "table.insert({}, 1 << 40, 1)", "insert" }, { "table.insert({}, 0, 1)", "insert" },
    { "table.insert({})", "insert" }, { "table.insert({}, 1, 2, 3)", "insert" },
    { "table.insert(lv.zeros(3), 1)", "insert" }, { "pairs(1)", "pairs: expected a table" },
    { "pairs(lv.zeros(3))", "pairs: expected a table" },
    { "select(-5, 1)", "out of range" }, { "select('#')()", "section '" },
    { "for k in pairs(_ENV) do _ENV[k] = nil end lv.zeros(1) missing()", "'missing'" },
  } },
  { class = "library doors", programs = {
    { "local there = '' for _, name in ipairs { 'read_file', 'write_file', 'list_dir', 'video', "
      .. "'codec', 'load_safetensors', 'save_safetensors', 'time', 'set_threads', 'threads', "
      .. "'seed', 'rng_state', 'set_rng_state', 'no_grad', 'grad', 'optim', 'stats', "
      .. "'event_writer', "
      .. "'lnv_unpack', 'lnv_pack', 'confined_answer', 'confined_file', 'confined_request', "
      .. "'json_decode', 'work_charged', 'clip_grad_norm', 'decoder_process', 'is_tensor', "
      .. "'profile', 'coder_decoder', 'copy_', 'backward', 'permutation', 'remove', "
      .. "'step_boundary', "
      .. "'executable' } do if lv[name] ~= nil then there = there .. ' ' .. name end end "
      .. "error('there is:' .. there .. '.')", "there is:." },
    { "lv.read_file('/etc/passwd')", "'read_file'" },
    { "lv.confined_answer(lv.zeros(1))", "'confined_answer'" },
    { "lv.set_threads(99)", "'set_threads'" },
    { "lv.options.parse({}, {})", "'options'" }, { "lv.options.check('lr', 1)", "'options'" },
    { "local C = lv.nn.class 'C' C():save('/tmp/x')", "'save'" },
    { "local C = lv.nn.class 'C' C():load('/tmp/x')", "'load'" },
    { "lv.nn.nothing()", "nothing" }, { "lv.nn.class()", "expected the name of the class" },
    { "lv.nn.class('C', 'x')", "the class it extends" },
    { "lv.nn.class('C', { init = error })()()", "section '" },
    { "local x = lv.zeros(1) x.requires_grad = true x:sum():backward()", "backward" },
    { "local x = lv.zeros(1) x.grad = x", "grad" }, { "lv.zeros(1).shape = { 2 }", "'shape'" },
    { "lv.zeros(1):register_hook(error) error 'hooked'", "section '" },
    { "lv.zeros(1):copy_(lv.zeros(1 << 40))", "section '" },
    { "lv.zeros(1).nothing()", "no field 'nothing'" }, { "lv.zeros(1)()", "expected a function" },
    { "local x <const> = lv.zeros(1) < lv.zeros(1)", "expected numbers" },
    { "return lv.zeros(1) .. 'x'", "expected strings" },
    { "for k, v in pairs(lv.nn) do if type(v) == 'table' then v.forward = nil v.init = nil end end "
      .. "return lv.nn.Conv2d(1, 1, 1)", "section '" },
    -- The library's functions return nothing but their arguments' parts.
    { "local seen = {} local function look(v) if type(v) == 'table' and not seen[v] then "
      .. "seen[v] = true for k, x in pairs(v) do look(k) look(x) end elseif type(v) == 'userdata' "
      .. "then error 'an object' end end look(lv) error 'only tables and functions'",
      "only tables and functions" },
    { "local C = lv.nn.class 'C' local m = C() for k in pairs(m) do if type(k) == 'table' then "
      .. "m[k] = 7 end end m.x = lv.zeros(1)", "section '" },
    { "local C = lv.nn.class 'C' local m = C() for k in pairs(m) do if type(k) == 'table' then "
      .. "local t = {} t[k] = t t[1] = 1 t[2] = m m.x = t end end m:parameters()", "section '" },
  } },
}
