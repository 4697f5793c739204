-- The authors' program in both stages (arXiv 2402.18152, sections 3 and 4). Options that are not
-- named here keep their defaults, which are the published numbers of each kind.
return {
  about = "the published method, number for number",
  options = {
    head_scale = 1, schedule = "warmup_cosine", guard = false,
    compress_optimiser = "adan", compress_schedule = "warmup_cosine", method = "cem",
    predict = false, families = "gaussian", channel = false, rdo = 0, seeded = false,
    rate_every = 1, latents_after = 1,
  },
}
