-- The names and shapes of parameters in the authors' published checkpoints.
local names <const> = {}

-- A number in a name: ours count from 1, theirs from 0.
function names.zero_based(i) return math.tointeger(i) - 1 end

-- "name.N.", where N counts modules from 0, `step` for each of ours: activations are counted too.
function names.numbered(name, step)
  return function(i) return ("%s.%d."):format(name, step * names.zero_based(i)) end
end

-- Rules are a list of { pattern of our name, their name as a format or a function of the captures,
-- rules for the rest }. The first pattern that matches the start of a name is replaced, and the
-- rest of the name is translated by its own rules, or kept.
local affine <const> = {
  { "^gamma%.(%d)%.", function(i) return ("SFT_scale_conv%d."):format(names.zero_based(i)) end },
  { "^beta%.(%d)%.", function(i) return ("SFT_shift_conv%d."):format(names.zero_based(i)) end },
}

-- A residual block conditioned on time.
names.residual = {
  { "^conv(%d)%.", function(i) return ("conv%d."):format(names.zero_based(i)) end },
  { "^tat(%d)%.", function(i) return ("sft%d."):format(names.zero_based(i)) end, affine },
}

-- A plain block; in a boosted block it is `up`.
local block <const> = {
  { "^conv%.", "conv.upconv.0." },
  { "^first_up%.conv%.", "conv1.upconv.0." },
  { "^second%.", "conv2." },
  { "^first%.", "conv1." },
  { "^second_up%.conv%.", "conv2.upconv.0." },
}

names.boosted_block = {
  { "^up%.", "", block },
  { "^residual%.", "sft_block.", names.residual },
  { "^", "", block },
}

-- Their name for our parameter `name` by the rules in `list`; nil if they do not store it (the
-- bases of the positional encoding).
function names.translate(name, list)
  if not list then return name end
  for _, rule in ipairs(list) do
    local first, last, capture, second = name:find(rule[1])
    if first then
      local theirs = rule[2]
      theirs = type(theirs) == "function" and theirs(capture, second)
        or theirs:format(capture)
      local rest = names.translate(name:sub(last + 1), rule[3])
      return rest and theirs .. rest
    end
  end
end

-- The shape of their parameter `theirs`, given our shape: layers of a network's stem are 1×1
-- convolutions there, layers of transformers and ConvNeXt are matrices, and ConvNeXt's scale is a
-- list.
function names.published_shape(theirs, shape)
  if theirs:match "^encoder%.stages%..*%.gamma$" then return { shape[2] } end
  if theirs:match "%.pwconv%d%.weight$" then return { shape[1], shape[2] } end
  if #shape == 2 and not theirs:match "^trans%d" then return { shape[1], shape[2], 1, 1 } end
  return shape
end

return names
