-- The layout of a file: sections of the whole file, and sections of each segment. A clip of one
-- segment needs no table of segments.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local required_level <const> = require "lunerv.codec.required_level"

local layout <const> = {}

-- The sections of a segment, and their bits in the table of segments. Every segment has weights; a
-- missing decoder is that of the previous segment.
local own <const> = { "decoder", "buffers", "weights", "embeddings" }
local flags <const> = { decoder = 1, buffers = 2, embeddings = 4 }
-- Sections that are other forms of these.
local forms <const> = {
  ["seeded weights"] = "weights", ["modelled weights"] = "weights",
  ["sliced weights"] = "weights", ["mixed embeddings"] = "embeddings",
  ["ordered decoder"] = "decoder",
}

-- The most segments in a file.
layout.most_segments = 1 << 13

local damaged <const> = errors.data

-- Fails because of an error in a section.
function layout.damaged(section, message, ...)
  error(errors.new("data", ("section '%s': %s"):format(section, message:format(...)),
    { section = section }))
end

-- The sections of the whole file by name; for each name in `own`, the list of such sections, {
-- payload, size, kind }; the sizes of all, { name, bytes }, which sum to the file's; and the level.
local function sections_of(bytes)
  local names, payloads, header, skipped, level = native.lnv_unpack(bytes)
  local shared, lists, sizes = {}, {}, { { name = "header", bytes = header } }
  for _, name in ipairs(own) do lists[name] = {} end
  for i, name in ipairs(names) do
    local kind = name
    name = forms[kind] or kind
    local size = { name = name, bytes = #payloads[i] }
    sizes[#sizes + 1] = size
    if lists[name] then
      table.insert(lists[name], { payload = payloads[i], size = size, kind = kind })
    elseif shared[name] then
      damaged("section '%s' occurs twice", name)
    else
      shared[name] = payloads[i]
    end
  end
  if skipped > 0 then sizes[#sizes + 1] = { name = "skipped", bytes = skipped } end
  return shared, lists, sizes, level
end

-- Segments as { first, last, frames, bytes, sections, kinds }: `sections` by name, `kinds` the
-- forms of these, `bytes` the size of the segment's own sections. Adds the number of its segment to
-- each size.
local function segments_of(shared, lists, frames)
  local lengths, parts = { frames }, nil
  if shared.segments then lengths, parts = native.lnv_read_segments(shared.segments, frames) end
  local segments, taken, first, decoder, decoder_kind = {}, {}, 1, nil, nil
  for k, length in ipairs(lengths) do
    local segment = { first = first, last = first + length - 1, frames = length, bytes = 0,
      sections = {}, kinds = {} }
    for _, name in ipairs(own) do
      local entry = lists[name][(taken[name] or 0) + 1]
      local expected = name == "weights" or parts and parts[k] & flags[name] ~= 0
      if not parts then expected = expected or name == "decoder" or entry ~= nil end
      if expected then
        if not entry then
          damaged("section '%s'%s is missing", name, parts and " of segment " .. k or "")
        end
        taken[name] = (taken[name] or 0) + 1
        segment.sections[name], segment.kinds[name] = entry.payload, entry.kind
        segment.bytes = segment.bytes + #entry.payload
        if parts then entry.size.segment = k end
      end
    end
    decoder = segment.sections.decoder or decoder
    decoder_kind = segment.kinds.decoder or decoder_kind
    segment.sections.decoder, segment.kinds.decoder = decoder, decoder_kind
    segments[k], first = segment, segment.last + 1
  end
  for _, name in ipairs(own) do
    if #lists[name] > (taken[name] or 0) then
      damaged("section '%s' occurs %s", name, parts and "more often than segments have it"
        or "twice")
    end
  end
  return segments
end

-- The description of a file: height, width, frames, fps, timestamps (nil at a constant rate),
-- bytes, bpp, the `level` of its format, `sections`, a list of { name, bytes, segment } that sums
-- to `bytes`, `segments`, and the first segment's `decoder`. Second, the sections of the whole file
-- by name.
function layout.read(bytes)
  local shared, lists, sizes, level = sections_of(bytes)
  if not shared.clip then damaged "section 'clip' is missing" end
  local height, width, frames, fps, timestamps = native.lnv_read_clip(shared.clip)
  local segments = segments_of(shared, lists, frames)
  return {
    height = height, width = width, frames = frames, fps = fps, timestamps = timestamps,
    bytes = #bytes, bpp = 8 * #bytes / (frames * height * width), level = level, sections = sizes,
    segments = segments, decoder = segments[1].sections.decoder,
  }, shared
end

-- The bytes of a file of these sections. The header states what readers must support: the container
-- adds the forms of the sections, this function their content. The result is at least `level`.
function layout.pack(names, payloads, level)
  level = math.max(level or 1, required_level.of_sections(names, payloads))
  return native.lnv_pack(names, payloads, level)
end

-- Joining ------------------------------------------------------------------------------------

-- The most frames of a joined file without a constant rate, whose times are stored one by one.
local most_times <const> = 1 << 20

-- Times of consecutive files: each begins when the last frame of the previous one ends. None if all
-- have the same rate.
local function times_of(files)
  local constant, frames = true, 0
  for _, file in ipairs(files) do
    constant = constant and not file.timestamps and file.fps == files[1].fps
    frames = frames + file.frames
  end
  if constant then return {} end
  if frames > most_times then
    damaged("%d frames have no common rate: joined files must have at most %d frames, or "
      .. "one rate", frames, most_times)
  end
  local times, start = {}, 0
  for _, file in ipairs(files) do
    for i = 1, file.frames do
      local time = file.timestamps and file.timestamps[i] - file.timestamps[1] or (i - 1) / file.fps
      times[#times + 1] = start + time
    end
    start = times[#times] + 1 / file.fps
  end
  return times
end

local function agree(a, b, index)
  for name, payload in pairs(a) do
    if b[name] ~= payload then
      damaged("section '%s' of file %d differs from the first file's: they cannot be joined", name,
        index)
    end
  end
end

-- The bytes of one file with the segments of all `files`, bytes each, in order. `clip` may give fps
-- and timestamps of the whole.
function layout.join(files, clip)
  local parts, common = {}, nil
  local total, frames, has, names, payloads, level = 0, {}, {}, {}, {}, 1
  local function add(name, bytes) names[#names + 1], payloads[#payloads + 1] = name, bytes end
  local decoder
  for i, bytes in ipairs(files) do
    local file, shared = layout.read(bytes)
    shared.clip, shared.segments = nil, nil
    common = common or shared
    agree(common, shared, i)
    agree(shared, common, i)
    local first = parts[1] or file
    if file.height ~= first.height or file.width ~= first.width then
      damaged("file %d has frames of %dx%d, the first has %dx%d: they cannot be joined", i,
        file.width, file.height, first.width, first.height)
    end
    parts[i], total, level = file, total + file.frames, math.max(level, file.level)
    for _, segment in ipairs(file.segments) do
      local known, bits = decoder, 0
      decoder = segment.sections.decoder
      for _, name in ipairs(own) do
        local payload = segment.sections[name]
        if payload and not (name == "decoder" and payload == known) then
          bits = bits | (flags[name] or 0)
          add(segment.kinds[name] or name, payload)
        end
      end
      frames[#frames + 1], has[#has + 1] = segment.frames, bits
    end
  end
  local heads, first = { "clip" }, parts[1]
  local given = { native.lnv_clip(first.height, first.width, total, clip and clip.fps or first.fps,
    clip and clip.timestamps or times_of(parts)) }
  if #frames > 1 then
    heads[2], given[2] = "segments", native.lnv_segments(frames, has)
  end
  local others = {}
  for name in pairs(common) do others[#others + 1] = name end
  table.sort(others)
  for _, name in ipairs(others) do
    heads[#heads + 1], given[#given + 1] = name, common[name]
  end
  table.move(names, 1, #names, #heads + 1, heads)
  table.move(payloads, 1, #payloads, #given + 1, given)
  return layout.pack(heads, given, level)
end

-- Estimated sizes -------------------------------------------------------------

-- The minimum that a section takes in the header: kind, length, checksum.
layout.entry = 1 + 1 + 4
-- The minimum of a header without sections: mark, version, level, number, checksum.
local header <const> = 4 + 1 + 1 + 1 + 4
-- The most bytes that lengths add.
local slack <const> = 3

local function clip_bytes(clip)
  return layout.entry
    + #native.lnv_clip(clip.height, clip.width, #clip, clip.fps or 25, clip.timestamps or {})
end

-- The most bytes that a file of `count` segments of `clip` has outside the segments.
function layout.common_bytes(clip, count)
  return header + clip_bytes(clip) + layout.entry + slack + count * (slack + 1) + 3 * slack
end

-- The minimum by which a segment of a file is smaller than a file of the same clip.
function layout.saved_bytes(clip) return header + clip_bytes(clip) end

return layout
