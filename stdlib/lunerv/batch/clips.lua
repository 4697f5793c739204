-- The clips of a batch, from a folder, a pattern or a list.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local clips <const> = {}

local videos <const> = {}
for extension in ("mp4 m4v mov qt mkv webm avi y4m yuv mpg mpeg m1v m2v vob ts mts m2ts wmv asf "
  .. "flv f4v ogv 3gp 3g2 mxf nut dv ivf obu gif apng 264 265 h264 h265 hevc avc"):gmatch "%S+" do
  videos[extension] = true
end
local images <const> = { png = true, jpg = true, jpeg = true, ppm = true, bmp = true, tif = true,
  tiff = true, webp = true }

local function extension_of(name) return (name:match "%.([^./]+)$" or ""):lower() end

-- The names in a folder, and those that are not UTF-8; nil if it is not a folder.
local function names_in(path)
  local ok, names, unreadable = pcall(native.list_dir, path)
  if ok then return names, unreadable end
  if not native.exists(path .. "/.") then return nil end
  errors.fail("io", "batch: clips: %s", errors.reason(names))
end

-- A folder whose names cannot be read is none.
local function is_image_folder(path)
  local ok, names = pcall(names_in, path)
  for _, name in ipairs(ok and names or {}) do
    if images[extension_of(name)] then return true end
  end
  return false
end

-- The clips of a folder, the names that are not clips, and the unreadable names.
local function of_folder(folder, names, unreadable)
  local list, left_out = {}, {}
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    local is_clip = videos[extension_of(name)] or is_image_folder(path)
    if name:match "^%." or not is_clip then
      left_out[#left_out + 1] = name
    else
      list[#list + 1] = path
    end
  end
  return list, left_out, unreadable
end

-- A shell pattern as a Lua pattern; only `*` and `?` are special.
local function pattern_of(text)
  local escaped = text:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0")
  return "^" .. escaped:gsub("%*", ".*"):gsub("%?", utf8.charpattern) .. "$"
end

local function of_pattern(text)
  local folder, last = text:match "^(.*)/([^/]*)$"
  folder, last = folder or ".", last or text
  if folder:find "[*?]" then
    errors.raise("batch: clips: expected a pattern in the last part of a path, got '%s'", text)
  end
  local names, unreadable = names_in(folder == "" and "/" or folder)
  if not names then errors.fail("io", "batch: clips: there is no folder '%s'", folder) end
  local list, pattern = {}, pattern_of(last)
  for _, name in ipairs(names) do
    if name:find(pattern) and not name:match "^%." then
      list[#list + 1] = text:find "/" and folder .. "/" .. name or name
    end
  end
  return list, {}, unreadable
end

-- The paths of the clips in `given`, a list of paths, a folder, or a pattern; the names in a folder
-- that are not clips; and the names that are not UTF-8.
function clips.of(given)
  if type(given) == "table" then
    errors.check_list("batch: clips", given)
    for i, path in ipairs(given) do
      if type(path) ~= "string" then
        errors.raise("batch: clips: expected paths, got %s at %d", type(path), i)
      end
    end
    return given, {}, {}
  end
  local names, unreadable = names_in(given)
  if names then return of_folder(given:gsub("(.)/+$", "%1"), names, unreadable) end
  if given:find "[*?]" then return of_pattern(given) end
  errors.fail("io", "batch: clips: expected a folder or a pattern, got '%s'", given)
end

local function last_part(path) return path:gsub("/+$", ""):match "[^/]*$" end

-- The bytes of a clip; nil for a folder.
function clips.size(path)
  local file <close> = io.open(path, "rb")
  return file and file:read(0) and file:seek "end" or nil
end

-- Whether the clip at `path` is that of an earlier result, { path, size }; with `may_have_moved`,
-- it need not be at its path.
local function is_same(path, earlier, may_have_moved)
  if path == earlier.path or native.same_file(path, earlier.path) then return true end
  return may_have_moved and last_part(path) == last_part(earlier.path)
    and not native.exists(earlier.path)
    and (not earlier.size or earlier.size == clips.size(path))
end

-- A unique name for each path: NAME; NAME.EXT or NAME-2 if that is taken. If a batch is continued,
-- owner(name) is the clip of an earlier result of that name, { path, size }: the clip keeps it,
-- whatever clips are new in the list, and also if it was moved.
function clips.names(paths, owner)
  local list, is_used = {}, {}
  local function settle(i, path, may_have_moved, must_own)
    local full = last_part(path)
    local name, count = full:gsub("(.)%.[^.]*$", "%1"), 1
    local candidate = name
    while true do
      local earlier = owner and owner(candidate)
      local is_free = not is_used[candidate]
      if is_free and earlier and is_same(path, earlier, may_have_moved)
        or is_free and not earlier and not must_own then
        is_used[candidate], list[i] = true, candidate
        return
      end
      if must_own and not earlier and candidate ~= name then return end
      if candidate == name and name ~= full then
        candidate = full
      else
        count = count + 1
        candidate = ("%s-%d"):format(full, count)
      end
    end
  end
  -- First the clips that are where they were, then those that were moved, then new ones.
  for _, pass in ipairs(owner and { { false, true }, { true, true }, { true, false } }
    or { { false, false } }) do
    for i, path in ipairs(paths) do
      if not list[i] then settle(i, path, pass[1], pass[2]) end
    end
  end
  return list
end

return clips
