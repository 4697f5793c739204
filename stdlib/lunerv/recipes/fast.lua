-- A sharp picture after minutes. Muon on every matrix, the head's and the encoder's too, learns in
-- ten passes what Adan does not in sixty; a rate that falls in a straight line to nothing suits it
-- better than a cosine. The experiments behind each number are in stdlib/docs/experiments.md.
local function options(kind)
  local o = {
    optimiser = "muon", lr = 0.012, warmup = 0.02, schedule = "warmup_linear", guard = true,
    compress_optimiser = "muon", compress_lr = 0.004, compress_schedule = "warmup_linear",
  }
  return o
end

return { about = "Muon, a linear schedule, a guard against divergence", options = options }
