-- The smallest number for which something holds, in few trials near a guess: steps away from the
-- guess that double, until the answer lies between two trials, then halves.

-- `holds(n)` says whether it does for n, an integer from 1 to `most`, or returns nil and a reason
-- to stop; if it does for n it is taken to do so for all above. Returns the smallest n that is
-- known to hold, or nil, and the reason where it was stopped.
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
