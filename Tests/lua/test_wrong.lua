-- What users read of their mistakes: the programs of wrong_programs.lua, run by the program itself,
-- each in a process and a folder of its own.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local programs <const> = require "wrong_programs"

local test <const> = harness.test

-- What training needs: lunerv, nn, a class of networks and a clip of two frames.
local toy <const> = [[
local lv = require "lunerv"
local nn = lv.nn
local Net = nn.class "Net"
function Net:init() self.out = nn.Linear(1, 3 * 8 * 8) end
function Net:forward(t) return self.out(t:view(1, 1)):view(1, 3, 8, 8) end
local clip = setmetatable({ height = 8, width = 8, fps = 25 }, { __len = function() return 2 end })
function clip:sample(i)
  return { image = lv.ones(1, 3, 8, 8) * 0.5, t = lv.tensor { i / 2 }, index = i }
end
function clip:frame(i) return self:sample(i).image end
function clip:prefetch() end
return function() return lv, nn, Net, clip end
]]

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function program_path()
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  return pipe:read "l"
end

-- Runs all programs, two at once. Their standard error and exit code are left in FOLDER/i.
local function run_all(folder)
  local numbers = {}
  for i, entry in ipairs(programs) do
    local path = ("%s/%d"):format(folder, i)
    lv.make_dirs(path)
    assert(lv.write_file(path .. "/wrong.lua", entry.text))
    assert(lv.write_file(path .. "/toy.lua", toy))
    if entry.text:find("clip.mkv", 1, true) then
      os.execute(("ln -s ../clip.mkv %s"):format(quoted(path .. "/clip.mkv")))
    end
    numbers[i] = i
  end
  local one = ([[cd "$1" && %s run wrong.lua </dev/null >/dev/null 2>err; echo $? >code]]):format(
    quoted(program_path()))
  os.execute(("cd %s && printf '%%s\\n' %s | xargs -P 2 -I @ sh -c %s sh @"):format(quoted(folder),
    table.concat(numbers, " "), quoted(one)))
end

-- The fault of a program's output, or nil.
local function problem(entry, said, code)
  local line = said:match "[^\n]*"
  local expected = "lunerv: " .. entry.message
  local beginning = expected:match "^(.*)…$"
  local same = line == expected or beginning and line:sub(1, #beginning) == beginning
  if not same then
    return ("%s\n%s\nexpected: %s\ngot:      %s"):format(entry.name, entry.text, expected, line)
  end
  if code ~= entry.code then
    return ("%s\n%s\nexpected exit code %d, got %s"):format(entry.name, entry.text, entry.code,
      code)
  end
  -- What follows is a traceback: one line says it all.
  local rest = said:sub(#line + 2)
  if rest ~= "" and not rest:find "^stack traceback:\n" then
    return ("%s\n%s\nexpected one line, got:\n%s"):format(entry.name, entry.text, said)
  end
end

test("mistakes are reported in one line, with the file, the line and the function", function()
  local folder <close> = harness.folder()
  harness.bands(folder.path .. "/clip.mkv")
  run_all(folder.path)
  local problems = {}
  for i, entry in ipairs(programs) do
    assert(entry.message:find "^[%w_./]+:%d+: ", entry.message)
    local path = ("%s/%d/"):format(folder.path, i)
    local said = assert(lv.read_file(path .. "err"))
    local code = math.tointeger(tonumber((assert(lv.read_file(path .. "code")))))
    problems[#problems + 1] = problem(entry, said, code)
  end
  assert(#programs > 100, #programs)
  assert(#problems == 0, ("%d of %d\n%s"):format(#problems, #programs,
    table.concat(problems, "\n\n")))
end)
