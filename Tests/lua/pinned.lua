-- Files of every form ever written, and what they decode to: `files/versions`. Of each NAME.lnv
-- `manifest.json` has its form, and
--
--   file         a digest of its bytes: pinned files are never rewritten
--   symbols      for each segment a digest of its parameters, constants and embeddings. These are
--                exact, on every machine
--   sums         of each frame the sum of its numbers, as AVX-512 computes them; other instruction
--                sets differ in the last digits
--
-- NAME.png shows the frames below one another, rounded to 8 bits: a number decoded is within half a
-- level of it, and `slack` for the last digits.
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local program <const> = require "lunerv.codec.program"

local pinned <const> = {}

local slack <const> = 0.002 -- levels of 255

pinned.folder = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/files/versions"

function pinned.path(name, ending) return ("%s/%s.%s"):format(pinned.folder, name, ending) end

function pinned.manifest()
  return lv.json.decode(assert(lv.read_file(pinned.folder .. "/manifest.json")))
end

-- FNV-1a over bytes, continued from `hash`.
local function digest(bytes, hash)
  hash = hash or 0xcbf29ce484222325
  for at = 1, #bytes, 4096 do
    for _, byte in ipairs { bytes:byte(at, math.min(at + 4095, #bytes)) } do
      hash = (hash ~ byte) * 0x100000001b3
    end
  end
  return hash
end

function pinned.digest(bytes) return ("%016x"):format(digest(bytes)) end

-- The modules that a file brings, loaded here: files of this folder are trusted. Returns what finds
-- one by its name.
local function finder(sections)
  local names, texts = native.lnv_read_program(sections["decoder program"])
  local sources, loaded = {}, { lunerv = lv }
  for i, name in ipairs(names) do sources[name] = texts[i] end
  local world <const> = setmetatable({}, { __index = _G })
  function world.require(name)
    if loaded[name] == nil then
      local source = assert(sources[name], name)
      loaded[name] = assert(load(source, "=" .. name, "t", world))(name)
    end
    return loaded[name]
  end
  return world.require
end

local function build(text, sections)
  local find
  return program.build(text, function(name)
    find = find or sections["decoder program"] and finder(sections)
    local inner = name:match "^lunerv%.nn%.(.+)$"
    return inner and lv.nn[inner] or find(name)
  end)
end

local function model(name, sections) return finder(sections)(name) end

-- Of each segment the digest of all that its network computes with.
function pinned.symbols(bytes)
  lv.seed(0) -- a decoder may hold numbers that it draws, and that no frame depends on
  local video = lv.codec.decode(bytes, { build = build, models = model }) -- here, not confined
  local list = {}
  for k, segment in ipairs(video.segments) do
    video:frame(segment.first)
    local hash
    local function add(tensor)
      local values = tensor:to("f32"):view(-1):tolist()
      for at = 1, #values, 128 do
        local count = math.min(128, #values - at + 1)
        hash = digest(string.pack("<" .. ("f"):rep(count),
          table.unpack(values, at, at + count - 1)), hash)
      end
    end
    for _, entry in ipairs(video.model:state_dict()) do
      -- What a decoder keeps between frames was computed.
      local is_stored = entry[2].requires_grad or not (video.order and entry[1] == "before")
      if not entry[1]:match "^encoder%." and is_stored then add(entry[2]) end
    end
    for i = 1, video.embeddings and segment.frames or 0 do add(video.embeddings:frame(i)) end
    list[k] = ("%016x"):format(hash)
  end
  return list
end

-- All frames below one another, and the sum of each, decoded as users decode a file.
function pinned.frames(path)
  local video = assert(lv.codec.open(path))
  local frames, sums = {}, {}
  for i = 1, #video do
    frames[i] = video:frame(i)
    sums[i] = frames[i]:to("f64"):sum():item()
  end
  return lv.cat(frames, 3), sums, video
end

-- Whether numbers round to the levels of a picture, but for the last digits.
function pinned.agree(frames, picture)
  local levels = (picture:view(table.unpack(frames.shape)) * 255):round()
  local distance = (frames:clamp(0, 1) * 255 - levels):abs():amax():item()
  return distance <= 0.5 + slack, distance
end

function pinned.near(sum, expected, count)
  return math.abs(sum - expected) <= 1e-6 * count
end

-- What the manifest says of a file, decoded now.
function pinned.entry(name, form, by)
  local path = pinned.path(name, "lnv")
  local bytes = assert(lv.read_file(path))
  local frames, sums, video = pinned.frames(path)
  return {
    name = name, form = form, by = by, level = video.level, file = pinned.digest(bytes),
    size = { #video, video.width, video.height }, symbols = pinned.symbols(bytes), sums = sums,
    times = video.timestamps,
  }, frames
end

return pinned
