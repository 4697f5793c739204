-- The frame sizes that `lunerv bench` knows: the published 1.5M models at 720p, proportionally
-- smaller ones below, as SIZES in scripts/bench/torch_bench.py. `steps` and `torch_steps` are timed
-- unless told otherwise; each kind has its size in millions of parameters, and how many GFLOP one
-- forward pass takes. A kind that is not listed gets its own default size.
return {
  ["180p"] = {
    height = 180, width = 320, strides = { 5, 2, 2 }, enc_dim = { 64, 8 },
    steps = 20, torch_steps = 9,
    kinds = {
      hnerv_boost = { 0.35, 6.3 }, nerv_boost = { 0.2, 1.0 }, enerv_boost = { 0.3, 1.5 },
      hnerv = { 0.4, 4.1 }, nerv = { 0.4, 0.2 }, enerv = { 0.4, 0.6 },
    },
  },
  ["360p"] = {
    height = 360, width = 640, strides = { 5, 2, 2, 2 }, enc_dim = { 64, 16 },
    steps = 10, torch_steps = 6,
    kinds = {
      hnerv_boost = { 0.7, 30 }, nerv_boost = { 0.4, 4.7 }, enerv_boost = { 0.6, 7.8 },
      hnerv = { 0.8, 20.4 }, nerv = { 0.8, 1.0 }, enerv = { 0.8, 3.2 },
    },
  },
  ["720p"] = {
    height = 720, width = 1280, strides = { 5, 2, 2, 2, 2 }, enc_dim = { 64, 16 },
    steps = 6, torch_steps = 3,
    kinds = {
      hnerv_boost = { 1.275, 194 }, nerv_boost = { 0.8, 19.3 }, enerv_boost = { 1.25, 37.5 },
      hnerv = { 1.525, 130 }, nerv = { 1.5, 3.9 }, enerv = { 1.5, 13 },
    },
  },
}
