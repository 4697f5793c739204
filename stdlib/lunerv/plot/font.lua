-- A font of strokes for raster images. Strokes stay sharp at every size, and can be rotated.
--
-- A glyph is a list of strokes, a stroke a list of points, a point a digit for x and a letter for
-- y: "c" is the baseline, "i" the height of small letters, "k" that of capitals.
local font <const> = {}

local glyphs <const> = {
  [" "] = "", ["!"] = "0k0f 0d0c", ['"'] = "0k0i 2k2i", ["#"] = "2k1c 5k4c 1i6i 0e5e",
  ["$"] = "4i3j1j0i0h1g3g4f4e3d1d0e 2k2c", ["%"] = "0c6k 0k2k2i0i0k 4e6e6c4c4e",
  ["&"] = "6c1i1j2k3k4j4i0e0d1c3c6f", ["'"] = "0k0i", ["("] = "2k0i0d2b", [")"] = "0k2i2d0b",
  ["*"] = "2j2f 0i4g 4i0g", ["+"] = "3i3c 0f6f", [","] = "1d0b", ["-"] = "0f3f", ["."] = "0c0d",
  ["/"] = "0b4k", ["0"] = "1c0d0j1k4k5j5d4c1c", ["1"] = "0i2k2c 0c4c", ["2"] = "0j1k4k5j5h0d0c5c",
  ["3"] = "0j1k4k5j5h4g5f5d4c1c0d 2g4g", ["4"] = "4c4k0e5e", ["5"] = "5k0k0g1h4h5g5d4c1c0d",
  ["6"] = "5j4k1k0j0d1c4c5d5f4g1g0f", ["7"] = "0k5k5j2c",
  ["8"] = "1g0h0j1k4k5j5h4g1g0f0d1c4c5d5f4g", ["9"] = "0d1c4c5d5j4k1k0j0h1g4g5h",
  [":"] = "0c0d 0g0h", [";"] = "1d0b 1g1h", ["<"] = "5i0f5c", ["="] = "0g5g 0e5e",
  [">"] = "0i5f0c", ["?"] = "0j1k4k5j5h2f 2d2c",
  ["@"] = "5h4i3i2h2f3e4e5f5i5f6e7f7i5k2k0i0e2c6c", A = "0c3k6c 1f5f",
  B = "0c0k4k5j5h4g0g 4g5f5d4c0c", C = "5j4k1k0j0d1c4c5d", D = "0c0k3k5i5e3c0c",
  E = "5k0k0c5c 0g4g", F = "5k0k0c 0g4g", G = "5j4k1k0j0d1c4c5d5g3g", H = "0c0k 5c5k 0g5g",
  I = "0c0k", J = "3k3d2c1c0d", K = "0c0k 5k0f 2h5c", L = "0k0c4c", M = "0c0k3f6k6c",
  N = "0c0k5c5k", O = "2c0e0i2k4k6i6e4c2c", P = "0c0k4k5j5h4g0g", Q = "2c0e0i2k4k6i6e4c2c 4e6c",
  R = "0c0k4k5j5h4g0g 3g5c", S = "5j4k1k0j0h1g4g5f5d4c1c0d", T = "0k6k 3k3c", U = "0k0d1c4c5d5k",
  V = "0k3c6k", W = "0k2c4i6c8k", X = "0k5c 5k0c", Y = "0k3g6k 3g3c", Z = "0k5k0c5c",
  ["["] = "2k0k0b2b", ["\\"] = "0k4b", ["]"] = "0k2k2b0b", ["^"] = "0h2k4h", ["_"] = "0b5b",
  ["`"] = "0k1j", a = "0h1i3i4h4c 4f1f0e0d1c3c4d", b = "0k0c 0h1i3i4h4d3c1c0d",
  c = "4h3i1i0h0d1c3c4d", d = "4k4c 4h3i1i0h0d1c3c4d", e = "0f4f4h3i1i0h0d1c3c4d",
  f = "3k2k1j1c 0i3i", g = "4i4b3a1a0b 4h3i1i0h0d1c3c4d", h = "0k0c 0h1i3i4h4c", i = "0i0c 0k0k",
  j = "1i1b0a 1k1k", k = "0k0c 4i0e 1f4c", l = "0k0c", m = "0c0i 0h1i2i3h3c 3h4i5i6h6c",
  n = "0c0i 0h1i3i4h4c", o = "1c0d0h1i3i4h4d3c1c", p = "0a0i 0h1i3i4h4d3c1c0d",
  q = "4a4i 4h3i1i0h0d1c3c4d", r = "0c0i 0g2i3i", s = "4h3i1i0h0g1f3f4e4d3c1c0d",
  t = "1k1d2c3c 0i3i", u = "0i0d1c3c4d 4i4c", v = "0i2c4i", w = "0i2c3i4c6i", x = "0i4c 4i0c",
  y = "0i2c 4i1a0a", z = "0i4i0c4c", ["{"] = "2k1j1g0f1e1c2b", ["|"] = "0k0b",
  ["}"] = "0k1j1g2f1e1c0b", ["~"] = "0f1g2g3f4f5g",
  -- Characters beyond ASCII that labels use.
  ["×"] = "0h4d 4h0d", ["→"] = "0f6f 4h6f4d", ["–"] = "0f5f", ["—"] = "0f8f", ["−"] = "0f5f",
  ["·"] = "0f0f", ["’"] = "0k0i", ["µ"] = "0a0i 0d1c3c4d 4i4c", ["°"] = "0i0k2k2i0i",
}
local unknown <const> = "0c0k4k4c0c"

local units <const> = 11 -- of the grid, in the height of a font
local gap <const> = 2    -- between glyphs, in units

-- The glyphs of `text`, each { width =, strokes = { { x, y, … }, … } } in pixels for a font of
-- `size`, y upwards from the baseline; rounded to whole pixels if `hinted`. Returns them and the
-- total width.
function font.glyphs(text, size, hinted)
  local function pixels(count)
    local value = count * size / units
    return hinted and math.floor(value + 0.5) or value
  end
  local list, total = {}, 0
  for character in text:gmatch(utf8.charpattern) do
    local glyph, widest = { strokes = {} }, 0
    for stroke in (glyphs[character] or unknown):gmatch "%S+" do
      local points = {}
      for x, y in stroke:gmatch "(.)(.)" do
        widest = math.max(widest, tonumber(x))
        points[#points + 1] = pixels(tonumber(x))
        points[#points + 1] = pixels(y:byte() - ("c"):byte())
      end
      glyph.strokes[#glyph.strokes + 1] = points
    end
    glyph.width = pixels(widest + gap)
    if character == " " then glyph.width = pixels(4) end
    list[#list + 1], total = glyph, total + glyph.width
  end
  return list, math.max(0, total - pixels(gap))
end

-- The width that `text` needs, in pixels. A viewer of an SVG file uses its own fonts, and some are
-- wider.
function font.width(text, size)
  local _, width = font.glyphs(text, size)
  return 1.1 * width
end

return font
