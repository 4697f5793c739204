-- Operators of the library at their limits: sizes that cost much more than the result shows, empty
-- tensors, false indices and options.
local z <const> = "local z = lv.zeros(1, 0, 0, 0) "

return {
  { class = "operators at limits", programs = {
    { "lv.rand(2000, 2000):eigh()", "(max_work" }, { "lv.rand(2000, 2000):qr()", "(max_work" },
    { "lv.rand(2000, 2000):solve(lv.rand(2000, 1))", "(max_work" },
    { "lv.rand(16384, 1):qr() error 'small enough'", "section '" },
    { "lv.full(0/0, 4, 4):eigh()", "finite" }, { "lv.full(1/0, 4, 4):qr()", "finite" },
    { "lv.zeros(4, 4):cholesky()", "positive definite" }, { "lv.zeros(4, 4):solve(lv.ones(4))",
      "singular" },
    { "lv.einsum('ab,bc,cd,de->ae', lv.rand(9999, 1), lv.rand(1, 9999), lv.rand(9999, 9999), "
      .. "lv.rand(9999, 9))", "(max_work", work = 2e8, memory = 1 << 30 },
    { "lv.einsum(',,,,', lv.zeros(1))", "einsum" }, { "lv.einsum('a->b', lv.zeros(1))", "einsum" },
    { "lv.einsum('aaaaaaaaa', lv.zeros(1))", "einsum" }, { "lv.einsum('...', 1)", "section '" },
    { "local s = 'a' for i = 1, 20 do s = s .. ',a' end lv.einsum(s, lv.zeros(1))", "einsum" },
    { "lv.rand(1 << 20):sort(1) lv.rand(1 << 20):sort(1) lv.rand(1 << 20):sort(1) "
      .. "lv.rand(1 << 20):sort(1) lv.rand(1 << 20):sort(1)", "(max_work" },
    { "lv.rand(3):gather(1, lv.full(0, 3):to 'i32')", "count from 1" },
    { "lv.rand(3):gather(1, lv.full(2147483647, 3, { dtype = 'i32' }))", "expected a position" },
    { "lv.rand(3):gather(1, lv.full(-2147483648, 3, { dtype = 'i32' }))", "expected a position" },
    { "lv.rand(3):scatter(1, lv.full(9, 3):to 'i32', 1)", "expected a position" },
    { "lv.rand(3):scatter_add(1, lv.ones(3):to 'i32', lv.zeros(2))", "does not fit" },
    { "lv.rand(3):index_add(1, { 1, 2, 3, 4 }, lv.rand(3))", "index_add" },
    { "lv.rand(3):index_select(1, { 0 })", "count from 1" },
    { "lv.rand(3):one_hot()", "i32" }, { "lv.zeros(3, { dtype = 'i32' }):one_hot()", "from 1" },
    { "lv.full(2147483647, 3, { dtype = 'i32' }):one_hot()", "section '" },
    { "lv.rand(1, 1, 4, 4):grid_sample(lv.full(0/0, 1, 2, 2, 2)):sum():item() "
      .. "lv.rand(1, 1, 4, 4):grid_sample(lv.full(1e300, 1, 2, 2, 2)):sum():item() error 'seen'",
      "seen" },
    { "lv.rand(1, 1, 4, 4):grid_sample(lv.zeros(2, 2, 2, 2))", "grid_sample" },
    { "lv.zeros(1, 1, 0, 4):grid_sample(lv.zeros(1, 2, 2, 2))", "grid_sample" },
    { "lv.rand(1, 1, 1009, 1009):rfft2() lv.rand(1, 1, 1013, 1013):rfft2() "
      .. "lv.rand(1, 1, 1019, 1019):rfft2() lv.rand(1, 1, 1021, 1021):rfft2()", "(max_work" },
    { "for n = 1, 1e9 do lv.zeros(1, n):rfft2() end", "(max_work" },
    { "for n = 1, 1e9 do lv.zeros(n, 1, 2):irfft2() end", "(max_work" },
    { "lv.zeros(0):amax()", "at least one element" }, { "lv.zeros(0):argmax()", "at least one" },
    { "lv.zeros(0, 3):softmax(1)", "softmax" }, { "lv.cat {}", "at least one" },
    { "lv.stack {}", "at least one" }, { "lv.zeros(0, 0):sum():mean():var() error 'empty'", "'" },
    { "lv.zeros(3):cumsum(9)", "expected a dimension" },
    { "lv.meshgrid { lv.zeros(2, 2) }", "meshgrid" },
    { "lv.meshgrid()", "section '" },
    { "local l = lv.zeros(1):expand(1 << 30) lv.meshgrid { l, l, l, l }", "too large" },
    { "local t = {} for i = 1, 9 do t[i] = lv.zeros(2) end lv.meshgrid(t)",
      "at most 8" },
    { "local x, w = lv.rand(1, 4096, 1, 1), lv.rand(4096, 1, 9, 9) for i = 1, 999 do "
      .. "x = x:conv2d(w, nil, { groups = 4096, padding = 4 }) end x:sum():item()", "(max_work" },
    { "local x = lv.rand(1, 1, 4, 4) for i = 1, 99 do x = x:conv2d(lv.rand(1, 1, 1, 1), nil, "
      .. "{ padding = 99 }) end x:sum():item()", "(max_work" },
    { "lv.rand(1, 1, 4, 4):conv2d(lv.rand(1, 1, 3, 3), nil, { padding = 1 << 20, "
      .. "stride = 1 << 20 }):sum():item() lv.rand(1, 9, 4, 4):conv2d(lv.rand(9, 9, 3, 3), nil, "
      .. "{ padding = 1 << 20, stride = 1 << 20 }):sum():item() lv.rand(1, 9, 4, 4):conv2d("
      .. "lv.rand(9, 1, 3, 3), nil, { padding = 1 << 20, stride = 1 << 20, groups = 9 }):sum()"
      .. ":item() error 'far apart'", "far apart" },
    { "lv.rand(1, 9, 4, 4):conv2d(lv.rand(9, 9, 3, 3), nil, { padding = 1 << 20, "
      .. "stride = { 1 << 20, 1 } }):sum():item()", "section '" },
    { "lv.rand(1, 9, 4, 4):conv2d(lv.rand(9, 9, 5, 5), nil, { padding = 1 << 20, "
      .. "dilation = 1 << 18, stride = 1 << 20 }):sum():item() error 'dilated'", "section '" },
    { "lv.zeros(1, 1, 0, 4):conv2d(lv.zeros(1, 1, 1, 1), nil, { padding = 3 }):sum():item() "
      .. "error 'empty'", "section '" },
    { "lv.zeros(1, 9, 0, 0):conv2d(lv.zeros(9, 9, 3, 3), nil, { padding = 9 }):sum():item() "
      .. "error 'empty'", "section '" },
  } },
  { class = "empty tensors", programs = {
    { z .. "for i = 1, 1e6 do z = z:pixel_unshuffle(2) end z:sum():item()", "section '" },
    { z .. "for i = 1, 1e6 do z = z:pixel_unshuffle(3):sin() end z:sum():item()", "section '" },
    { z .. "for i = 1, 1e5 do z = z:pixel_shuffle(2) end z:evaluate() error 'no'", "section '" },
    { z .. "for i = 1, 20 do z = z:pixel_unshuffle(2) + 1 end return z:conv2d(z)", "section '" },
    { z .. "z:conv2d(z)", "section '" }, { z .. "z:conv_transpose2d(z)", "section '" },
    { z .. "z:max_pool2d(2)", "section '" }, { z .. "z:avg_pool2d(2)", "section '" },
    { z .. "z:instance_norm():sum():item() error 'no'", "section '" },
    { z .. "z:group_norm(1)", "section '" }, { z .. "z:softmax(2)", "softmax" },
    { z .. "z:interpolate { scale = 2 }", "section '" }, { z .. "z:rfft2()", "rfft2" },
    { z .. "z:matmul(z):sum():item() error 'no'", "section '" }, { z .. "z:qr()", "section '" },
    { z .. "z:sort():amin()", "section '" }, { z .. "z:unique() error 'none'", "section '" },
    { z .. "z:view(-1)", "section '" }, { z .. "z:one_hot()", "section '" },
    { z .. "lv.einsum('abcd,abce->abde', z, z):sum():item() error 'no'", "section '" },
    { z .. "z:grid_sample(z)", "section '" }, { z .. "z:cumsum(1):tolist() error 'no'", "section" },
  } },
}
