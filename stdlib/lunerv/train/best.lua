-- The best evaluation of a training: its weights, and the number of evaluations since.
--
-- `self.best` is replaced, never changed: the state of the last complete step may refer to an older
-- one.
local errors <const> = require "lunerv.errors"
local buffers <const> = require "lunerv.nn.buffers"
local native <const> = require "lunerv.native"

local best <const> = {}

-- A file next to the checkpoints, with the names of the model's own tensors.
local function path_of(self) return self.out .. "/best.safetensors" end

function best.write(self)
  local found = self.best
  if not self.out or not found or not found.tensors then return end
  local ok, problem = native.save_safetensors(path_of(self), found.tensors, {
    format = "lunerv weights", step = tostring(found.step), epoch = tostring(found.epoch),
    psnr = tostring(found.psnr),
  })
  errors.must(ok, problem, "the best weights could not be written")
end

-- The tensors of the model as evaluated.
local function copies(self)
  local list = {}
  local _ <close> = self.average and self.average:apply() or nil
  for i, entry in ipairs(self.model:state_dict()) do
    list[i] = { entry[1], entry[2]:detach():clone() }
  end
  return list
end

-- Whether the weights after this step were evaluated.
function best.has_seen(self) return self.best ~= nil and self.best.seen == self.step end

-- Records an evaluation. Training ends after `patience` evaluations without a better one.
function best.consider(self, epoch, result)
  local o, known = self.o, self.best
  if not (o.keep_best or o.patience) then return end
  local psnr = result.psnr
  if type(psnr) ~= "number" then
    errors.raise("train: evaluate: psnr: expected a number, got %s", type(psnr))
  end
  -- NaN is worse than any number.
  if psnr == psnr and (not known or not known.psnr or psnr > known.psnr) then
    self.best = { psnr = psnr, epoch = epoch, step = self.step, since = 0, seen = self.step,
      tensors = o.keep_best and copies(self) or nil }
    best.write(self)
    return
  end
  known = known or { since = 0 }
  self.best = { psnr = known.psnr, epoch = known.epoch, step = known.step,
    since = known.since + 1, seen = self.step, tensors = known.tensors }
  if o.patience and self.best.since >= o.patience then self.finished = true end
end

-- Restores the best weights.
function best.restore(self)
  local found = self.best
  if self.o.keep_best and found and found.tensors then
    local by_name = {}
    for _, entry in ipairs(found.tensors) do by_name[entry[1]] = entry[2] end
    buffers.restore(self.model, by_name)
    self.model:load_state_dict(found.tensors)
    best.write(self)
  end
end

-- Plain data, and { name, tensor } each, for a checkpoint.
function best.state(found)
  return found and { psnr = found.psnr, epoch = found.epoch, step = found.step,
    since = found.since, seen = found.seen }
end

function best.tensors(found)
  local list = {}
  for i, entry in ipairs(found and found.tensors or {}) do
    list[i] = { "best/" .. entry[1], entry[2] }
  end
  return list
end

-- Restores both; tensors by name, without "best/".
function best.load(self, state, tensors)
  local found, list, places = {}, {}, {}
  for name, value in pairs(state) do found[name] = math.tointeger(value) or value end
  -- In the order of the resumed run, so that the file is the same.
  for i, entry in ipairs(self.model:state_dict()) do places[entry[1]] = i end
  for name, tensor in pairs(tensors) do list[#list + 1] = { name, tensor } end
  table.sort(list, function(a, b)
    local here, there = places[a[1]] or math.huge, places[b[1]] or math.huge
    if here ~= there then return here < there end
    return a[1] < b[1]
  end)
  if #list > 0 then found.tensors = list end
  self.best = found
end

return best
