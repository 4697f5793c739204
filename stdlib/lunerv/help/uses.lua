-- Which operators five decoders compute with: the paper's, and the codecs of scripts/examples/field.
-- Tests/lua/test_operators_used.lua runs them and holds these lists.
return {
  { name = "HNeRV-Boost", operators = "" },
  { name = "FFNeRV", operators = "" },
  { name = "HiNeRV", operators = "" },
  { name = "Cool-chic", operators = "" },
  { name = "motion", operators = "" },
}
