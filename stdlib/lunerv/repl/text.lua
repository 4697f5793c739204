-- Text and names at the prompt: quoted, cut, and safe for a terminal.
local native <const> = require "lunerv.native"

local text <const> = {}

-- Longer strings are cut.
local longest <const> = 2000

local escapes <const> = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\\"] = "\\\\",
  ['"'] = '\\"' }

local function escaped(byte) return escapes[byte] or ("\\x%02X"):format(byte:byte()) end

-- `bytes` as a Lua literal: whatever is not text is escaped.
function text.quoted(bytes)
  local cut = ""
  if #bytes > longest then
    -- Never inside a character.
    local last = longest
    while last > 0 and (bytes:byte(last + 1) or 0) & 0xC0 == 0x80 do last = last - 1 end
    cut = (" … (%d bytes)"):format(#bytes)
    bytes = bytes:sub(1, last)
  end
  local out, position = {}, 1
  while position <= #bytes do
    -- The longest run of whole characters from here on.
    local _, bad = utf8.len(bytes, position)
    local good = bytes:sub(position, bad and bad - 1 or #bytes)
    out[#out + 1] = native.printable((good:gsub('[%c\\"\127]', escaped)))
    if bad then out[#out + 1] = escaped(bytes:sub(bad, bad)) end
    position = bad and bad + 1 or #bytes + 1
  end
  return '"' .. table.concat(out) .. '"' .. cut
end

local keywords <const> = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while"):gmatch "%a+" do keywords[word] = true end

text.keywords = keywords

-- Whether `key` may follow a dot.
function text.is_name(key)
  return type(key) == "string" and key:match "^[%a_][%w_]*$" ~= nil and not keywords[key]
end

-- The number of columns that a text takes, one per character.
function text.width(line) return utf8.len(line) or #line end

-- "(2, 3)"
function text.shape(sizes)
  return "(" .. table.concat(sizes, ", ") .. ")"
end

-- Whether standard output takes colours: a terminal with colours, and NO_COLOR is not set.
function text.takes_colour()
  local terminal, refused = os.getenv "TERM" or "", os.getenv "NO_COLOR" or ""
  return native.is_tty "stdout" and terminal ~= "" and terminal ~= "dumb" and refused == ""
end

-- Columns of the terminal; 80 if there is none.
function text.columns() return math.max(native.terminal_columns() or 80, 20) end

return text
