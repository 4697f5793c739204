-- A probability model for `scripts/soak`, stored in a file: recent symbols are more probable.
return function(_, shape)
  if #shape < 2 then return nil end
  return { family = "adaptive", first = -128, count = 257 }
end
