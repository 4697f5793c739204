-- Suggestions for misspelt names.
local native <const> = require "lunerv.native"

local names <const> = {}

--- The known names closest to a word: at most three, the closest first.
---
---     lv.names.nearest("conv2", { "conv2d", "cos" })    -- { "conv2d" }
---
---@param word string
---@param known string[]
---@return string[]
function names.nearest(word, known) return native.nearest_names(word, known) end

--- The suggestion in a message: ": did you mean 'a' or 'b'?", or nothing.
---
---@param word string
---@param known string[]
---@param before? string  a prefix of each name, such as "--"
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
