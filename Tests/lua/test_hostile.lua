-- Malicious programs in files, by class: `hostile/` has them. Each is packed into a file and
-- decoded with small limits. It must end with an error that names its section, and not with a
-- crash; this process must not change.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local modelled <const> = require "lunerv.codec.modelled"

local test <const> = harness.test

-- Without the filter of system calls, the other limits must hold:
-- `LUNERV_HOSTILE=unconfined lunerv run Tests/lua/run.lua hostile`.
local is_confined <const> = os.getenv "LUNERV_HOSTILE" ~= "unconfined"

local files <const> = {
  "language", "escapes", "strings", "memory", "work", "views", "operators", "frames", "models",
  "modules",
}

-- The place of a program's text: `chunk` runs when the module is loaded, the others are methods.
local prelude <const> = "local lv <const> = require 'lunerv'; "
local class <const> = prelude .. "local C = lv.nn.class 'C' "
local frame <const> = "function C:forward() return lv.zeros(1, 3, 12, 20) end "
local places <const> = {
  chunk = prelude .. "%s",
  init = class .. frame .. "function C:init(height, width) %s end return C",
  class = class .. frame .. "%s return C",
  forward = class .. "function C:forward(t, i, images) %s end return C",
}

local decoder <const> = 'program@1{"model":{"@":"own","with":[12,20]}}'
local ordered <const> = 'program@1{"model":{"@":"own","with":[12,20]},"group":3}'
local clip <const> = native.lnv_clip(12, 20, 3, 25, {})
local no_weights <const> = native.encode_tensors({}, {}, {})

-- A decoder with one tensor of eight numbers, and its weights by a model that "model" returns.
local weighted <const> = class .. frame
  .. "function C:init() self.w = lv.nn.parameter(lv.zeros(4, 2)) end return C"
local modelled_weights <const> = select(2, modelled.encode("model",
  { family = "laplace", mean = 0, scale = 64 }, { { name = "w", tensor = lv.zeros(4, 2) } },
  { lv.tensor { { 1, -1 }, { 0, 2 }, { 1, 1 }, { 0, -3 } } }, { lv.tensor { 1 } }))

-- The bytes of a file with this program.
local function file_of(program)
  local place, text = program.place or "chunk", program[1]
  local names, sources = { "own" }, {}
  local weights, kind = no_weights, "weights"
  if place == "model" then
    names, sources = { "own", "model" }, { weighted, prelude .. text }
    weights, kind = modelled_weights, "modelled weights"
  elseif place == "ordered" then
    sources[1] = class .. frame .. text .. " return C"
  else
    sources[1] = places[place]:gsub("%%s", function() return text end)
  end
  for name, more in pairs(program.modules or {}) do
    names[#names + 1], sources[#sources + 1] = name, more
  end
  local is_ordered = place == "ordered"
  return native.lnv_pack(
    { "clip", is_ordered and "ordered decoder" or "decoder", "decoder program", kind },
    { clip, program.decoder or is_ordered and ordered or decoder,
      native.lnv_program(names, sources), weights })
end

-- The end of a program, and its message.
local function outcome_of(program)
  local ok, message = pcall(function()
    local video = lv.codec.decode(file_of(program),
      { max_work = program.work or 1e8, max_memory = program.memory or 1 << 26,
        confined = is_confined })
    for i = program.frame or 1, 3 do video:frame(i) end
  end)
  message = tostring(message)
  if ok then return "frames", "frames came" end
  local ends <const> = {
    { "its process crashed", "crash" }, { "its process ended", "crash" },
    { "its process was killed", "crash" }, { "does not answer", "crash" },
    { "seconds of processor time", "time" }, { "(max_work", "work" }, { "memory", "memory" },
    { "too large", "memory" }, { "too many numbers", "memory" },
  }
  for _, known in ipairs(ends) do
    if message:find(known[1], 1, true) then return known[2], message end
  end
  return "error", message
end

-- The bytes that this process has in memory, and its open files.
local function standing()
  collectgarbage()
  local status = assert(lv.read_file "/proc/self/statm")
  return tonumber(status:match "^%d+ (%d+)") * 4096, #assert(lv.list_dir "/proc/self/fd")
end

local outcomes <const> = { "error", "work", "memory", "time", "crash", "frames" }
local table_of_classes, order <const> = {}, {}

local function note(class_name, outcome)
  if not table_of_classes[class_name] then
    table_of_classes[class_name] = { count = 0 }
    order[#order + 1] = class_name
  end
  local row = table_of_classes[class_name]
  row.count = row.count + 1
  row[outcome] = (row[outcome] or 0) + 1
end

local function run(class_name, program)
  local outcome, message = outcome_of(program)
  note(class_name, outcome)
  local expected = program[2]
  local is_named = message:find("section '", 1, true)
  -- Under a sanitizer, some reach the limit of their time before what is expected of them.
  local is_slow = harness.is_sanitized and outcome == "time"
  local is_expected = program.harmless and outcome == "frames"
    or is_named and outcome ~= "crash" and (is_slow or message:find(expected, 1, true))
  if not is_expected then
    error(("%s\n  expected '%s', got (%s) %s"):format(program[1], expected or "frames", outcome,
      message:sub(1, 400)), 0)
  end
end

local memory_before <const>, files_before <const> = standing()

for _, name in ipairs(files) do
  for _, group in ipairs(require("hostile." .. name)) do
    local wrong = {}
    for _, program in ipairs(group.programs) do
      local ok, problem = pcall(run, group.class, program)
      if not ok then wrong[#wrong + 1] = problem end
    end
    test("hostile programs do no harm: " .. group.class, function()
      assert(#wrong == 0, table.concat(wrong, "\n"))
    end)
  end
end

test("hostile programs do not change this process", function()
  local memory, open = standing()
  harness.equal(open, files_before)
  -- An allowance for the libraries' own lists; a program may request a thousand times as much.
  assert(memory - memory_before < 32 << 20, ("%d bytes more"):format(memory - memory_before))
end)

local total = { count = 0 }
print(("%-22s %8s %s"):format("hostile programs", "count",
  (("%8s"):rep(#outcomes)):format(table.unpack(outcomes))))
local function row_of(class_name, row)
  local cells = {}
  for i, outcome in ipairs(outcomes) do
    cells[i] = row[outcome] or 0
    if row ~= total then total[outcome] = (total[outcome] or 0) + cells[i] end
  end
  if row ~= total then total.count = total.count + row.count end
  print(("%-22s %8d %s"):format(class_name, row.count,
    (("%8d"):rep(#outcomes)):format(table.unpack(cells))))
end
for _, class_name in ipairs(order) do row_of(class_name, table_of_classes[class_name]) end
row_of("all", total)
