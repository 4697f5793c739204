-- Work hidden by a view: a stride of 0 stands for 2⁴⁰ numbers that are not stored.
local huge <const> = "local v = lv.ones(1):expand(1 << 40) "
local wide <const> = "local v = lv.ones(1, 1):expand(1 << 20, 1 << 20) "
local map <const> = "local v = lv.ones(1, 1, 1, 1):expand(1, 8, 1 << 15, 1 << 15) "

local function each(prepared, list)
  local programs = {}
  for i, text in ipairs(list) do
    programs[i] = { prepared .. "local r = " .. text .. " return r", "section '" }
  end
  return programs
end

local programs <const> = {}
for _, list in ipairs {
  each(huge, { "v:sum():item()", "v:mean():item()", "v:amax()", "v:var()", "v:std()", "v:clone()",
    "v:sort()", "v:argsort()", "v:topk(1)", "v:argmax()", "v:unique()", "v:cumsum(1)",
    "v:softmax(1)", "v:logsumexp(1)", "v:flip(1)", "v:roll(1, 1)", "v:to 'f64'", "v:to 'i32'",
    "v:tolist()", "v:is_finite()", "v[v]", "v[v:eq(1)]", "v[{ { 1, -1, 2 } }]", "v:view(2, -1)",
    "v:outer(v)", "(v + 1):exp():sum():item()", "lv.cat { v, v }", "lv.stack { v, v }",
    "lv.where(v, v, v):sum():item()", "lv.einsum('i,i->', v, v)", "v:pad { 1, 1 }",
    "v:to 'i32':one_hot()",
    "v:evaluate()", "v:index_select(1, v:to 'i32')", "v:gather(1, v:to 'i32')",
    "lv.position_encoding({ 1 }, v)", "lv.zeros(3):scatter(1, v:to 'i32', v)" }),
  each(wide, { "v:matmul(v)", "v:t():sum():item()", "v:sum(1)", "v:sum(2)", "v:tril()",
    "v:linear(v)", "v:qr()", "v:eigh()", "v:cholesky()", "v:solve(v)", "v:rfft2()",
    "lv.einsum('ij,jk->ik', v, v)", "lv.einsum('ii->i', v)", "v:layer_norm(nil, nil, { dim = 2 })",
    "v:rms_norm()", "v:cumsum(2)", "lv.meshgrid { v[1], v[1] }:sum():item()" }),
  each(map, { "v:instance_norm():sum():item()", "v:group_norm(2):sum():item()",
    "v:batch_norm():sum():item()", "v:pixel_shuffle(2):sum():item()",
    "v:pixel_unshuffle(2):sum():item()", "v:conv2d(lv.ones(8, 8, 1, 1)):sum():item()",
    "v:conv2d(lv.ones(1, 1):expand(8, 8):view(8, 8, 1, 1), nil, { stride = 9 }):sum():item()",
    "v:conv2d(lv.ones(1, 1, 1, 1):expand(8, 8, 999, 999)):sum():item()",
    "v:conv_transpose2d(lv.ones(8, 8, 1, 1))", "v:max_pool2d(3)", "v:avg_pool2d(2)",
    "v:adaptive_avg_pool2d { 2, 2 }", "v:interpolate { scale = 2, mode = 'bilinear' }",
    "v:grid_sample(lv.zeros(1):expand(1, 2, 2, 2))",
    "lv.ones(1, 1, 9, 9):grid_sample(lv.zeros(1):expand(1, 1 << 20, 1 << 20, 2))",
    "v:unsqueeze(3):conv3d(lv.ones(8, 8, 1, 1, 1))",
    "lv.ones(1, 1, 1024, 1024):conv2d(lv.ones(1, 1, 1, 1):expand(1, 1, 512, 512)):sum():item()",
    "lv.ones(1, 1, 999, 999):max_pool2d(499, { stride = 1, padding = 249 })" }),
} do
  table.move(list, 1, #list, #programs + 1, programs)
end

return { { class = "work hidden in views", programs = programs } }
