-- The operators that five decoders use: the paper's, and the codecs of scripts/examples/field.
-- Tests/lua/test_operators_used.lua runs them and checks these lists.
return {
  { name = "HNeRV-Boost", operators = [[
    add conv2d evaluate gelu linear mul pixel_shuffle position_encoding relu sin
    tanh view
  ]] },
  { name = "FFNeRV", operators = [[
    add cat conv2d evaluate grid_sample interpolate mul permute pixel_shuffle
    sigmoid sin size slice softmax sub sum tanh view
  ]] },
  { name = "HiNeRV", operators = [[
    add cat conv2d evaluate expand gelu interpolate layer_norm mul pixel_shuffle
    pixel_unshuffle size slice tanh
  ]] },
  { name = "Cool-chic", operators = [[
    add cat clamp conv2d div evaluate floor full gelu index_select interpolate
    matmul mul pad permute pixel_shuffle reshape select size slice tensor to view
    zeros
  ]] },
  { name = "motion", operators = [[
    add cat conv2d evaluate grid_sample interpolate mul permute pixel_shuffle
    sigmoid sin size slice sub tanh
  ]] },
}
