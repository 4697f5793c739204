-- Numbers and text for a page, and text cut to the space a page has.
local digits <const> = require "lunerv.digits"
local Progress <const> = require "lunerv.progress"

local words <const> = {}

words.count = digits

-- Bytes in a suitable unit.
function words.bytes(value)
  if value < 1e4 then return words.count(value) .. " B" end
  if value < 1e6 then return ("%.1f kB"):format(value / 1e3) end
  if value < 1e9 then return ("%.2f MB"):format(value / 1e6) end
  return ("%.2f GB"):format(value / 1e9)
end

function words.seconds(value) return Progress.duration(value) end

-- `text` cut after `most` bytes, never inside a character.
function words.cut(text, most)
  if #text <= most then return text end
  local last = most
  while last > 0 and (text:byte(last + 1) or 0) & 0xC0 == 0x80 do last = last - 1 end
  return text:sub(1, last) .. "…"
end

-- A piece of plain data as one line.
function words.value(value)
  if type(value) == "boolean" then return value and "yes" or "no" end
  if type(value) == "number" then
    return math.type(value) == "integer" and tostring(value) or ("%.6g"):format(value)
  end
  if type(value) ~= "table" then return tostring(value) end
  local items = {}
  for i, item in ipairs(value) do items[i] = words.value(item) end
  if #items > 0 then return table.concat(items, ", ") end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  for i, key in ipairs(keys) do items[i] = key .. " " .. words.value(value[key]) end
  return table.concat(items, ", ")
end

return words
