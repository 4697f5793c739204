-- Compares quantisers and rate with numbers measured on the authors' program: a golden file with
-- `weight/*`, `bias/*` and `embedding/*`, inputs and noise included.
local coder <const> = require "lunerv.coder"
local parameter <const> = require "lunerv.nn.parameter"

local Golden <const> = { kind = "cem" }
Golden.__index = Golden

local function largest(x) return x:abs():amax():item() end

function Golden:note(name, deviation, tolerance)
  local agrees = deviation <= tolerance
  self.compared = self.compared + 1
  if not agrees then self.disagreed = self.disagreed + 1 end
  self.report(name, deviation, tolerance, agrees)
end

function Golden:note_tensor(name, ours, tolerance)
  local theirs = self.tensors[name]
  self:note(name, largest(ours:view(-1) - theirs:view(-1)) / math.max(largest(theirs), 1e-30),
    tolerance)
end

function Golden:note_number(name, ours, tolerance)
  local theirs = self.tensors[name]:item()
  self:note(name, math.abs(ours - theirs) / math.abs(theirs), tolerance)
end

-- One case: everything that can be computed of its inputs.
function Golden:check_case(case)
  local function theirs(name) return self.tensors[case .. "/" .. name] end
  local x = parameter.from(theirs("x"):clone())
  local step = parameter.from(theirs("scale"):clone())
  local offset = theirs "beta" and parameter.from(theirs("beta"):clone())

  local rough = x:quantise(step, { offset = offset })
  local codes = x:codes(step, offset)
  self:note_tensor(case .. "/code", codes, 1e-5)
  self:note_tensor(case .. "/dequant", rough, 1e-5)
  self:note_tensor(case .. "/quant", codes:round(), 0)
  local mean = codes:mean():item()
  local squares = ((codes - mean) ^ 2):sum():item()
  self:note_number(case .. "/mean", mean, 1e-5)
  self:note_number(case .. "/std", math.sqrt(squares / (codes:numel() - 1)), 1e-5)
  self:note_number(case .. "/bits_eval", codes:gaussian_bits():item(), 1e-4)
  local bits = codes:gaussian_bits(theirs "noise")
  self:note_number(case .. "/bits_train", bits:item(), 1e-4)

  local loss = (rough * theirs "g"):sum() + bits * 0.01
  loss:backward()
  self:note_tensor(case .. "/grad_x", x.grad, 5e-3)
  self:note_tensor(case .. "/grad_scale", step.grad, 5e-3)
  if offset then
    local name = case .. "/grad_beta"
    self:note(name, largest(offset.grad - self.tensors[name]), 1e-3)
  end

  local symbols = theirs("quant"):to "i32":view(-1)
  local model = coder.fit(symbols, { "gaussian" })
  local length = 8 * #coder.encode { { symbols = symbols, model = model } }
  local expected = theirs("real_bits_constriction"):item()
  self:note(case .. "/real_bits_constriction (bits)", math.abs(length - expected),
    expected * 0.005 + 64)
end

function Golden:check()
  for _, case in ipairs { "weight", "bias", "embedding" } do
    if self.tensors[case .. "/x"] then self:check_case(case) end
  end
end

-- Whether a file's tensors are such numbers.
local function recognises(tensors) return tensors["weight/bits_train"] ~= nil end

local function golden(tensors)
  return setmetatable({
    tensors = tensors, report = function() end, compared = 0, disagreed = 0,
  }, Golden)
end

return { recognises = recognises, golden = golden }
