-- Programs with a mistake, each with what `lunerv run wrong.lua` says of it: { text, message }. A
-- message that ends with "…" is the beginning of one. Programs find in toy.lua what training needs.
local programs <const> = {}

-- { text, message } of `list`, under a heading for messages of the test.
local function add(heading, list)
  for i, entry in ipairs(list) do
    programs[#programs + 1] = { name = ("%s %d"):format(heading, i), text = entry[1],
      message = entry[2], code = entry.code or 1 }
  end
end

local lv <const> = 'local lv = require "lunerv"\n'
local toy <const> = 'local lv, nn, Net, clip = require "toy" ()\n'

add("type", {
  { lv .. "lv.conv2d(lv.zeros(1, 3, 4, 4), nil)",
    "wrong.lua:2: conv2d: argument 2 (weight): expected tensor, got nil" },
  { lv .. "local x = lv.zeros(1, 3, 4, 4)\nx:matmul 'y'",
    "wrong.lua:3: matmul: argument 1 (y): expected tensor, got string" },
  { lv .. "local x = lv.zeros(3)\nx.sum()",
    "wrong.lua:3: sum: argument 1 (self): expected tensor, got no value" },
  { lv .. "lv.zeros(3):sin(1, 2)", "wrong.lua:2: sin: expected at most 0 arguments, got 2" },
  { lv .. "local x = lv.zeros(1) + nil",
    "wrong.lua:2: '+': operand 2: expected tensor or number, got nil" },
  { lv .. "lv.cat(lv.zeros(2), lv.zeros(2))",
    "wrong.lua:2: cat: argument 1 (tensors): expected table, got tensor" },
  { lv .. "lv.tensor { 1, 'a' }",
    "wrong.lua:2: tensor: argument 1 (numbers): expected numbers in nested tables, got a string" },
  { lv .. "lv.where(true, lv.zeros(2), lv.zeros(2))",
    "wrong.lua:2: where: argument 1 (condition): expected tensor, got boolean" },
  { lv .. "lv.nn.Linear(nil, 2)",
    "wrong.lua:2: nn.Linear: input features: expected an integer of at least 1, got nil" },
  { lv .. "lv.nn.Linear(2, 2)(3)",
    "wrong.lua:2: Linear: linear: argument 1 (x): expected tensor, got number" },
  { lv .. "lv.nn.NeRVBlock(3)",
    "wrong.lua:2: nn.NeRVBlock: output channels: expected an integer of at least 1, got nil" },
  { lv .. "lv.nn.TAT()",
    "wrong.lua:2: nn.TAT: channels: expected an integer of at least 1, got nil" },
  { lv .. "lv.metrics.psnr(lv.zeros(1, 3, 4, 4), nil)",
    "wrong.lua:2: metrics.psnr: image: expected a tensor, got nil" },
  { lv .. "lv.quant.Scale 'weight'", "wrong.lua:2: quant.Scale: expected a tensor, got string" },
  { lv .. "lv.no_grad { 1 }", "wrong.lua:2: no_grad: expected a function, got table" },
  { lv .. "lv.json.encode { runs = { { model = print } } }",
    "wrong.lua:2: json.encode: expected plain data, got a function at .runs[1].model" },
  { lv .. "lv.compress.cem(3)", "wrong.lua:2: compress.cem: expected a module, got number" },
  { lv .. "lv.video.open(3)", "wrong.lua:2: video.open: expected the path of a video, got number" },
  { lv .. "lv.optim.Adam { 'weight' }",
    "wrong.lua:2: optim.Adam: parameter 1: expected a tensor, got string" },
  { lv .. "lv.optim.Adam(lv.nn.Linear(1, 1))",
    "wrong.lua:2: optim.Adam: expected a list of parameters or groups, got the module Linear (its "
    .. "list is module:parameters())" },
})

add("shape", {
  { lv .. "local sum = lv.zeros(2, 3) +\n  lv.zeros(4, 5)",
    "wrong.lua:2: '+': shapes (2, 3) and (4, 5) do not broadcast" },
  { lv .. "lv.zeros(2, 3):mul(lv.zeros(4, 5))",
    "wrong.lua:2: mul: shapes (2, 3) and (4, 5) do not broadcast" },
  { lv .. "lv.zeros(2, 3):matmul(lv.zeros(2, 3))",
    "wrong.lua:2: matmul: expected (…, m, k)·(…, k, n), got (2, 3) and (2, 3)" },
  { lv .. "lv.zeros(2, 3):view(7)",
    "wrong.lua:2: view: (2, 3) has 6 elements, which do not fill (7)" },
  { lv .. "lv.zeros(2, 3):sum(0)", "wrong.lua:2: sum: dimensions count from 1, got 0" },
  { lv .. "lv.zeros(2, 3):softmax(3)",
    "wrong.lua:2: softmax: expected a dimension from 1 to 2, got 3" },
  { lv .. "lv.zeros(3):item()", "wrong.lua:2: item: expected one element, got shape (3)" },
  { lv .. "lv.tensor { { 1, 2 }, { 3 } }",
    "wrong.lua:2: tensor: argument 1 (numbers): rows of different length: 1 after 2" },
  { lv .. "lv.stack { lv.zeros(2), lv.zeros(3) }",
    "wrong.lua:2: stack: expected tensors of one shape, got (2) and (3)" },
  { lv .. "lv.where(lv.zeros(3):gt(0), lv.zeros(2), lv.zeros(3))",
    "wrong.lua:2: where: shapes (2) and (3) do not broadcast" },
  { lv .. "lv.zeros(1 << 40, 1 << 20)",
    "wrong.lua:2: zeros: a tensor of shape (1099511627776, 1048576) is too large" },
  { lv .. [[
local nn = lv.nn
local Block = nn.class "Block"
function Block:init() self.conv = nn.Conv2d(3, 8, { kernel = 3 }) end
function Block:forward(x) return self.conv(x):sin() end
local Net = nn.class "Net"
function Net:init() self.body = nn.List { Block(), Block() } end
function Net:forward(x) return self.body[2](x) end
Net()(lv.zeros(1, 4, 8, 8))]],
    "wrong.lua:5: Net.body[2].conv: conv2d: expected x with 3 channels for weight "
    .. "(8, 3, 3, 3), got 4" },
  { lv .. "local a, b = lv.nn.Linear(2, 2), lv.nn.Linear(3, 2)\nb:load_state_dict(a:state_dict())",
    "wrong.lua:3: load_state_dict: weight: expected shape (2, 3), got (2, 2)" },
})

add("index", {
  { lv .. "local x = lv.zeros(3)\nprint(x[7])",
    "wrong.lua:3: tensor: expected an index from 1 to 3 or -3 to -1, got 7" },
  { lv .. "local x = lv.zeros(3)\nprint(x[{ {1, 9} }])",
    "wrong.lua:3: tensor: dimension 1: expected an index from 1 to 3 or -3 to -1, got 9" },
  { lv .. "local x = lv.zeros(3)\nx[{ {1, 2} }] = lv.zeros(3)",
    "wrong.lua:3: tensor: expected (2) to assign, got (3)" },
  { lv .. "print(lv.zeros(3)[{ 'a' }])",
    "wrong.lua:2: tensor: dimension 1: expected a number, {}, {first, last} or {first, last, "
    .. "step}, got string" },
  { lv .. "for i, row in lv.zeros(3) do print(i) end",
    "wrong.lua:2: call: expected a function, got a tensor (x[i] is a part of it, ipairs(x) "
    .. "iterates over its rows)" },
  { lv .. "for i, row in pairs(lv.zeros(3)) do print(i) end",
    "wrong.lua:2: pairs: expected a table, got a tensor (ipairs(x) iterates over its rows)" },
  { lv .. "if lv.zeros(1) < nil then print 'less' end",
    "wrong.lua:2: '<': expected numbers, got tensor and nil (x:lt(y) compares elements, x:item() "
    .. "is a number)" },
  { lv .. "print('loss ' .. lv.zeros(1))",
    "wrong.lua:2: '..': expected strings or numbers, got string and tensor (tostring(x) is a "
    .. "tensor's text, x:item() its number)" },
  { lv .. "local x = lv.zeros(3) + lv.zeros(3, { dtype = 'f64' })",
    "wrong.lua:2: '+': f32 and f64 do not mix (use :to)" },
})

add("name", {
  { lv .. "lv.conv2(1)", "wrong.lua:2: lv has no 'conv2': did you mean 'conv2d' or 'conv3d'?" },
  { lv .. "lv.nn.Conv2D(3, 3, 3)", "wrong.lua:2: lv.nn has no 'Conv2D': did you mean 'Conv2d'?" },
  { lv .. "lv.video.write()",
    "wrong.lua:2: lv.video has no 'write': did you mean 'writer' or 'write_image'?" },
  { lv .. "lv.models.hnerv_bost { height = 64 }",
    "wrong.lua:2: lv.models has no 'hnerv_bost': did you mean 'hnerv_boost', 'enerv_boost' or "
    .. "'nerv_boost'?" },
  { lv .. "local y = lv.zeros(3):relo()",
    "wrong.lua:2: a tensor has no field 'relo': did you mean 'relu'?" },
  { lv .. "lv.nn.Linear(2, 2):foward(1)",
    "wrong.lua:2: Linear has no method 'foward': did you mean 'forward'? (methods: forward)" },
  { toy .. "local clip <close> = assert(lv.video.open 'clip.mkv')\nclip:frmae(1)",
    "wrong.lua:3: clip has no method 'frmae': did you mean 'frame'? (methods: batches, …" },
  { lv .. "local o = lv.optim.SGD({ lv.nn.parameter(lv.zeros(1)) })\no:setp()",
    "wrong.lua:3: optimiser has no method 'setp': did you mean 'step'? (methods: …" },
  { lv .. "lv.zeros(1, 3, 4, 4):conv2d(lv.zeros(1, 3, 1, 1), nil, { strid = 2 })",
    "wrong.lua:2: conv2d: argument 3 (options): unknown option 'strid': did you mean 'stride'? "
    .. "(known: stride, padding, dilation, groups)" },
  { lv .. "lv.nn.Conv2d(3, 3, { kernal = 3 })",
    "wrong.lua:2: nn.Conv2d: unknown option 'kernal': did you mean 'kernel'? (known: bias, "
    .. "dilation, groups, init, kernel, padding, stride)" },
  { lv .. "lv.nn.MLP({ 2, 2 }, { act = 'gelo' })",
    "wrong.lua:2: nn.activation: unknown activation 'gelo': did you mean 'gelu'?" },
  { lv .. "lv.models.hnerv { height = 64, width = 64, frames = 4, sise = 0.3 }",
    "wrong.lua:2: models.hnerv: unknown option 'sise': did you mean 'size'? (known: act, clip, …" },
  { lv .. "lv.options.for_model('hnerv', { sise = 3 })",
    "wrong.lua:2: options.for_model: unknown option 'sise': did you mean 'size'? (known: act, …" },
  { lv .. "lv.options({ widht = 3 }, { width = 8 })",
    "wrong.lua:2: options: unknown option 'widht': did you mean 'width'? (known: width)" },
  { lv .. "local x = lv.zeros(2)\nx.colour = 3", "wrong.lua:3: a tensor has no field 'colour'" },
})

add("nil", {
  { lv .. "local f\nf(lv.zeros(1))", "wrong.lua:3: attempt to call a nil value (local 'f')" },
  { "local clip = {}\nprint(clip.frame.image)",
    "wrong.lua:2: attempt to index a nil value (field 'frame')" },
  { "local text = require('lunerv').read_file 'none.txt'\nprint(#text)",
    "wrong.lua:2: attempt to get length of a nil value (local 'text')" },
  { "\nassert(io.open 'none.txt')", "wrong.lua:2: none.txt: No such file or directory" },
  { "\nlocal x = = 3", "wrong.lua:2: unexpected symbol near '='" },
})

add("value", {
  { lv .. "lv.zeros(2, -3)", "wrong.lua:2: zeros: a size must not be negative, got (2, -3)" },
  { lv .. "lv.optim.Adam({ lv.zeros(1) }, { lr = 'fast' })",
    "wrong.lua:2: optim.Adam: option 'lr': expected number, got string" },
  { lv .. "lv.optim.Adam({}, { lr = 1e-3 })",
    "wrong.lua:2: optim.Adam: expected parameters, got an empty list: nothing would be trained" },
  { lv .. "lv.nn.Linear(1, 1, 5)",
    "wrong.lua:2: nn.Linear: expected a table of options, got number" },
  { lv .. "lv.models.hnerv { height = 64, width = 64, frames = 4, size = '0.3' }",
    "wrong.lua:2: models.hnerv: option 'size': expected a number, got '0.3'" },
  { lv .. "lv.models.hnerv_boost { height = 64, width = 64, frames = 4, params = 100,\n"
    .. "  strides = { 4, 4 }, enc_dim = { 8, 4 } }",
    "wrong.lua:2: models.hnerv_boost: params: expected at least 55,508 for strides 4,4 and enc_dim "
    .. "8,4, got 100: raise params (with lower_width 1 and ch_t 2 and enc_dim 8,1 it needs "
    .. "1,110)" },
  { lv .. "lv.models.hnerv { height = 64, width = 64, frames = 4, size = 1e-5,\n"
    .. "  strides = { 4, 4 } }",
    "wrong.lua:2: models.hnerv: size: expected at least 0.0013 (million parameters) for strides "
    .. "4,4 and enc_dim 64,16, got 1e-05: raise size" },
  { lv .. "lv.json.decode '{ a: 1 }'",
    "wrong.lua:2: json.decode: invalid JSON at line 1, column 3: expected a key in quotes" },
  { lv .. [[
local model = { family = "own", first = 0, weights = { 1, 2.0 } }
lv.coder.encode { { symbols = { 0, 1 }, model = model } }]],
    "wrong.lua:3: coder.encode: own: weights: weight 2: expected an integer from 0 to 4294967295, "
    .. "got 2.0: floats may differ from machine to machine" },
  { lv .. [[
local Net = lv.nn.class "Net"
function Net:init()
  self.layers = { lv.nn.Linear(1, 1) }
end
Net()]],
    "wrong.lua:4: field 'layers' of Net is a plain table of modules, which training would "
    .. "not find: make it nn.List { … }" },
  { lv .. "local Net = lv.nn.class()",
    "wrong.lua:2: nn.class: expected the name of the class, got nil" },
  { lv .. "local Net = lv.nn.class 'Net'\nNet()(1)",
    "wrong.lua:3: Net: expected a method forward, got none: define function Net:forward(x)" },
})

add("NaN", {
  { lv .. "lv.zeros(2):clamp { min = 0/0 }", "wrong.lua:2: clamp: expected numbers, got nan" },
  { lv .. "lv.seed(0/0)", "wrong.lua:2: seed: argument 1 (n): expected integer, got nan" },
  { lv .. "lv.optim.SGD({ lv.nn.parameter(lv.zeros(1)) }, { lr = 0/0 })",
    "wrong.lua:2: optim.SGD: lr: expected a finite number of at least 0, got nan" },
  { lv .. "local w <close> = assert(lv.video.writer('x.mkv', { width = 8, height = 8 }))\n"
    .. "w:write(lv.zeros(1, 3, 8, 8) / 0)",
    "wrong.lua:3: write: expected numbers, the frame contains nan" },
  { toy .. [[
lv.train { model = Net(), clip = clip, epochs = 1, loss = function(output)
  return output:mean() * (0/0)
end }]],
    "wrong.lua:2: train: the loss became nan after step 0 (lr 0.0003): lower lr, or look in the "
    .. "loss and the model for a division by 0, or the log or root of a value that can be 0; there "
    .. "is no checkpoint (`out` names a folder for them)" },
  { toy .. [[
lv.train { model = Net(), clip = clip, epochs = 3, guard = false, out = "run",
  checkpoint_steps = 1, loss = function(output, _, _, share)
    return output:mean() * (share > 0.4 and 0/0 or 1)
  end }]],
    "wrong.lua:2: train: the loss became nan after step 3 (lr 0.00176): lower lr, or look in "
    .. "the loss and the model for a division by 0, or the log or root of a value that can be 0; "
    .. "the last good checkpoint is run/checkpoint-000003.safetensors" },
})

add("gradient", {
  { lv .. "local x = lv.ones(3, { requires_grad = true })\nlocal y = x * 2\ny:backward()",
    "wrong.lua:4: backward: expected a scalar, got shape (3) (sum or mean first, or give a seed)" },
  { lv .. "local x = lv.ones(1, { requires_grad = true })\nlocal y = (x * x):sum()\ny:backward()\n"
    .. "y:backward()",
    "wrong.lua:5: backward: the graph was already traversed and its saved values are freed; "
    .. "compute the loss again, or keep it with { retain = true }" },
  { lv .. [[
local x = lv.ones(1, { requires_grad = true })
lv.no_grad(function()
  local y = x * 2
  y:backward()
end)]],
    "wrong.lua:5: backward: expected a value computed from a tensor that requires a "
    .. "gradient, got one without such a tensor, or computed in no_grad (second derivatives are "
    .. "not supported)" },
  { lv .. "local x = lv.ones(2, { requires_grad = true })\nx:add_(1)",
    "wrong.lua:3: add_: a tensor that gradients flow through cannot be written in place (use "
    .. "no_grad or :detach():clone())" },
  { lv .. "local x = lv.ones(2, { requires_grad = true })\nx[1] = 0",
    "wrong.lua:3: tensor: a tensor that gradients flow through cannot be written in place (use "
    .. "no_grad or :detach():clone())" },
  { lv .. "lv.zeros(3, { dtype = 'u8', requires_grad = true })",
    "wrong.lua:2: zeros: requires_grad: gradients exist for f32 and f64, not u8" },
  { lv .. "lv.optim.Adam { lv.zeros(1) }",
    "wrong.lua:2: optim.Adam: parameter 1: expected a tensor that requires a gradient, got one "
    .. "that does not (nn.parameter makes it one)" },
})

add("closed", {
  { lv .. "local x = lv.zeros(3)\ndo local y <close> = x end\nprint(x:sum())",
    "wrong.lua:4: sum: self: tensor is closed" },
  { toy .. "local clip = assert(lv.video.open 'clip.mkv')\nclip:close()\nclip:frame(1)",
    "wrong.lua:4: frame: expected an open clip, 'clip.mkv' has been closed" },
  { lv .. "local w = assert(lv.video.writer('x.mkv', { width = 8, height = 8 }))\n"
    .. "w:write(lv.zeros(1, 3, 8, 8))\nw:close()\nw:write(lv.zeros(1, 3, 8, 8))",
    "wrong.lua:5: write: x.mkv: the writer is closed" },
})

add("where it happens", {
  { "local function f(n) return 1 + f(n + 1) end\nf(1)",
    "wrong.lua:1: stack overflow in 'f': does it call itself without an end?" },
  { lv .. "local Net = lv.nn.class 'Net'\nfunction Net:forward(x)\n  return self(x) + 1\nend\n"
    .. "Net()(lv.zeros(1))", "wrong.lua:4: Net: stack overflow in…" },
  { lv .. [[
local step = coroutine.wrap(function()
  coroutine.yield(1)
  lv.zeros(2):view(3)
end)
step()
step()]], "wrong.lua:4: view: (2) has 2 elements, which do not fill (3)" },
  { "local step = coroutine.wrap(print)\nstep()\nstep()",
    "wrong.lua:3: cannot resume dead coroutine" },
  { lv .. "lv.no_grad(function()\n  lv.zeros(2):view(3)\nend)",
    "wrong.lua:3: view: (2) has 2 elements, which do not fill (3)" },
  { lv .. "local Pair = setmetatable({}, { __add = function()\n  return "
    .. "lv.zeros(2):view(3)\nend })\n"
    .. "local sum = Pair + 1", "wrong.lua:3: view: (2) has 2 elements, which do not fill (3)" },
  { lv .. "do\n  local held <close> = setmetatable({}, { __close = function()\n"
    .. "    lv.zeros(2):view(3)\n  end })\nend",
    "wrong.lua:4: view: (2) has 2 elements, which do not fill (3)" },
  { lv .. "local text = 'abc'\ntext:gsub('.', function(c)\n  return lv.zeros(2):view(c)\nend)",
    "wrong.lua:4: view: argument 1: expected number, got string" },
  { lv .. "local Net = lv.nn.class 'Net'\nfunction Net:init(width)\n"
    .. "  self.conv = lv.nn.Conv2d(3, width, 3)\nend\nNet()",
    "wrong.lua:4: nn.Conv2d: output channels: expected an integer of at least 1, got nil" },
  { "require('lunerv').write_file('block.lua', 'local x\\nreturn x.y')\nrequire 'block'",
    "./block.lua:2: attempt to index a nil value (local 'x')" },
  { lv .. [[
local results = lv.parallel { tasks = { 1, 2 }, each = function(i)
  return lv.zeros(2):view(2 + i)
end }
error(results[1])]], "wrong.lua:3: view: (2) has 2 elements, which do not fill (3)" },
  { lv .. "local results = lv.parallel { tasks = { 1 }, each = function()\n  return print\nend }\n"
    .. "error(results[1])", "wrong.lua:2: parallel: expected plain data, got a function" },
  { toy .. [[
local result = lv.batch { clips = { "clip.mkv" }, out = "out", each = function(path)
  lv.zeros(2):view(3)
end }
error(result.rows[1].message, 0)]],
    "wrong.lua:3: view: (2) has 2 elements, which do not fill (3)" },
})

add("train", {
  { toy .. "lv.train()", "wrong.lua:2: train: expected a model and a clip, got no model" },
  { toy .. "lv.train(Net(), clip)", "wrong.lua:2: train: expected a table of options, got Net" },
  { toy .. "lv.train { model = Net(), clip = clip, epoch = 1 }",
    "wrong.lua:2: train: unknown option 'epoch': did you mean 'epochs' or 'on_epoch'? (known: …" },
  { toy .. "lv.train { model = Net(), clip = clip, epochs = '1' }",
    "wrong.lua:2: train: option 'epochs': expected an integer of at least 1, got '1'" },
  { toy .. "lv.train { model = Net, clip = clip }",
    "wrong.lua:2: train: model: expected a module, got the class Net" },
  { toy .. "lv.train { model = Net(), clip = 'clip.mkv' }",
    "wrong.lua:2: train: clip: expected a clip, got a string: open it with lv.video.open" },
  { toy .. "lv.train { model = nn.Sequential {}, clip = clip, epochs = 1 }",
    "wrong.lua:2: train: model: expected parameters to train, Sequential has none" },
  { toy .. [[
lv.train { model = Net(), clip = clip, epochs = 1,
  loss = function(output, image)
    return (output - image:view(3)):mean()
  end }]], "wrong.lua:4: view: (1, 3, 8, 8) has 192 elements, which do not fill (3)" },
  { toy .. [[
lv.train { model = Net(), clip = clip, epochs = 1,
  loss = function(output, image) lv.loss.l2(output, image) end }]],
    "wrong.lua:2: train: loss: expected the function to return a scalar tensor, got nil" },
  { toy .. [[
lv.train { model = Net(), clip = clip, epochs = 1,
  loss = function(output, image) return output - image end }]],
    "wrong.lua:2: train: loss: expected a scalar tensor, got shape (1, 3, 8, 8) (sum or mean "
    .. "first)" },
  { toy .. "lv.train { model = Net(), clip = clip, epochs = 1, loss = 'l3' }",
    "wrong.lua:2: train: option 'loss': expected one of boosted, l1, l1_freq, l1_ms_ssim, l1_ssim, "
    .. "l2, got 'l3'" },
  { toy .. "lv.train { model = Net(), clip = clip, epochs = 1, schedule = function() end }",
    "wrong.lua:2: train: schedule: expected the function to return a learning rate of at least 0, "
    .. "got nil" },
  { toy .. "lv.train { model = Net(), clip = clip, epochs = 1, optimiser = function() end }",
    "wrong.lua:2: train: optimiser: expected the function to return an optimiser, got nil" },
  { toy .. [[
lv.train { model = Net(), clip = clip, epochs = 1, on_epoch = function(e)
  print(e.psnr .. e.nothing)
end }]], "wrong.lua:3: attempt to concatenate a nil value (field 'nothing')" },
  { toy .. [[
function Net:forward(t)
  local x = self.out(t:view(1, 1))
  return x:view(1, 3, 8, 9)
end
lv.train { model = Net(), clip = clip, epochs = 1 }]],
    "wrong.lua:4: Net: view: (1, 192) has 192 elements, which do not fill (1, 3, 8, 9)" },
  { toy .. [[
function Net:forward(t)
  return self.missing(t)
end
lv.train { model = Net(), clip = clip, epochs = 1 }]],
    "wrong.lua:3: Net: attempt to call a nil value (field 'missing')" },
  { toy .. [[
function Net:forward(t) self.out(t:view(1, 1)) end
lv.train { model = Net(), clip = clip, epochs = 1 }]],
    "wrong.lua:3: train: model: expected forward to return a tensor, got nil" },
  { toy .. [[
lv.train { model = Net(), clip = clip, epochs = 1, out = "run" }
lv.train { model = Net(), clip = clip, epochs = 2, out = "run", resume = true }]],
    "wrong.lua:3: train: cannot resume: option 'epochs' is 1 in run/checkpoint-000002.safetensors, "
    .. "but 2 now", code = 2 },
})

-- A custom recipe, `text`, in a training.
local function recipe(text)
  return toy .. ("lv.write_file('mine.lua', %q)\n"):format(text):gsub("\\\n", "\\n")
    .. "lv.train { model = Net(), clip = clip, epochs = 1, recipe = './mine.lua' }"
end

add("recipe", {
  { toy .. "lv.train { model = Net(), clip = clip, epochs = 1, recipe = 'fsat' }",
    "wrong.lua:2: recipe: expected one of fast, published or a file's path, got 'fsat': did you "
    .. "mean 'fast'?", code = 2 },
  { toy .. "lv.train { model = Net(), clip = clip, epochs = 1, recipe = './none.lua' }",
    "wrong.lua:2: recipe: cannot open './none.lua': no such file or folder", code = 2 },
  { toy .. "lv.train { model = Net(), clip = clip, epochs = 1, recipe = { options = {} } }",
    "wrong.lua:2: train: option 'recipe': expected a string, got table" },
  { recipe "return { options = { epohcs = 3 } }",
    "wrong.lua:3: recipe ./mine.lua: unknown option 'epohcs': did you mean 'epochs'?" },
  { recipe "return { options = { lr = 'high' } }",
    "wrong.lua:3: recipe ./mine.lua: option 'lr': expected a number, got 'high'" },
  { recipe "return {\n  options = function(kind)\n    return kind .. ''\n  end,\n}",
    "./mine.lua:3: attempt to concatenate a nil value (local 'kind')" },
  { recipe "return 3", "wrong.lua:3: recipe: expected ./mine.lua to return a table, got number",
    code = 2 },
  { recipe "return {\n  options = = 3\n}",
    "wrong.lua:3: recipe: ./mine.lua:2: unexpected symbol near '='", code = 2 },
})

add("file", {
  { lv .. "local clip = assert(lv.video.open 'none.mkv')",
    "wrong.lua:2: none.mkv: there is no such file" },
  { lv .. "assert(lv.video.writer('none/x.mkv', { width = 8, height = 8, fps = 25 }))",
    "wrong.lua:2: cannot create 'none/x.mkv': no such file or folder" },
  { lv .. "lv.video.writer('x.mkv', { width = 8 })",
    "wrong.lua:2: video.writer: expected width and height, or a clip that has them" },
  { lv .. "assert(lv.video.writer('x.foo', { width = 8, height = 8, fps = 25 }))",
    "wrong.lua:2: video.writer: x.foo: videos cannot be written as '.foo'; use .mkv, .mp4, .264, "
    .. ".265, .y4m, .rgb, a folder or -", code = 2 },
  { lv .. "local w <close> = assert(lv.video.writer('x.mkv', { width = 8, height = 8 }))\n"
    .. "w:write(lv.zeros(1, 3, 4, 4))",
    "wrong.lua:3: write: expected a frame of (1, 3, 8, 8), got (1, 3, 4, 4)" },
  { toy .. "assert(lv.codec.write('x.lnv', Net(), { clip = clip }))",
    "wrong.lua:2: codec.write: expected a model from lv.compress, or an object with a "
    .. "method `stored`, got Net" },
  { toy .. "lv.compress.cem(Net())",
    "wrong.lua:2: compress.cem: expected a model of lv.models, or the option `clip` for one of "
    .. "your own, got Net without it" },
  { toy .. "local small = lv.compress.cem(Net(), { clip = clip })\n"
    .. "lv.codec.write('x.lnv', small, { clip = clip })",
    "wrong.lua:3: codec.write: a file cannot hold a decoder with class Net in it: no module "
    .. "returns the class; put it into a separate file, which ends with 'return Net', and "
    .. "`require` that" },
  { lv .. "assert(lv.codec.open 'wrong.lua')",
    "wrong.lua:2: wrong.lua: header: this is not an .lnv file" },
})

return programs
