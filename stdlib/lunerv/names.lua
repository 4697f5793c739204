-- The known names that a misspelt one may have meant.
local native <const> = require "lunerv.native"

local names <const> = {}

--- The known names nearest to a word: at most three, the nearest first.
---
---     lv.names.nearest("conv2", { "conv2d", "cos" })    -- { "conv2d" }
---
---@param word string
---@param known string[]
---@return string[]
function names.nearest(word, known) return native.nearest_names(word, known) end

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
