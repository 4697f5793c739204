-- HNeRV and HNeRV-Boost in the published program: see lunerv.interop.families.
local names <const> = require "lunerv.interop.names"
local shapes <const> = require "lunerv.interop.shapes"
local size <const> = shapes.size

local hnerv <const> = {
  mark = "decoder.0.conv.downconv.weight", time = "stem_t.0.weight", first_block = "decoder.0.",
  encoded = { ["stem_t.0.weight"] = 1 },
}

local convnext <const> = {
  { "^depthwise%.", "dwconv." },
  { "^norm%.", "norm." },
  { "^expand%.", "pwconv1." },
  { "^project%.", "pwconv2." },
  { "^scale$", "gamma" },
}

-- The first stage is (conv, norm), the others are (norm, conv).
local function downsampling(conv_first, conv_later)
  return function(i)
    local place = i == "1" and conv_first or conv_later
    return ("encoder.downsample_layers.%d.%d."):format(names.zero_based(i), place)
  end
end

hnerv.names = {
  { "^encoder%.stages%.(%d+)%.conv%.", downsampling(0, 1) },
  { "^encoder%.stages%.(%d+)%.norm%.", downsampling(1, 0) },
  { "^encoder%.stages%.(%d+)%.blocks%.(%d+)%.", function(i, j)
    return ("encoder.stages.%d.%d."):format(names.zero_based(i), names.zero_based(j))
  end, convnext },
  { "^stem%.conv%.", "decoder.0.conv.downconv." },
  { "^stem%.up%.conv%.", "decoder.0.conv.downconv." },
  { "^stem%.residual%.", "decoder.0.sft_block.", names.residual },
  { "^stages%.(%d+)%.", "decoder.%s.", names.boosted_block },
  { "^time%.(%d)%.", names.numbered("stem_t", 2) },
  { "^head%.", "head_layer." },
}

local function read_encoder(o, tensors)
  local stride_of, blocks = "encoder.downsample_layers.%d.%d.weight", "encoder.stages.0.%d.gamma"
  if not tensors[stride_of:format(0, 0)] then
    o.encoder, o.enc_strides = false, table.move(o.strides, 1, #o.strides, 1, {})
    if o.unfold > 1 then table.insert(o.enc_strides, o.unfold) end
    return
  end
  o.enc_dim[1] = size(tensors, stride_of:format(0, 0), 1)
  o.enc_strides, o.enc_blks = { size(tensors, stride_of:format(0, 0), 4) }, 0
  while tensors[stride_of:format(#o.enc_strides, 1)] do
    table.insert(o.enc_strides, size(tensors, stride_of:format(#o.enc_strides, 1), 4))
  end
  while tensors[blocks:format(o.enc_blks)] do o.enc_blks = o.enc_blks + 1 end
end

function hnerv.read(o, tensors)
  shapes.read_stages(o, tensors, "decoder.%d.", 1)
  o.enc_dim = { 1, size(tensors, hnerv.mark, 2) }
  o.unfold = shapes.shuffle(hnerv.mark, size(tensors, hnerv.mark, 1), o.fc_dim)
  read_encoder(o, tensors)
end

return hnerv
