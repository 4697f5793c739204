-- Where a decoder's parameters and its work are, part by part, as SVG: two bars a part.
local bars <const> = {}

local left <const>, longest <const>, row <const> = 130, 480, 40
local kinds <const> = { { "parameters", "#2563ae" }, { "multiply–adds", "#c2762c" } }

-- The picture of `found`, a result of diagnose.model.
function bars.svg(found)
  local out, parts = {}, found.parts
  local function add(text, ...) out[#out + 1] = text:format(...) end
  local function bar(y, share, kind, value)
    add('<rect x="%d" y="%d" width="%.1f" height="13" fill="%s"/>', left, y, longest * share,
      kind[2])
    add('<text x="%.1f" y="%d" fill="%s" font-size="11">%s, %.1f %%</text>',
      left + longest * share + 6, y + 11, kind[2], value, 100 * share)
  end
  local macs = parts.macs_per_pixel * found.width * found.height
  local height = 40 + row * #parts
  add('<svg xmlns="http://www.w3.org/2000/svg" width="780" height="%d" viewBox="0 0 780 %d" '
    .. 'font-family="sans-serif" font-size="13">', height, height)
  add('<rect width="780" height="%d" fill="#ffffff"/>', height)
  for i, kind in ipairs(kinds) do
    add('<text x="%d" y="20" fill="%s">%s</text>', left + 120 * (i - 1), kind[2], kind[1])
  end
  for i, part in ipairs(parts) do
    local y = 32 + row * (i - 1)
    add('<text x="%d" y="%d" text-anchor="end" fill="#22272e">%s</text>', left - 8, y + 18,
      part.name)
    bar(y, part.parameters / parts.parameters, kinds[1], ("%d"):format(part.parameters))
    bar(y + 14, macs > 0 and part.macs / macs or 0, kinds[2],
      ("%.6g a pixel"):format(part.macs / found.width / found.height // 0.1 / 10))
  end
  add "</svg>"
  return table.concat(out, "\n") .. "\n"
end

return bars
