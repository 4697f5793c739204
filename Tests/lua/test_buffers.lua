-- State of modules other than parameters, constants and previous frames, through training,
-- resuming and files.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local buffers <const> = require "lunerv.nn.buffers"
local checkpoint <const> = require "lunerv.checkpoint"
local workshop <const> = require "workshop"

local equal <const>, raises <const> = harness.equal, harness.raises
local test <const> = harness.test

-- The palette's values are written through, although :view made it.
local tinted <const> = [[
local lv <const> = require "lunerv"
local Tinted = lv.nn.class "Tinted"
function Tinted:init(height, width)
  self.cells = { height // 4, width // 4 }
  self.palette = lv.tensor { 0.1, 0.2, 0.3 }:view(1, 3, 1, 1)
  self.weights = lv.nn.parameter(lv.arange(1, 4):view(2, 2) / 4)
  self.stem = lv.nn.Linear(1, 4 * self.cells[1] * self.cells[2])
  self.head = lv.nn.Conv2d(4, 48, 3, { padding = 1 })
end
function Tinted:forward(t)
  local x = self.stem(lv.full(t, 1, 1)):view(1, 4, self.cells[1], self.cells[2])
  x = self.head(x * self.weights:sum()):pixel_shuffle(4)
  return lv.nn.out_image(x + self.palette)
end
return Tinted
]]

test("constants and parameters made of parts of tensors are loaded, and stored in files", function()
  local folder <close> = workshop.modules { tinted = tinted }
  local clip <close> = workshop.clip(folder)
  local Tinted <const> = require "tinted"
  local model, other = Tinted(12, 20), Tinted(12, 20)
  lv.no_grad(function() model.palette = lv.tensor { 0.3, 0.1, 0.2 }:view(1, 3, 1, 1) end)
  other:load_state_dict(model:state_dict())
  equal(other.palette:view(-1):tolist(), model.palette:view(-1):tolist())
  equal(other.weights:tolist(), model.weights:tolist())

  local small = lv.compress.cem(model, { clip = clip })
  lv.train { model = small, clip = clip, epochs = 1 }
  local path = folder.path .. "/tinted.lnv"
  local file = assert(lv.codec.write(path, small, { clip = clip }))
  local names = {}
  for _, section in ipairs(file.sections) do names[section.name] = section.bytes end
  equal(names.buffers, 12)
  equal(#assert(lv.codec.open(path)), 3)
  -- A part that a user takes of a tensor is separate storage.
  raises(function() lv.zeros(4):view(2, 2):copy_(lv.ones(2, 2)) end, "returns a separate value")
end)

-- Each frame is half the previous one, which the decoder stores itself.
local echo <const> = [[
local lv <const> = require "lunerv"
local Echo = lv.nn.class "Echo"
function Echo:init(height, width, group)
  self.cells, self.group = { height // 4, width // 4 }, group
  self.stem = lv.nn.Linear(1, 4 * self.cells[1] * self.cells[2])
  self.head = lv.nn.Conv2d(4, 48, 3, { padding = 1 })
end
function Echo:restart() self.before = nil end
function Echo:forward(t)
  local x = self.stem(lv.full(t, 1, 1)):view(1, 4, self.cells[1], self.cells[2])
  local image = lv.nn.out_image(self.head(x):pixel_shuffle(4))
  if self.before then image = image * 0.5 + self.before * 0.5 end
  self.before = image:detach()
  if self.fails then self:fails() end
  return image
end
return Echo
]]

-- A training of `make()` that an error ends within step `stop`, after its forward pass, and that is
-- then resumed, ends with the tensors of an undisturbed one.
local function resumes(clip, make, stop, more)
  local folder <close> = harness.folder()
  local function training(out, model, resume)
    local o = { model = model, clip = clip, epochs = 6, out = folder.path .. "/" .. out,
      resume = resume, checkpoint_steps = 4 }
    for name, value in pairs(more or {}) do o[name] = value end
    lv.seed(5)
    return lv.train(o)
  end
  local function made()
    lv.seed(4)
    return make()
  end
  training("whole", made())
  local model, calls = made(), 0
  rawset(model, "fails", function()
    calls = calls + 1
    if calls == stop then error "stopped" end
  end)
  raises(function() training("stopped", model) end, "stopped")
  training("stopped", made(), true)
  local function tensors(out)
    local list = {}
    for name, tensor in pairs(assert(checkpoint.latest(folder.path .. "/" .. out)).tensors) do
      list[name] = tensor:view(-1):tolist()
    end
    return list
  end
  equal(tensors "stopped", tensors "whole")
  if more and more.keep_best then
    local function best(out)
      return assert(lv.read_file(("%s/%s/best.safetensors"):format(folder.path, out)))
    end
    assert(best "stopped" == best "whole", "best.safetensors is another")
  end
end

test("a decoder that stores the previous frame is resumed with it, and written without", function()
  local folder <close> = workshop.modules { echo = echo }
  local clip <close> = workshop.clip(folder)
  local Echo <const> = require "echo"
  for _, stop in ipairs { 1, 2, 8, 9 } do
    resumes(clip, function() return Echo(12, 20, 3) end, stop)
    resumes(clip, function() return Echo(12, 20, 3) end, stop,
      { guard = true, keep_best = true, eval_every = 2 })
  end
  -- The best epoch is over when it is stopped.
  resumes(clip, function() return Echo(12, 20, 3) end, 27,
    { keep_best = true, eval_every = 1, lr = 0.3 })
  local model = Echo(12, 20, 3)
  local small = lv.compress.cem(model, { clip = clip })
  lv.train { model = small, clip = clip, epochs = 2 }
  local path = folder.path .. "/echo.lnv"
  assert(lv.codec.write(path, small, { clip = clip }))
  local video = assert(lv.codec.open(path))
  local third = video:frame(3)
  equal(video:frame(1).shape, { 1, 3, 12, 20 })
  equal(video:frame(3):tolist(), third:tolist())
end)

test("carried tensors of a new module are created, in lists too", function()
  local Carrier <const> = lv.nn.class "Carrier"
  function Carrier:restart() self.before, self[1] = nil, nil end
  local carrier = Carrier()
  buffers.restore(carrier, { ["1"] = lv.full(3, 2), before = lv.full(4, 2) })
  equal({ carrier[1]:tolist(), carrier.before:tolist() }, { { 3, 3 }, { 4, 4 } })
  buffers.restore(carrier, {})
  equal({ carrier[1], carrier.before }, {})
end)

test("statistics of a step that was never complete are in no checkpoint", function()
  local folder <close> = workshop.modules { normed = [[
local lv <const> = require "lunerv"
local Normed = lv.nn.class "Normed"
function Normed:init(height, width)
  self.cells = { height // 4, width // 4 }
  self.stem = lv.nn.Linear(1, 4 * self.cells[1] * self.cells[2])
  self.norm = lv.nn.BatchNorm2d(4)
  self.head = lv.nn.Conv2d(4, 48, 3, { padding = 1 })
end
function Normed:forward(t)
  local x = self.stem(lv.full(t, 1, 1)):view(1, 4, self.cells[1], self.cells[2])
  x = self.head(self.norm(x)):pixel_shuffle(4)
  if self.fails then self:fails() end
  return lv.nn.out_image(x)
end
return Normed
]] }
  local clip <close> = workshop.clip(folder)
  resumes(clip, function() return require "normed"(12, 20) end, 7)
end)

test("a tensor that a new decoder lacks is an error with its name", function()
  local folder <close> = workshop.modules { echo = (echo:gsub("function Echo:restart.-\n", "")) }
  local clip <close> = workshop.clip(folder)
  local small = lv.compress.cem(require "echo"(12, 20, 3), { clip = clip })
  lv.train { model = small, clip = clip, epochs = 1 }
  raises(function() lv.codec.encode(small, { clip = clip }) end, "a file cannot hold Echo",
    "'before'", "restart")
end)
