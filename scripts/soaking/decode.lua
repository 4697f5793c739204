-- The decoder of `scripts/soak` that runs all the time: FOLDER. For each line on standard input, a
-- number, it opens all files of the folder again, requests frames in a random order that follows
-- from the number, compares each with its first result, and reports its resources.
local lv <const> = require "lunerv"

lv.set_threads(1)
local folder <const> = arg[1]
local names <const> = { "plain", "segments", "own", "modelled" }

local function open(name, confined)
  local path = ("%s/%s.lnv"):format(folder, name)
  return assert(lv.codec.open(path, { confined = confined }))
end

local first <const> = {}
for _, name in ipairs(names) do
  local video = open(name, false)
  first[name] = {}
  for i = 1, #video do first[name][i] = video:frame(i) end
end

local function random(state) return (state * 6364136223846793005 + 1442695040888963407) end

for line in io.lines() do
  local state, asked = math.tointeger(tonumber(line)), 0
  for k, name in ipairs(names) do
    state = random(state)
    local video = open(name, (state >> 33) % 4 == 0)
    for _ = 1, 2 + k do
      state = random(state)
      local i = (state >> 33) % #video + 1
      local same = video:frame(i):eq(first[name][i]):amin():item()
      if same ~= 1 then error(("frame %d of %s.lnv has changed"):format(i, name)) end
      asked = asked + 1
    end
    local ok = pcall(video.frame, video, #video + 1)
    assert(not ok, "a frame after the last")
  end
  collectgarbage()
  local stats = lv.stats()
  io.write(("held %d %d %.1f %d\n"):format(stats.live_tensors, stats.tape_entries,
    collectgarbage "count", asked))
  io.flush()
end
