-- Compares quantisers and rate with numbers from the authors' program: a golden file with
-- `weight/*`, `bias/*` and `embedding/*`, including inputs and noise.
local Golden <const> = require "lunerv.verify.golden"
local coder <const> = require "lunerv.coder"
local parameter <const> = require "lunerv.nn.parameter"

local Cem <const> = Golden.class()
Cem.kind = "cem"

-- One case: everything that can be computed from its inputs.
function Cem:check_case(case)
  local function theirs(name) return self.tensors[case .. "/" .. name] end
  local function note_tensor(name, ours, tolerance)
    self:note_tensor(case .. "/" .. name, ours:view(-1), theirs(name):view(-1), tolerance)
  end
  local function note_number(name, ours, tolerance)
    self:note_number(case .. "/" .. name, ours, theirs(name):item(), tolerance)
  end
  local x = parameter.from(theirs("x"):clone())
  local step = parameter.from(theirs("scale"):clone())
  local offset = theirs "beta" and parameter.from(theirs("beta"):clone())

  local rough = x:quantise(step, { offset = offset })
  local codes = x:codes(step, offset)
  note_tensor("code", codes, 1e-5)
  note_tensor("dequant", rough, 1e-5)
  note_tensor("quant", codes:round(), 0)
  local mean = codes:mean():item()
  local squares = ((codes - mean) ^ 2):sum():item()
  note_number("mean", mean, 1e-5)
  note_number("std", math.sqrt(squares / (codes:numel() - 1)), 1e-5)
  note_number("bits_eval", codes:gaussian_bits():item(), 1e-4)
  local bits = codes:gaussian_bits(theirs "noise")
  note_number("bits_train", bits:item(), 1e-4)

  local loss = (rough * theirs "g"):sum() + bits * 0.01
  loss:backward()
  note_tensor("grad_x", x.grad, 5e-3)
  note_tensor("grad_scale", step.grad, 5e-3)
  if offset then
    self:note_absolute(case .. "/grad_beta", offset.grad, theirs "grad_beta", 1e-3)
  end

  local symbols = theirs("quant"):to "i32":view(-1)
  local model = coder.fit(symbols, { "gaussian" })
  local length = 8 * #coder.encode { { symbols = symbols, model = model } }
  local expected = theirs("real_bits_constriction"):item()
  self:note(case .. "/real_bits_constriction (bits)", math.abs(length - expected),
    expected * 0.005 + 64)
end

function Cem:check()
  for _, case in ipairs { "weight", "bias", "embedding" } do
    if self.tensors[case .. "/x"] then self:check_case(case) end
  end
end

-- Whether a file's tensors are of this kind.
local function recognises(tensors) return tensors["weight/bits_train"] ~= nil end

local function golden(tensors) return Golden.new(Cem, { tensors = tensors }) end

return { recognises = recognises, golden = golden }
