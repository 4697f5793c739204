-- E-NeRV's transformer block over positions, and its two halves.
local class <const> = require "lunerv.nn.class"
local Linear <const> = require "lunerv.nn.linear"
local options <const> = require "lunerv.options"
local parameter <const> = require "lunerv.nn.parameter"

local attention_takes <const> = options.takes("nn.Attention", {
  { "heads", 8, "number of parallel heads" },
  { "head_width", 64, "width of each head" },
})

--- Multi-head attention: softmax(QKᵀ/√head_width)·V in every head, the heads concatenated and
--- projected to `width`. A single head as wide as the tokens has no projection. (n, tokens, width)
--- → the same.
---
---     local attention = nn.Attention(128, { heads = 4, head_width = 32 })
---
---@param width integer  width of a token
---@param options? lunerv.nn.Attention.Options
local Attention <const> = class "Attention"

function Attention:init(width, given)
  local o = attention_takes(given)
  width = parameter.integer(width, "nn.Attention: width")
  o.heads = parameter.integer(o.heads, "nn.Attention: heads")
  o.head_width = parameter.integer(o.head_width, "nn.Attention: head_width")
  self.heads, self.head_width = o.heads, o.head_width
  local inner = o.heads * o.head_width
  -- The rows hold all of Q, then K, then V.
  self.qkv = Linear(width, 3 * inner, { bias = false })
  if inner ~= width or o.heads > 1 then self.out = Linear(inner, width) end
end

function Attention:forward(x)
  local n, tokens = x:size(1), x:size(2)
  local parts = self.qkv(x):view(n, tokens, 3, self.heads, self.head_width):permute(3, 1, 4, 2, 5)
  local q, k, v = parts:select(1, 1), parts:select(1, 2), parts:select(1, 3)
  local weights = (q:matmul(k:transpose(3, 4)) * self.head_width ^ -0.5):softmax(4)
  local y = weights:matmul(v):transpose(2, 3):view(n, tokens, self.heads * self.head_width)
  return self.out and self.out(y) or y
end

local transformer_takes <const> = options.takes("nn.Transformer", {
  { "heads", 8, "number of parallel heads" },
  { "head_width", 64, "width of each head" },
})

--- E-NeRV's transformer block: x + attention(x), then x + W₂·GELU(W₁·x).
--- Unlike PyTorch, the hidden layer has half the width, and there is no normalisation. (n, tokens,
--- width) → the same.
---
---     local block = nn.Transformer(128, { heads = 1 })
---
---@param width integer  width of a token
---@param options? lunerv.nn.Transformer.Options
local Transformer <const> = class "Transformer"

function Transformer:init(width, given)
  local o = transformer_takes(given)
  width = parameter.integer(width, "nn.Transformer: width", 2)
  self.attention = Attention(width, o)
  local hidden = width // 2
  self.expand = Linear(width, hidden)
  self.project = Linear(hidden, width)
end

function Transformer:forward(x)
  x = x + self.attention(x)
  return x + self.project(self.expand(x):gelu())
end

return { Attention = Attention, Transformer = Transformer }
