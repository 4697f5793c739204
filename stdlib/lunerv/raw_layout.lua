-- The layout of headerless video, from its file name:
-- "ReadySteadyGo_1920x1080_120fps_420_10bit_YUV.yuv" and similar names. A name may hold other
-- numbers, such as counters, ratios and years. If it is ambiguous or not understood, the user must
-- give the layout; nothing is guessed.

-- The minimum size of a picture's sides; smaller numbers are a ratio such as 16x9.
local least_side <const> = 32
local most_rate <const> = 1000

-- Screen shapes, which a name may give with, or instead of, the size.
local ratios <const> = { ["4x3"] = true, ["16x9"] = true, ["3x2"] = true, ["21x9"] = true,
  ["1x1"] = true, ["5x4"] = true, ["2x1"] = true, ["9x16"] = true, ["3x4"] = true }
-- Words before a counter.
local asides <const> = { ver = true, part = true, take = true, seq = true, scene = true,
  shot = true, clip = true, crop = true, qp = true, crf = true }
local depths <const> = { [8] = true, [9] = true, [10] = true, [12] = true, [14] = true,
  [16] = true }

-- Names of layouts that are not supported.
local layouts <const> = {}
for word in ("rgb bgr argb abgr gbr gbrp gbrap ayuv vuya yvyu vyuy mono be packed planar pal bayer "
  .. "yuva xyz uyva"):gmatch "%w+" do
  layouts[word] = true
end

local chromas <const> = { ["420"] = true, ["422"] = true, ["444"] = true }
local whole <const> = {
  nv12 = "nv12", nv21 = "nv21", nv16 = "nv16", p010 = "p010le", p016 = "p016le", i420 = "yuv420p",
  yv12 = false, v210 = false, gray = "gray", grey = "gray", ["400"] = "gray", uyvy = "uyvy422",
  yuyv = "yuyv422", yuy2 = "yuyv422", rgb24 = "rgb24", bgr24 = "bgr24", rgba = "rgba",
  bgra = "bgra",
}

-- Whether a word with digits says nothing about the layout: colours, codecs, counters.
local function is_aside(word)
  local colour = word:match "^[bret.]*(%d+)$"
  if colour == "601" or colour == "709" or colour == "2020" or colour == "2100" then return true end
  local lines = word:match "^u?h?d?(%d+)p?$"
  if lines == "480" or lines == "576" or lines == "720" or lines == "1080" or lines == "2160" then
    return true
  end
  return word:match "^[248]k$" or word:match "^[hx]26[45]$" or word == "av1"
    or word:match "^[vq]%d+$" or word:match "^(%a%a+)%d+$" and asides[word:match "^%a+"]
end

-- The parts of a name, in lower case, between its separators.
local function words_of(name)
  local words = {}
  -- "10-bit" and "10 bit" are one word.
  name = name:lower():gsub("%.[^.]*$", ""):gsub("(%d+)[%s_%-]bit%f[%W]", "%1bit")
  for word in name:gmatch "[^_%-%s,()%[%]]+" do
    words[#words + 1] = word
  end
  return words
end

-- The index of the word with the size, its two numbers, and the rest of that word; nil if there is
-- none, or if several are possible.
local function size_in(words)
  local found, alone
  for i, word in ipairs(words) do
    local width, height, rest = word:match "^%a*(%d+)x(%d+)(.*)$"
    width, height = math.tointeger(tonumber(width)), math.tointeger(tonumber(height))
    if width and height and width > 0 and height > 0 then
      local entry = { i, width, height, rest }
      if math.min(width, height) >= least_side then
        if found and (found[2] ~= width or found[3] ~= height) then return nil end
        found = found or entry
      elseif ratios[width .. "x" .. height] then
        goto next
      elseif alone == nil then
        alone = entry
      else
        alone = false
      end
    end
    ::next::
  end
  found = found or alone or nil
  if found then return table.unpack(found, 1, 4) end
end

-- The meaning of a word: chroma, depth, a whole format, or not understood.
local function format_in(word)
  if whole[word] ~= nil then return { format = whole[word] or nil, unknown = not whole[word] } end
  if chromas[word] then return { chroma = word } end
  local depth = word:match "^(%d+)b$" or word:match "^(%d+)bits?$" or word:match "^(%d+)le$"
    or word:match "^p(1[0246])$"
  if depth then
    depth = math.tointeger(tonumber(depth))
    return depths[depth] and { depth = depth } or { unknown = true }
  end
  local chroma, rest = word:match "^yuv(4%d%d)p?(.*)$"
  if not chroma then chroma, rest = word:match "^(4[024][024])p(1?%d?l?e?)$" end
  if not chroma then return nil end
  depth = rest:match "^(%d+)l?e?$"
  if depth and not depths[tonumber(depth)] then return { unknown = true } end
  if chroma == "400" and rest == "" then return { format = "gray" } end
  if not chromas[chroma] or rest ~= "" and not depth then return { unknown = true } end
  return { chroma = chroma, depth = tonumber(depth) or 8 }
end

-- Whether a bare number can be a rate: not a counter (01), a chroma format (411) or a depth (8).
local function is_rate(word)
  local rate = word:match "^[1-9]%d*%.?%d*$" and tonumber(word)
  return rate and rate > 9 and rate <= most_rate and not (rate >= 400 and rate < 500)
end

--- The layout of headerless video from its file name; by default 4:2:0 with 8 bits.
---
---     print(lv.video.layout("film_1920x1080_50fps.yuv").width)
---
---@param path string
---@return table?  width, height, pixel_format, fps; nil if the name has no size
---@return string?  the part of the name that is not understood
return function(path)
  local name = path:match "[^/]*$"
  if not name:lower():match "%.yuv$" then return nil end
  local words = words_of(name)
  local at, width, height, rest = size_in(words)
  if not at then return nil end

  local says, fps = {}, rest:match "^p?(%d+%.?%d*)$"
  for i, word in ipairs(words) do
    local rate = word:match "^(%d+%.?%d*)fps$" or word:match "^(%d+%.?%d*)hz$"
    local lines = i == at + 1 and word:match "^(%d+)p$"
    -- 60p is a rate; 480p, which repeats the number of lines, and 420p are not.
    if lines and not chromas[lines] and tonumber(lines) ~= height then rate = lines end
    -- "grey" before the size describes the content.
    local what = not rate and (i > at or not word:match "^gr[ae]y$") and format_in(word)
    if rate then
      fps = rate
    elseif what and i < at and (chromas[word] or word == "400") then
      return nil, ("'%s' may be a counter or a format"):format(word)
    elseif what then
      for key, value in pairs(what) do
        if says[key] ~= nil and says[key] ~= value and not (key == "depth" and value == 8) then
          return nil, ("'%s' contradicts what comes before it"):format(word)
        end
        if not (key == "depth" and value == 8 and says.depth) then says[key] = value end
      end
      if what.unknown then return nil, ("'%s' is not understood"):format(word) end
    elseif i == at + 1 and is_rate(word) and not fps then
      fps = word
    elseif i > at and (word:match "%d" and not is_aside(word) or layouts[word]) then
      return nil, ("'%s' is not understood"):format(word)
    end
  end

  local depth = says.depth or 8
  local format = says.format
  if not format then
    format = "yuv" .. (says.chroma or "420") .. "p" .. (depth > 8 and depth .. "le" or "")
  elseif depth > 8 then
    local deep = { nv12 = { [10] = "p010le", [16] = "p016le" }, gray = { [10] = "gray10le",
      [12] = "gray12le", [14] = "gray14le", [16] = "gray16le" } }
    if not format:match "^p01" then format = deep[format] and deep[format][depth] end
    if not format then return nil, ("%d bits in that format are not supported"):format(depth) end
  end
  fps = tonumber(fps)
  if fps and (fps <= 0 or fps > most_rate) then fps = nil end
  return { width = width, height = height, pixel_format = format, fps = fps }
end
