-- Finds the smallest number for which a condition holds, in few trials near a guess: doubling steps
-- away from the guess until the answer is between two trials, then bisection.

-- `holds(n)` is the condition for n, an integer from 1 to `most`; nil and a reason stop the search.
-- If it holds for n, it is assumed to hold for all larger numbers. Returns the smallest n known to
-- hold, or nil, and the reason if the search was stopped.
return function(guess, most, holds)
  local fails, found, step = 0, nil, 1
  local n = math.min(guess, most)
  while true do
    local answer, reason = holds(n)
    if answer == nil then return found, reason end
    if answer then found = n else fails = n end
    if found and found - fails == 1 then return found end
    if found and fails > 0 then
      n = (fails + found) // 2
    elseif found then
      n, step = math.max(1, found - step), 2 * step
    elseif fails >= most then
      return nil
    else
      n, step = math.min(most, fails + step), 2 * step
    end
  end
end
