-- Escapes text of any origin for an HTML page.
local native <const> = require "lunerv.native"

local html <const> = {}

local markup <const> = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#39;" }

-- Text for an element or a quoted attribute. Invalid UTF-8, terminal controls and characters that
-- change the direction of text become visible.
function html.text(value)
  return (native.printable(tostring(value)):gsub("[&<>\"']", markup))
end

-- `format` filled with what follows, text escaped; numbers stay numbers.
function html.fill(format, ...)
  local values = table.pack(...)
  for i = 1, values.n do
    if type(values[i]) ~= "number" then values[i] = html.text(values[i]) end
  end
  return format:format(table.unpack(values, 1, values.n))
end

local function printable(value)
  if type(value) == "string" then return native.printable(value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, item in pairs(value) do copy[printable(key)] = printable(item) end
  return copy
end

-- Plain data as JSON that cannot close a script element: every < > & is written as an escape.
function html.json(data)
  local text = native.json_encode(printable(data))
  return (text:gsub("[<>&]", function(c) return ("\\u%04x"):format(c:byte()) end)
    :gsub("\u{2028}", "\\u2028"):gsub("\u{2029}", "\\u2029"))
end

local digits <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local pairs_of_digits

-- Two base64 digits for each 12-bit number.
local function digit_pairs()
  if pairs_of_digits then return pairs_of_digits end
  pairs_of_digits = {}
  for high = 1, 64 do
    for low = 1, 64 do
      pairs_of_digits[(high - 1) * 64 + low - 1] = digits:sub(high, high) .. digits:sub(low, low)
    end
  end
  return pairs_of_digits
end

-- Bytes in base 64.
function html.base64(bytes)
  local parts, pairs_of = {}, digit_pairs()
  local whole = #bytes - #bytes % 3
  for at = 1, whole, 3 do
    local a, b, c = bytes:byte(at, at + 2)
    parts[#parts + 1] = pairs_of[a << 4 | b >> 4] .. pairs_of[(b & 15) << 8 | c]
  end
  local a, b = bytes:byte(whole + 1, -1)
  if b then
    local last = (b & 15) << 2
    parts[#parts + 1] = pairs_of[a << 4 | b >> 4] .. digits:sub(last + 1, last + 1) .. "="
  elseif a then
    parts[#parts + 1] = pairs_of[a << 4] .. "=="
  end
  return table.concat(parts)
end

return html
