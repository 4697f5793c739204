-- A test is a name and a function that raises when something is wrong.
local native <const> = require "lunerv.native"
local video <const> = require "lunerv.video"

local harness <const> = { passed = 0, failed = 0 }

-- The factor of all time limits: sanitizers are slow.
harness.patience = tonumber(os.getenv "LUNERV_TEST_PATIENCE") or 1
-- Whether a sanitizer runs in this process.
harness.is_sanitized = (os.getenv "ASAN_OPTIONS" or os.getenv "TSAN_OPTIONS") ~= nil

function harness.test(name, body)
  local ok, message = xpcall(body, function(problem)
    return debug.traceback(tostring(problem), 2)
  end)
  if ok then
    harness.passed = harness.passed + 1
  else
    harness.failed = harness.failed + 1
    print(("FAIL %s\n%s"):format(name, message))
  end
end

local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local items = {}
  for i, item in ipairs(value) do items[i] = show(item) end
  return "{ " .. table.concat(items, ", ") .. " }"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

function harness.equal(got, expected)
  if not same(got, expected) then
    error(("expected %s, got %s"):format(show(expected), show(got)), 2)
  end
end

function harness.near(got, expected, tolerance)
  local distance = math.abs(got - expected)
  if distance ~= distance or distance > tolerance then
    error(("expected %.17g ± %g, got %.17g"):format(expected, tolerance, got), 2)
  end
end

-- `body` must raise an error whose message holds each of the texts.
function harness.raises(body, ...)
  local ok, message = pcall(body)
  if ok then error("expected an error, none came", 2) end
  for _, text in ipairs { ... } do
    if not tostring(message):find(text, 1, true) then
      error(("expected an error with '%s', got '%s'"):format(text, tostring(message)), 2)
    end
  end
end

-- Runs a script's text with its command line; returns the lines it printed.
function harness.run(text, name, ...)
  local lines = {}
  local environment = setmetatable({
    arg = { [0] = name, ... },
    print = function(...)
      local words = table.pack(...)
      for i = 1, words.n do words[i] = tostring(words[i]) end
      lines[#lines + 1] = table.concat(words, "\t")
    end,
  }, { __index = _G })
  assert(load(text, "@" .. name, "t", environment))()
  return lines
end

-- Writes a clip of six frames of slowly moving bands, 60 by 40.
function harness.bands(path)
  local writer = assert(video.writer(path, { width = 60, height = 40, fps = 25 }))
  local rows = native.arange(1, 40):view(1, 1, 40, 1)
  local columns = native.arange(1, 60):view(1, 1, 1, 60)
  local tints = native.tensor({ 0, 1, 2 }):view(1, 3, 1, 1)
  for i = 1, 6 do
    writer:write((rows * 0.1 + columns * 0.07 + tints + i * 0.2):sin() * 0.4 + 0.5)
  end
  writer:close()
  return path
end

-- A new folder, removed when the variable that holds it goes out of scope:
-- local folder <close> = harness.folder(); folder.path
function harness.folder()
  local path = os.tmpname()
  os.remove(path)
  native.make_dirs(path)
  return setmetatable({ path = path }, {
    __close = function() os.execute(("rm -rf '%s'"):format(path)) end,
  })
end

return harness
