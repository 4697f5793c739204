-- Files of every form ever written decode to what they did, and every form has a file.
local harness <const> = require "harness"
local layout <const> = require "lunerv.codec.layout"
local lv <const> = require "lunerv"
local bridge <const> = require "lunerv.bridge"
local models <const> = require "lunerv.models"
local native <const> = require "lunerv.native"
local pinned <const> = require "pinned"
local required_level <const> = require "lunerv.codec.required_level"
local Module <const> = require "lunerv.nn.module"

local equal <const>, raises <const> = harness.equal, harness.raises
local test <const> = harness.test

local manifest <const> = pinned.manifest()

-- The content of files, by name: sections in their forms, and the sources of their programs.
local held <const> = {}
for _, entry in ipairs(manifest.files) do
  local bytes = assert(lv.read_file(pinned.path(entry.name, "lnv")))
  local info, shared = layout.read(bytes)
  local program = shared["decoder program"]
  local sources = program and select(2, native.lnv_read_program(program)) or {}
  held[entry.name] = { bytes = bytes, info = info, shared = shared, sources = sources }
end

for _, entry in ipairs(manifest.files) do
  test(("%s decodes as it did: %s"):format(entry.name, entry.form), function()
    local path = pinned.path(entry.name, "lnv")
    equal(pinned.digest(held[entry.name].bytes), entry.file)
    local frames, sums, video = pinned.frames(path)
    equal({ #video, video.width, video.height, video.level },
      { entry.size[1], entry.size[2], entry.size[3], entry.level })
    equal(video.timestamps, entry.times)
    equal(pinned.symbols(held[entry.name].bytes), entry.symbols)
    local count = frames:numel() // #video
    for i, sum in ipairs(sums) do
      if not pinned.near(sum, entry.sums[i], count) then
        error(("frame %d: its sum was %.17g, now it is %.17g"):format(i, entry.sums[i], sum))
      end
    end
    local picture = assert(lv.image.read(pinned.path(entry.name, "png")))
    local agree, distance = pinned.agree(frames, picture)
    if not agree then error(("a number is %.3f levels from its picture"):format(distance)) end
  end)
end

test("files from before the first version are rejected, not taken for others", function()
  assert(#manifest.refused > 0)
  for _, entry in ipairs(manifest.refused) do
    local bytes = assert(lv.read_file(pinned.path(entry.name, "lnv")))
    equal(pinned.digest(bytes), entry.file)
    raises(function() lv.codec.decode(bytes) end, entry.message)
  end
end)

-- Missing files -------------------------------------------------------------------------------

-- Fails for the first of `names` without a file: pin.lua adds one.
local function all_held(what, names, has)
  for _, name in ipairs(names) do
    local found = false
    for _, file in pairs(held) do found = found or has(file, name) end
    if not found then
      error(("no file in files/versions has %s '%s': add one by pin.lua"):format(what, name))
    end
  end
end

-- Whether one of a file's decoders contains a pattern.
local function in_decoders(file, pattern)
  for _, segment in ipairs(file.info.segments) do
    if segment.sections.decoder:find(pattern) then return true end
  end
  return false
end

test("every kind of section, and every level, has a file", function()
  local kinds, highest = native.lnv_kinds()
  all_held("a section", kinds, function(file, name)
    local names = native.lnv_unpack(file.bytes)
    for _, held_name in ipairs(names) do
      if held_name == name then return true end
    end
    return false
  end)
  for level = 1, highest do
    all_held("level", { level }, function(file, wanted) return file.info.level == wanted end)
  end
end)

test("every decoder of the library has a file, in each of its versions", function()
  local names = {}
  for _, kind in ipairs(models.kinds) do
    for version = 1, 4 do names[#names + 1] = kind .. "@" .. version end
  end
  names[#names + 1] = "program@1"
  all_held("the decoder", names, function(file, name)
    return in_decoders(file, "^" .. name .. "{")
  end)
end)

test("every form within a section has a file", function()
  local function has(what, is_there)
    all_held("this", { what }, function(file) return is_there(file.info, file.shared, file) end)
  end
  has("times of their own", function(info) return info.timestamps ~= nil end)
  has("a constant rate", function(info) return info.timestamps == nil end)
  -- Bits of each segment in the table of segments; an empty list for a clip of one segment.
  local function parts_of(file)
    local table_of_segments = file.shared.segments
    if not table_of_segments then return {} end
    return (select(2, native.lnv_read_segments(table_of_segments, file.info.frames)))
  end
  local function has_part(file, bit, value)
    for _, part in ipairs(parts_of(file)) do
      if part & bit == value then return true end
    end
    return false
  end
  has("a segment with the previous one's decoder", function(_, _, file)
    return has_part(file, 1, 0)
  end)
  has("a segment with constants", function(_, _, file) return has_part(file, 2, 2) end)
  has("segments with and without embeddings", function(_, _, file)
    return has_part(file, 4, 4) and has_part(file, 4, 0)
  end)
  for _, option in ipairs { "conditioning", "out_image", "act", "dec_blks", "ks", "reduce",
    "enc_strides", "head_scale", "static_dim", "static_knots", "static_reach", "lower_width",
    "pe_levels", "pe_base", "ch_t", "block_dim", "stem_dim", "widths" }
  do
    has("option " .. option, function(_, _, file)
      return in_decoders(file, '"' .. option .. '"')
    end)
  end
  for _, key in ipairs { "embedding", "group" } do
    has("program@1 with " .. key, function(_, _, file)
      return in_decoders(file, '^program@1.*"' .. key .. '"')
    end)
  end
  has("a module that requires another", function(_, _, file) return #file.sources > 1 end)
  has("a custom boosted decoder", function(_, _, file)
    return in_decoders(file, '"lunerv%.nn%.Boosted"') or in_decoders(file, '"lunerv%.nn%.boost"')
  end)
end)

-- Names and levels ----------------------------------------------------------------------------

test("every name that programs may use has a level", function()
  local function compare(what, names, lists)
    local listed = {}
    for _, list in pairs(lists) do
      for _, name in ipairs(list) do
        if listed[name] then error(("required_level.lua has %s '%s' twice"):format(what, name)) end
        listed[name] = true
      end
    end
    for _, name in ipairs(names) do
      if not listed[name] then
        error(("required_level.lua does not say of which level %s '%s' is"):format(what, name))
      end
      listed[name] = nil
    end
    local gone = next(listed)
    if gone then error(("%s '%s' is gone"):format(what, gone)) end
  end
  local pure, of_tensors, classes, of_modules = { "options", "func", "checkpoint" }, {}, {}, {}
  local is_pure = {}
  for _, name in ipairs(native.pure_operators) do
    pure[#pure + 1], is_pure[name] = name, true
  end
  -- Its further results are fields: no program could do without them.
  local fields = { shape = true, dtype = true, grad = true, requires_grad = true, is_leaf = true,
    pointer = true }
  for name in next, (bridge.class_members(lv.zeros(1))) do
    if not is_pure[name] and not fields[name] and name:sub(1, 2) ~= "__" then
      of_tensors[#of_tensors + 1] = name
    end
  end
  for name in pairs(lv.nn) do classes[#classes + 1] = name end
  for name, value in next, Module do
    if type(value) == "function" and name ~= "forward" and name ~= "init"
      and name:sub(1, 2) ~= "__"
    then
      of_modules[#of_modules + 1] = name
    end
  end
  compare("lv's", pure, required_level.names.lv)
  compare("a tensor's", of_tensors, required_level.names.tensor)
  compare("lv.nn's", classes, required_level.names.nn)
  compare("a module's", of_modules, required_level.names.module)
end)

test("every operator and class of lv.nn has a file whose program uses it", function()
  local used = {}
  for _, file in pairs(held) do
    for _, source in ipairs(file.sources) do
      source = source:gsub("%-%-[^\n]*", "")
      for name in source:gmatch "[.:]%s*([%a_][%w_]*)" do used[name] = true end
    end
    for name in file.info.decoder:gmatch '"lunerv%.nn%.([%w_]+)"' do used[name] = true end
  end
  for _, list in ipairs { required_level.names.lv, required_level.names.nn } do
    for _, names in pairs(list) do
      for _, name in ipairs(names) do
        if not used[name] then
          error(("no program in files/versions uses '%s': add one by pin.lua"):format(name))
        end
      end
    end
  end
end)

test("the level that a program needs follows from its tokens", function()
  for _, case in ipairs {
    { 1, 'local lv = require "lunerv" return lv.zeros(2):abs()' },
    { 1, '-- lv.topk\nlocal s = "lv.topk(x)" --[[ x:topk() ]] return [==[ x:topk() ]==]' },
    { 1, "local a = 'it\\'s x:roll(1)'" }, { 4, "local a = 'it\\'s' x:roll(1)" },
    { 4, "x:topk(2)" }, { 4, 'lv["topk"](x, 2)' }, { 3, "x:reshape(2)" },
    { 4, 'local L <const> = require("lunerv") local f = L.flip' },
    { 4, "local ops = given.lv ops.flip(x, 1)" },
    { 1, "local o = {} print(o.flip, o.sort)" }, { 1, "math.max(1, 2) y = frame.t" },
    { 1, "function X:sort() end function X:f() self:sort() end" }, { 4, "x:sort()" },
    { 3, "x[{ 1, 2 }] = 1" }, { 1, "local a = { { 1 }, [{}] = 2 }" },
    { 3, "local act = lv.nn.GELU()" }, { 4, "local nn = lv.nn nn.Conv3d(1, 1)" },
    { 4, "nn.Conv2d(1, 2, { kernel = 3, dilation = 2 })" },
    { 1, "nn.Conv2d(1, 2, { kernel = 3, padding = 1 })" },
    { 3, "x:sum { dim = 2 }" }, { 3, "x:sum(2, { keepdim = true })" },
    { 1, "x:sum(f({ keepdim = true }))" }, { 1, "x:sum(2) y = { keepdim = true }" },
    { 1, 'x:to "f32" x:clone()' }, { 3, "m:apply(f)" },
  } do
    local level, name = required_level.of_program { case[2] }
    if level ~= case[1] then
      error(("level %d for '%s' (%s), expected %d"):format(level, case[2], name, case[1]))
    end
  end
  -- Hostile sources are read in one pass.
  equal((required_level.of_program { ("conv2d("):rep(1 << 16) .. ("{"):rep(1 << 16) }), 1)
  equal((required_level.of_program { "[==[", "'", "--[[", "x:", "" }), 1)
end)

test("files of old names keep the level that they had", function()
  for name, file in pairs(held) do
    local names, payloads = native.lnv_unpack(file.bytes)
    local again = layout.pack(names, payloads)
    -- Files from before names had levels may state too low a level.
    local said = again:byte(6)
    if said == file.bytes:byte(6) then
      equal(pinned.digest(again), pinned.digest(file.bytes))
    elseif said < file.bytes:byte(6) then
      error(("%s: level %d became %d"):format(name, file.bytes:byte(6), said))
    end
    if file.info.level == 1 and #file.sources > 0 then
      equal((required_level.of_program(file.sources)), 1)
    end
  end
end)

test("a file says the level that its program, or its decoder, needs", function()
  local workshop <const> = require "workshop"
  local source = [[
local lv <const> = require "lunerv"
local Own = lv.nn.class "Own"
function Own:init(height, width)
  self.cells = { height // 4, width // 4 }
  self.stem = lv.nn.Linear(1, 4 * self.cells[1] * self.cells[2])
  self.head = lv.nn.Conv2d(4, 48, { kernel = 3, padding = 1 })
end
function Own:forward(t)
  local x = self.stem(lv.full(t, 1, 1)):view(1, 4, self.cells[1], self.cells[2])
  return lv.nn.out_image(self.head(x):pixel_shuffle(4)USE)
end
return Own
]]
  for level, use in pairs { [1] = "", [3] = " + lv.linspace(0, 0.1, 20)", [4] = ":roll(1, 4)" } do
    local folder <close> = workshop.modules { own = source:gsub("USE", use) }
    local clip <close> = workshop.clip(folder)
    local small = lv.compress.cem(require "own"(12, 20), { clip = clip })
    local path = folder.path .. "/own.lnv"
    local plain = { clip = clip, families = { "gaussian", "laplace", "adaptive" } }
    assert(lv.codec.write(path, small, plain))
    equal(assert(lv.codec.info(path)).level, level)
    -- Joined files need the highest level of their parts.
    local joined = folder.path .. "/joined.lnv"
    assert(lv.codec.join(joined, { path, path }))
    equal(assert(lv.codec.info(joined)).level, level)
  end
  local folder <close> = harness.folder()
  local clip <close> = workshop.clip(folder)
  for _, case in ipairs { { 1, {} }, { 2, { head_scale = 2 } }, { 4, { static_dim = 1 } },
    { 4, { static_dim = 1, static_path = { 0, 0, 2, 1 } } } }
  do
    local level, o = table.unpack(case)
    o.clip, o.fc_dim, o.enc_dim, o.strides = clip, 4, { 4, 2 }, { 2, 2 }
    local small = lv.compress.cem(lv.models.hnerv(o), { clip = clip })
    local bytes = lv.codec.encode(small, { clip = clip, families = { "gaussian" } })
    equal(bytes:byte(6), level)
  end
end)
