-- The known names that a misspelt one may have meant.
local names <const> = {}

-- How many letters must be changed, added, left out or swapped with the next one to make `a` of
-- `b` (the optimal string alignment distance).
local function distance(a, b)
  local before, last = {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      local swapped = i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
      if swapped then row[j] = math.min(row[j], before[j - 2] + 1) end
    end
    before, last = last, row
  end
  return last[#b]
end

-- Letters alone, in lower case: `batch_size`, `batchSize` and `BatchSize` are meant alike.
local function plain(name) return (name:lower():gsub("[_%-]", "")) end

-- The longest name that is looked at: the distance takes time by the square of it.
local longest <const> = 64

--- The known names nearest to a word: at most three, the nearest first.
---
---     lv.names.nearest("conv2", { "conv2d", "cos" })    -- { "conv2d" }
---
---@param word string
---@param known string[]
---@return string[]
function names.nearest(word, known)
  if type(word) ~= "string" or #word > longest then return {} end
  local wanted, found = plain(word), {}
  if wanted == "" then return {} end
  for _, name in ipairs(known) do
    if type(name) == "string" and #name <= longest then
      local candidate = plain(name)
      local apart = distance(wanted, candidate)
      local begins = #wanted >= 3 and candidate:sub(1, #wanted) == wanted
      if apart <= math.max(1, math.max(#wanted, #candidate) // 3) or begins then
        found[#found + 1] = { name = name, apart = begins and math.min(apart, 2) or apart }
      end
    end
  end
  table.sort(found, function(a, b)
    if a.apart ~= b.apart then return a.apart < b.apart end
    return a.name < b.name
  end)
  local nearest = {}
  for i = 1, math.min(3, #found) do nearest[i] = found[i].name end
  return nearest
end

--- What a message says of the nearest names: ": did you mean 'a' or 'b'?", or nothing.
---
---@param word string
---@param known string[]
---@param before? string  what stands before each name, such as "--"
---@return string
function names.meant(word, known, before)
  local list = names.nearest(word, known)
  for i, name in ipairs(list) do list[i] = ("'%s%s'"):format(before or "", name) end
  if #list == 0 then return "" end
  local last = table.remove(list)
  local text = #list > 0 and table.concat(list, ", ") .. " or " .. last or last
  return (": did you mean %s?"):format(text)
end

return names
