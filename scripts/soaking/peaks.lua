-- A probability model for `scripts/soak`, which travels in a file: what was last seen is likelier.
return function(_, shape)
  if #shape < 2 then return nil end
  return { family = "adaptive", first = -128, count = 257 }
end
