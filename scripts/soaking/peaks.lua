-- A probability model for `scripts/soak`, stored in a file: the last symbols are likelier.
return function(_, shape)
  if #shape < 2 then return nil end
  return { family = "adaptive", first = -128, count = 257 }
end
