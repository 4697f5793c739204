-- What numbers do at their edges.
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, near <const>, raises <const> = harness.equal, harness.near, harness.raises
local test <const> = harness.test

local nan <const> = 0 / 0

test("NaN passes through extrema, from either side, at any length", function()
  for _, dtype in ipairs { "f32", "f64" } do
    for _, length in ipairs { 1, 7, 8, 9, 16, 33, 1000, 40000 } do
      for _, place in ipairs { 1, (length + 1) // 2, length } do
        local list = {}
        for i = 1, length do list[i] = i == place and nan or 2 end
        local x, ones = lv.tensor(list):to(dtype), lv.ones(length):to(dtype)
        for _, y in ipairs { lv.maximum(x, ones), lv.maximum(ones, x), lv.minimum(x, ones),
          lv.minimum(ones, x), x:clamp { min = 0 }, x:clamp { max = 1 }, x:relu() } do
          local values = y:tolist()
          assert(values[place] ~= values[place], dtype)
          if length > 1 then
            local other = values[place == 1 and 2 or 1]
            assert(other == other)
          end
        end
      end
    end
  end
  equal(lv.maximum(lv.tensor { 1, 5 }, lv.tensor { 3, 2 }):tolist(), { 3, 5 })
  equal(lv.minimum(lv.tensor { 1, 5 }, lv.tensor { 3, 2 }):tolist(), { 1, 2 })
end)

test("division by a number divides", function()
  for n = 1, 2000 do
    assert((lv.full(n, 1) / n):item() == 1, n)
    assert((n / lv.full(n, 1)):item() == 1, n)
  end
  equal((lv.full(169, 1) / 13):item(), 13)
  equal((lv.full(1e-40, 1) / 1e-40):item(), 1)
  local x = lv.nn.parameter(lv.tensor { 3 })
  local y = (x / 4 + 8 / x):sum()
  y:backward()
  near(x.grad:item(), 1 / 4 - 8 / 9, 1e-6)
end)

test("powers have their gradients at 0", function()
  local function slope(base, exponent, by_exponent)
    local x = lv.nn.parameter(lv.tensor { by_exponent and exponent or base })
    local y = by_exponent and lv.tensor { base } ^ x or x ^ exponent
    y:sum():backward()
    return x.grad:item()
  end
  equal({ slope(0, 0), slope(0, 1), slope(0, 2), slope(0, 1.5), slope(5, 0) }, { 0, 1, 0, 0, 0 })
  equal({ slope(0, 1, true), slope(0, 0, true) }, { 0, 0 })
  near(slope(2, 3, true), 8 * math.log(2), 1e-5)
  local base, exponent = lv.nn.parameter(lv.tensor { 0, 0 }), lv.nn.parameter(lv.tensor { 0, 2 })
  ;(base ^ exponent):sum():backward()
  equal({ base.grad:tolist(), exponent.grad:tolist() }, { { 0, 0 }, { 0, 0 } })
end)

test("sums of millions are right to the last digits, over any dimension", function()
  local tenth = string.unpack("<f", string.pack("<f", 0.1))
  local function check(got, want) assert(math.abs(got / want - 1) < 1e-6, got / want - 1) end
  check(lv.full(0.1, 5000000):mean():item(), tenth)
  check(lv.full(0.1, 32, 100000, 2):mean(2):tolist()[32][2], tenth)
  check(lv.full(0.1, 40, 50000, 3):mean(2):tolist()[40][3], tenth)
  check(lv.full(0.1, 500000, 16):mean(1):tolist()[16], tenth)
  check(lv.full(0.1, 3, 40000, 1, 24):sum { 2, 3 }:tolist()[3][24], 40000 * tenth)
  local scale = lv.nn.parameter(lv.ones(1, 1, 2))
  ;(lv.full(0.1, 32, 100000, 2) * scale):sum():backward()
  check(scale.grad:view(-1):tolist()[1], 3.2e6 * tenth)
end)

test("a tensor is shown by its first elements, in its layout", function()
  local x = lv.arange(1, 24):view(2, 3, 4)
  equal(tostring(x), "tensor f32 (2, 3, 4): 1 2 3 4 5 6 …")
  equal(tostring(x:transpose(1, 3)), "tensor f32 (4, 3, 2): 1 13 5 17 9 21 …")
  equal(tostring(x + 0.5), "tensor f32 (2, 3, 4): 1.5 2.5 3.5 4.5 5.5 6.5 …")
  -- Channels lie last in what a convolution makes.
  local map = lv.arange(1, 8):view(1, 2, 2, 2):conv2d(lv.ones(1, 2, 1, 1))
  equal(tostring(map), "tensor f32 (1, 1, 2, 2): 6 8 10 12")
  equal(tostring(lv.tensor({ 7, 255 }, { dtype = "u8" })), "tensor u8 (2): 7 255")
  equal(tostring(lv.zeros(0, 3)), "tensor f32 (0, 3)")
  equal(tostring(lv.full(3.5)), "tensor f32 (): 3.5")
end)

test("a write to a part of a tensor that would be lost is an error", function()
  local x = lv.zeros(2, 3)
  for name, write in pairs {
    select = function() x:select(1, 1):fill_(7) end,
    slice = function() x:slice(2, 1, 2):copy_(lv.ones(2, 2)) end,
    view = function() x:view(-1):add_(1) end,
    transpose = function() x:transpose(1, 2):fill_(2) end,
    permute = function() x:permute(2, 1):mul_(2) end,
    expand = function() x:slice(1, 1, 1):expand(4, 3):uniform_(0, 1) end,
    unsqueeze = function() x:unsqueeze(1):zero_() end,
    squeeze = function() x:slice(1, 1, 1):squeeze(1):normal_(0, 1) end,
    detach = function() x:detach():fill_(1) end,
  } do
    raises(write, ":" .. name .. " returns a separate value", ":clone()")
  end
  -- Whether it is a part or all of it.
  for name, write in pairs {
    slice = function() x:slice(1, 1, -1):fill_(7) end,
    view = function() x:view(2, 3):add_(1) end,
    reshape = function() x:reshape(2, -1):add_(1) end,
    permute = function() x:permute(1, 2):mul_(2) end,
    expand = function() x:expand(2, 3):uniform_(0, 1) end,
    flatten = function() x:flatten(2):fill_(1) end,
    ["x[…]"] = function() x[{ {}, {} }]:fill_(1) end,
  } do
    local given = name == "x[…]" and name or ":" .. name
    raises(write, given .. " returns a separate value", ":clone()")
  end
  equal(x:sum():item(), 0)
  -- A copy is separate storage, and so is an operator's result.
  equal(x:select(1, 1):clone():fill_(7):sum():item(), 21)
  equal((x:view(-1) + 1):fill_(2):sum():item(), 12)
end)

test("losses of spectra and of structure are of floating point", function()
  for _, dtype in ipairs { "bool", "u8", "i32" } do
    local x = lv.ones(1, 1, 16, 16, { dtype = dtype })
    for _, name in ipairs { "freq_loss", "ssim", "ms_ssim" } do
      raises(function() x[name](x, x) end, name .. ": expected f32 or f64, got " .. dtype)
    end
  end
end)

test("the result of an operator is another tensor, even if it has nothing to do", function()
  for name, f in pairs {
    view = function(x) return x:view(1, 1, 2, 2) end,
    slice = function(x) return x:slice(3, 1, 2) end,
    index = function(x) return x[{}] end,
    pad = function(x) return x:pad { left = 0 } end,
    pad_list = function(x) return x:pad { 0, 0 } end,
    roll = function(x) return x:roll(0, 3) end,
    flip = function(x) return x:flip {} end,
    shuffle = function(x) return x:pixel_shuffle(1):pixel_unshuffle(1) end,
    size = function(x) return x:interpolate { size = { 2, 2 } } end,
    linear = function(x) return x:interpolate { size = { 2, 2 }, mode = "bilinear" } end,
    einsum = function(x) return lv.einsum("...->...", x) end,
    cat = function(x) return lv.cat({ x }, 1) end,
    clamp = function(x) return x:clamp() end,
    meshgrid = function(x) return lv.meshgrid { x:view(-1) }:view(1, 1, 2, 2) end,
    tril = function(x) return x:tril(9) end,
    index_select = function(x) return x:index_select(3, { 1, 2 }) end,
  } do
    local x = lv.ones(1, 1, 2, 2)
    local y = f(x)
    assert(not rawequal(x, y), name)
    x:fill_(7)
    if y:sum():item() ~= 4 then error(name .. ": what was written to x reaches what it gave") end
    -- Gradients flow as through any other.
    x.requires_grad = true
    f(x):sum():backward()
    equal(x.grad:tolist(), { { { { 1, 1 }, { 1, 1 } } } })
  end
  local x = lv.ones(2)
  assert(rawequal(x:evaluate(), x) and rawequal(x:contiguous(), x) and rawequal(x:to "f32", x))
end)

test("a name that does not exist is an error that points the way", function()
  local x = lv.zeros(2, 3)
  raises(function() return x.foo end, "a tensor has no field 'foo'")
  raises(function() return lv.foo end, "lv has no 'foo'")
  raises(function() return lv.nn.Conv2D end, "nn has no 'Conv2D'", "'Conv2d'")
  raises(function() return lv.nn.Foo end, "nn has no 'Foo'")
end)

test("frame rates that are not positive and finite are refused", function()
  for _, fps in ipairs { nan, -25, 1 / 0 } do
    raises(function() lv.video.writer("x.mkv", { width = 8, height = 8, fps = fps }) end, "fps")
  end
end)

test("an integer tensor holds the numbers given, or says which it cannot", function()
  equal(lv.tensor({ 3, -4, 2147483647 }, { dtype = "i32" }):tolist(), { 3, -4, 2147483647 })
  equal(lv.tensor({ 0, 255 }, { dtype = "u8" }):tolist(), { 0, 255 })
  local byte <const>, word <const> = { dtype = "u8" }, { dtype = "i32" }
  raises(function() lv.tensor({ 1, 256 }, byte) end, "tensor: ", "from 0 to 255, got 256")
  raises(function() lv.tensor({ -1 }, byte) end, "got -1")
  raises(function() lv.tensor({ 1.5 }, word) end, "got 1.5")
  raises(function() lv.tensor({ 3e9 }, word) end, "got 3000000000")
  raises(function() lv.tensor({ 0 / 0 }, word) end, "nan")
  raises(function() lv.full(300, 2, byte) end, "full: ", "got 300")
  equal(tostring(lv.tensor({ 16843009 }, word)), "tensor i32 (1): 16843009")
end)

test("a learning rate is a number of at least 0", function()
  local weight = lv.nn.parameter(lv.ones(2))
  for _, rate in ipairs { -1, 0 / 0, math.huge } do
    raises(function() lv.optim.Adam({ weight }, { lr = rate }) end, "lr: expected a finite number")
    local optimiser = lv.optim.Adam({ weight }, { lr = 0.1 })
    raises(function() optimiser.lr = rate end, "lr: expected a finite number")
  end
end)

-- Files -------------------------------------------------------------------------------------

-- A safetensors file of one tensor, written by hand.
local function stored(path, name, dtype, shape, bytes)
  local header = ('{"%s":{"dtype":"%s","shape":[%s],"data_offsets":[0,%d]}}'):format(name, dtype,
    table.concat(shape, ","), #bytes)
  local file <close> = assert(io.open(path, "wb"))
  file:write(string.pack("<s8", header), bytes)
  return path
end

test("safetensors of every type and rank are read, or said to be none", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/a.safetensors"
  for _, dtype in ipairs { "I8", "I16", "U16", "U32", "U64", "F8_E4M3", "F8_E5M2", "F4", "C64" } do
    local found, message = lv.load_safetensors(stored(path, "a", dtype, { 2 }, ("\0"):rep(16)))
    equal(found, nil)
    assert(message:find(dtype, 1, true), message)
  end
  local found, message = lv.load_safetensors(stored(path, "a", "F32", { 1, 1, 1, 1, 1, 1, 1, 1, 1 },
    "\0\0\0\0"))
  equal(found, nil)
  assert(message:find "'a'" and message:find "at most 8 dimensions", message)
  equal(lv.load_safetensors(stored(path, "a", "F32", {}, "\0\0\128\63")).a:item(), 1)
  equal(lv.load_safetensors(stored(path, "a", "F32", { 0, 3 }, "")).a.shape, { 0, 3 })
  -- A name is no way to steer a terminal.
  found, message = lv.load_safetensors(stored(path, "a\\u001b[31m", "XX", { 1 }, "\0"))
  equal(found, nil)
  assert(message:find("\\u{1B}[31m", 1, true) and not message:find "\27", message)
end)

test("safetensors become one type of floating point on request", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/a.safetensors"
  local sizes = { F64 = 8, F32 = 4, F16 = 2, BF16 = 2, I64 = 8 }
  local function value(bytes, dtype, given)
    local tensors, problem = lv.load_safetensors(stored(path, "a", dtype,
      { #bytes // sizes[dtype] }, bytes), given)
    return tensors and tensors.a, problem
  end
  local halves = string.pack("<I2I2I2I2", 0x3c00, 0xc000, 0x0001, 0x7c00)
  local brains = string.pack("<I2I2I2I2", 0x3f80, 0xc000, 0x0001, 0x7f80)
  local doubles = string.pack("<dd", 0.1, -math.huge)
  for _, dtype in ipairs { "f32", "f64" } do
    local half = value(halves, "F16", { dtype = dtype })
    equal({ half.dtype, half:tolist() }, { dtype, { 1, -2, 2.0 ^ -24, math.huge } })
    local brain = value(brains, "BF16", { dtype = dtype })
    equal({ brain.dtype, brain:tolist() }, { dtype, { 1, -2, 2.0 ^ -133, math.huge } })
    local double = value(doubles, "F64", { dtype = dtype })
    local tenth = dtype == "f64" and 0.1 or string.unpack("<f", string.pack("<f", 0.1))
    equal({ double.dtype, double:tolist() }, { dtype, { tenth, -math.huge } })
    equal(value(string.pack("<ff", 1.5, 2), "F32", { dtype = dtype }).dtype, dtype)
    equal(value(string.pack("<i8", -3), "I64", { dtype = dtype }).dtype, "i32")
  end
  equal(value(doubles, "F64").dtype, "f64")
  local none, problem = value(string.pack("<dd", 1, -1e39), "F64", { dtype = "f32" })
  equal({ none == nil, problem.kind }, { true, "data" })
  assert(problem:find("'a': expected values within the range of f32, got -1e+39", 1, true), problem)
  -- The largest double that is rounded to a single, and the first that is not.
  local largest = 0x1.fffffefffffffp127
  assert(value(string.pack("<dd", largest, 1), "F64", { dtype = "f32" }):is_finite())
  equal((value(string.pack("<dd", 0x1.ffffffp127, 1), "F64", { dtype = "f32" })), nil)
  raises(function() lv.load_safetensors(path, { dtype = "i32" }) end,
    "load_safetensors: option 'dtype': expected 'f32' or 'f64', got 'i32'")
  raises(function() lv.load_safetensors(path, { extra = "drop" }) end,
    "load_safetensors: option 'extra': expected 'refuse' or 'skip', got 'drop'")
  raises(function() lv.load_safetensors(path, { dtyp = "f32" }) end, "did you mean 'dtype'?")
end)

test("tensors that lunerv cannot hold are skipped on request, and named", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/mixed.safetensors"
  local header = '{"short":{"dtype":"I16","shape":[2],"data_offsets":[0,4]},'
    .. '"good":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},'
    .. '"large":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},'
    .. '"deep":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[16,17]}}'
  local function mixed(text)
    assert(lv.write_file(path, string.pack("<s8", text or header)
      .. string.pack("<i2i2fi8B", 1, 2, 0.5, 5000000000, 1)))
    return lv.load_safetensors(path, { extra = "skip" })
  end
  local tensors, _, read, skipped = mixed()
  equal({ tensors.good:tolist(), read, skipped },
    { { 0.5 }, { "good" }, { "short", "large", "deep" } })
  equal({ tensors.short, tensors.large, tensors.deep }, {})
  local none, problem = lv.load_safetensors(path)
  assert(none == nil and problem:find "I16", problem)
  -- What is skipped must lie in its place like all else.
  for _, change in ipairs { { "0,4%]", "0,5]" }, { "0,4%]", "0,3]" }, { "0,4%]", "4,0]" },
    { "16,17", "16,99" }, { '"short"', '"good"' } }
  do
    none, problem = mixed((header:gsub(change[1], change[2])))
    equal({ none == nil, problem.kind }, { true, "data" })
  end
  local _, _, names, rest = lv.load_safetensors(stored(path, "a", "F32", { 1 }, "\0\0\0\0"))
  equal({ names, rest }, { { "a" }, {} })
end)

test("a distribution needs finite numbers in order", function()
  local x <const>, inf <const> = lv.zeros(3), math.huge
  for _, numbers in ipairs { { 5, inf }, { inf, 1 }, { 0 / 0, 1 }, { 0, 0 / 0 }, { 0, -1 } } do
    harness.raises(function() x:normal_(numbers[1], numbers[2]) end,
      "normal_: expected a finite mean")
  end
  for _, std in ipairs { inf, 201 } do
    harness.raises(function() x:trunc_normal_(std) end, "normal_: expected a")
  end
  for _, numbers in ipairs { { 0, inf }, { -inf, 0 }, { 0 / 0, 1 }, { 1, 0 } } do
    harness.raises(function() x:uniform_(numbers[1], numbers[2]) end,
      "uniform_: expected lo ≤ hi")
  end
  x:normal_(2, 0)
  assert(x:eq(2):amin():item() == 1)
end)
