-- Bars of a decoder's parts, as SVG: where its parameters and its work are, and how many of the
-- channels of two decoders differ.
local bars <const> = {}

local left <const>, longest <const>, row <const> = 130, 480, 40
local colours <const> = { "#2563ae", "#c2762c" }

-- The picture of `parts`, a list of { name =, { share, text }, { share, text } }: for each two bars
-- of at most 1, of what `names` calls them.
local function picture(names, parts)
  local out = {}
  local function add(text, ...) out[#out + 1] = text:format(...) end
  local function bar(y, value, colour)
    add('<rect x="%d" y="%d" width="%.1f" height="13" fill="%s"/>', left, y, longest * value[1],
      colour)
    add('<text x="%.1f" y="%d" fill="%s" font-size="11">%s</text>',
      left + longest * value[1] + 6, y + 11, colour, value[2])
  end
  local height = 40 + row * #parts
  add('<svg xmlns="http://www.w3.org/2000/svg" width="780" height="%d" viewBox="0 0 780 %d" '
    .. 'font-family="sans-serif" font-size="13">', height, height)
  add('<rect width="780" height="%d" fill="#ffffff"/>', height)
  local x = left
  for i, name in ipairs(names) do
    add('<text x="%d" y="20" fill="%s">%s</text>', x, colours[i], name)
    x = x + 9 * utf8.len(name) + 24
  end
  for i, part in ipairs(parts) do
    local y = 32 + row * (i - 1)
    add('<text x="%d" y="%d" text-anchor="end" fill="#22272e">%s</text>', left - 8, y + 18,
      part.name)
    for k, value in ipairs(part) do bar(y + 14 * (k - 1), value, colours[k]) end
  end
  add "</svg>"
  return table.concat(out, "\n") .. "\n"
end

-- Parameters and multiply–adds of `found`, a result of diagnose.model.
function bars.cost(found)
  local parts, macs = {}, found.parts.macs_per_pixel * found.width * found.height
  local function value(share, text) return { share, ("%s, %.1f %%"):format(text, 100 * share) } end
  for i, part in ipairs(found.parts) do
    parts[i] = {
      name = part.name,
      value(part.parameters / found.parts.parameters, ("%d"):format(part.parameters)),
      value(macs > 0 and part.macs / macs or 0,
        ("%.1f a pixel"):format(part.macs / found.width / found.height)),
    }
  end
  return picture({ "parameters", "multiply–adds" }, parts)
end

-- How many of their channels differ in the parts that two decoders have: `rows` as of
-- diagnose.compared, `names` the decoders'.
function bars.diversity(names, rows)
  local parts = {}
  for i, found in ipairs(rows) do
    parts[i] = { name = found.name }
    for k, of in ipairs(found) do
      parts[i][k] = { of.effective / of.channels,
        ("%.1f of %d channels"):format(of.effective, of.channels) }
    end
  end
  return picture(names, parts)
end

return bars
