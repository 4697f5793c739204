-- Processes the lines that `lunerv repl` reads: gathers them into chunks, runs the chunks, and
-- prints their values.
local bridge <const> = require "lunerv.bridge"
local completion <const> = require "lunerv.repl.completion"
local globalised <const> = require "lunerv.repl.locals"
local native <const> = require "lunerv.native"
local show <const> = require "lunerv.repl.show"
local text <const> = require "lunerv.repl.text"

local session <const> = {}

-- The chunk being read, the number of lines before it, and the source name used in errors.
local lines, before, name = {}, 0, "prompt"

-- Sets the globals of every prompt. The words are the chunk's arguments.
function session.globals(...)
  _G.lv = require "lunerv"
  _G.nn = _G.lv.nn
  -- Loaded on first use: most sessions never need it.
  _G.help = function(...) return require("lunerv.help").show(...) end
  if select("#", ...) > 0 or not rawget(_G, "arg") then _G.arg = { [0] = "lunerv", ... } end
end

function session.begin(source)
  name = source
  session.globals()
end

-- Forgets the chunk that is being read.
function session.drop()
  before, lines = before + #lines, {}
end

-- Compiles a chunk. On failure returns nil, the parser's message, and whether more lines could
-- complete it. The chunk is tried as an expression first.
local function compile(source)
  -- Lines count from the start of the session, so that a function can be found again.
  local padding = ("\n"):rep(before)
  local chunk = load(padding .. "return " .. source, "=" .. name, "t")
  if chunk then return chunk end
  local parsed, complaint = load(padding .. globalised(source), "=" .. name, "t")
  if parsed then return parsed end
  return nil, complaint, tostring(complaint):sub(-5) == "<eof>"
end

-- The lines of a traceback that are the user's own.
local function own_frames(traceback)
  local list = {}
  for line in (traceback or ""):gmatch "[^\n]+" do
    local frame = line:match "^\t(.*)$"
    local foreign = not frame or frame:find "^%[C%]" or frame:find "^lunerv:"
      or frame:find "^%(?%.%.%."
    if not foreign then list[#list + 1] = "  " .. frame end
  end
  return list
end

local function print_error(raised, thread)
  io.stdout:flush()
  local ok, description = pcall(tostring, bridge.error_of(raised))
  local messages = { ok and description or "an error without a message" }
  local frames = thread and own_frames(debug.traceback(thread)) or {}
  -- The message already names the line.
  if #frames > 1 then table.move(frames, 1, #frames, 2, messages) end
  native.stderr(table.concat(messages, "\n") .. "\n")
end

local function show_all(results)
  local colour = text.takes_colour()
  for i = 1, results.n do io.write(show.text(results[i], { colour = colour }), "\n") end
end

local function gather(ok, ...) return ok, table.pack(...) end

-- Runs a chunk in its own coroutine, so that an interrupt leaves nothing half done.
local function run(chunk)
  local thread <close> = setmetatable({ coroutine.create(chunk) }, { __close = function(held)
    coroutine.close(held[1])
  end })
  local ok, results = gather(coroutine.resume(thread[1]))
  if bridge.interrupted() then error(results[1], 0) end
  if ok and coroutine.status(thread[1]) == "suspended" then
    native.stderr(name .. ": a line cannot yield\n")
    return false
  elseif not ok then
    print_error(results[1], thread[1])
    return false
  end
  local shown, problem = pcall(show_all, results)
  if bridge.interrupted() then error(problem, 0) end
  if not shown then print_error(problem) end
  return shown
end

-- The history entry of a chunk: one line where that means the same.
local function remembered(chunk)
  local joined = table.concat(chunk, " ")
  if #chunk == 1 then return joined:find "%S" and { joined } or {} end
  local plain = not joined:find "%-%-" and not joined:find "%[=*%[" and not joined:find "\\ "
  if plain then return { (joined:gsub("%s+", function(space)
    return #space > 2 and " " or space
  end)) } end
  return chunk
end

-- Takes a line; `last` says that it is the last one. Returns "more" if the chunk continues, "done"
-- or "failed", and the lines for the history.
function session.feed(line, last)
  if not last then lines[#lines + 1] = line end
  local source = table.concat(lines, "\n")
  if not source:find "%S" then
    session.drop()
    return "done", {}
  end
  local chunk, message, is_open = compile(source)
  -- An empty line ends a chunk that the parser would continue for ever.
  local gives_up = #lines > 1 and line == "" and lines[#lines - 1] == ""
  if not chunk and is_open and not last and not gives_up then return "more", {} end
  local kept = remembered(lines)
  if not chunk then
    session.drop()
    native.stderr(tostring(message) .. "\n")
    return "failed", kept
  end
  -- An interrupt also ends the chunk.
  session.drop()
  return run(chunk) and "done" or "failed", kept
end

-- What Tab adds to the text before the cursor, and what it shows.
function session.complete(typed)
  local earlier = #lines > 0 and table.concat(lines, "\n") .. "\n" or ""
  return completion.answer(earlier .. typed, text.columns())
end

return session
