-- A whole number with thousands separators: 1234567 as 1,234,567. Other numbers are rounded.
return function(value)
  local digits = ("%.0f"):format(value)
  local sign, rest = digits:match "^(-?)(%d+)$"
  if not rest then return digits end -- infinite, or not a number
  local first = (#rest - 1) % 3 + 1
  return sign .. rest:sub(1, first) .. rest:sub(first + 1):gsub("%d%d%d", ",%0")
end
