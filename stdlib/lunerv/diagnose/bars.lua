-- Bar charts of a decoder's parts, as SVG: their parameters and multiply–adds, and the effective
-- channels of two decoders.
local plot <const> = require "lunerv.plot"

local bars <const> = {}

-- A chart of `parts`, a list of { name =, { share, text }, { share, text } }: two bars of length at
-- most 1 per part. `names` are the two series.
local function picture(names, parts, label)
  local p = plot { x = { label = label, from = 0, to = 1 }, width = 780 }
  for k, name in ipairs(names) do
    local labels, shares, texts = {}, {}, {}
    for i, part in ipairs(parts) do
      labels[i], shares[i], texts[i] = part.name, part[k][1], part[k][2]
    end
    p:bars(name, labels, shares, { texts = texts })
  end
  return p:svg()
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
        ("%.1f per pixel"):format(part.macs / found.width / found.height)),
    }
  end
  return picture({ "parameters", "multiply–adds" }, parts, "share of the decoder")
end

-- The effective channels of the parts that two decoders share: `rows` from diagnose.compared,
-- `names` the decoders'.
function bars.diversity(names, rows)
  local parts = {}
  for i, found in ipairs(rows) do
    parts[i] = { name = found.name }
    for k, of in ipairs(found) do
      parts[i][k] = { of.effective / of.channels,
        ("%.1f of %d channels"):format(of.effective, of.channels) }
    end
  end
  return picture(names, parts, "share of the channels that differ")
end

return bars
