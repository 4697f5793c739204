-- E-NeRV and E-NeRV-Boost in the published programs: see lunerv.interop.families.
local names <const> = require "lunerv.interop.names"
local shapes <const> = require "lunerv.interop.shapes"

local enerv <const> = {
  mark = "stem_xy.0.weight", time = "stem_t.0.weight", first_block = "layers.0.",
  encoded = { ["stem_t.0.weight"] = 1, ["t_branch.0.weight"] = 1, ["stem_xy.0.weight"] = 2 },
  program = {
    interleaved = true, time = function(i, n) return (i - 1) / math.max(n - 1, 1) end,
    out_image = "sigmoid",
  },
}

local transformer <const> = {
  { "^attention%.qkv%.", "attn.to_qkv." },
  { "^attention%.out%.", "attn.to_out.0." },
  { "^expand%.", "ffn.net.0." },
  { "^project%.", "ffn.net.3." },
}

enerv.names = {
  { "^time_stem%.(%d)%.", names.numbered("stem_t", 2) },
  { "^place_stem%.1%.", "stem_xy.0." },
  { "^before%.", "trans1.", transformer },
  { "^after%.", "trans2.", transformer },
  { "^widen%.1%.", "toconv.0." },
  { "^stages%.(%d+)%.", names.numbered("layers", 1), names.boosted_block },
  { "^time%.(%d)%.", names.numbered("t_branch", 2) },
  { "^affines%.(%d+)%.mlp%.1%.", function(i)
    return ("t_layers.%d.0."):format(names.zero_based(i))
  end },
  { "^head%.", "head_layer." },
}

function enerv.read(o, tensors)
  shapes.read_stages(o, tensors, "layers.%d.", 0)
  o.block_dim = shapes.size(tensors, "stem_xy.0.weight", 1)
end

return enerv
