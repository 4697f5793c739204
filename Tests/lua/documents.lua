-- What a Markdown document shows, run or checked: its ```lua blocks are scripts, its ```sh blocks
-- command lines.
--
-- A script is kept as the file that its first comment names, "-- wave.lua: …" or
-- "-- lunerv run wave.lua CLIP OUT: …", in one folder, so that a later script can require it; the
-- words after the name are its arguments. A ```text block after a script is its output.
-- A script that cannot be run is marked ```lua no-run, and a comment in it that begins with
-- "not run:" says why.
local commands <const> = require "lunerv.commands"
local errors <const> = require "lunerv.errors"
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local documents <const> = {}

-- The fenced blocks of a text: { language, info, line (of its first line), text, output }.
function documents.blocks(text)
  local blocks, block, number, between = {}, nil, 0, ""
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    local fence = line:match "^```(.*)$"
    if block and fence == "" then
      block.text = table.concat(block, "\n") .. "\n"
      local before = blocks[#blocks]
      -- An output follows its script, with no more than a sentence between them.
      if block.language == "text" and before and before.language == "lua"
        and not between:find "\n\n%S.-\n\n%S"
      then
        before.output = block.text
      end
      blocks[#blocks + 1], block, between = block, nil, ""
    elseif block then
      block[#block + 1] = line
    elseif fence then
      block = { language = fence:match "^%S*", info = fence:match "^%S*%s*(.-)%s*$",
        line = number + 1 }
    else
      between = between .. line .. "\n"
    end
  end
  if block then error(("line %d: the block has no end"):format(block.line)) end
  return blocks
end

-- The file that a script is kept as, and its arguments.
function documents.named(text)
  local words = text:match "^%-%- lunerv run ([^:\n]+)" or text:match "^%-%- ([^%s:]+%.lua)"
  if not words then return "snippet.lua", {} end
  local list = {}
  for word in words:gmatch "%S+" do list[#list + 1] = word end
  return table.remove(list, 1), list
end

-- Whether `printed` is what `expected` says: the same words, numbers within 5 % (processors differ
-- in the last digits), and any number of lines where it says "…".
function documents.alike(printed, expected)
  local function parts(line)
    local numbers = {}
    local words = line:gsub("%d+%.?%d*", function(number)
      numbers[#numbers + 1] = tonumber(number)
      return "#"
    end):gsub("%s+", " ")
    return words, numbers
  end
  local function same(a, b)
    local words, numbers = parts(a)
    local other_words, other_numbers = parts(b)
    if words ~= other_words or #numbers ~= #other_numbers then return false end
    for i, number in ipairs(numbers) do
      if math.abs(number - other_numbers[i]) > 0.05 * math.abs(other_numbers[i]) + 1e-9 then
        return false
      end
    end
    return true
  end
  local got, anything = {}, false
  for line in printed:gmatch "[^\n]+" do got[#got + 1] = line end
  local at = 1
  for line in expected:gmatch "[^\n]+" do
    if line:match "^%s*…%s*$" then
      anything = true
    else
      while anything and got[at] and not same(got[at], line) do at = at + 1 end
      if not got[at] or not same(got[at], line) then
        return false, ("expected '%s', got '%s'"):format(line, got[at] or "no more")
      end
      at, anything = at + 1, false
    end
  end
  if got[at] and not anything then return false, "it prints more: " .. got[at] end
  return true
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
local program <const> = pipe:read "l"

-- Runs a command line of the shell's; what it printed, and its exit code.
local function shell(line)
  local output = assert(io.popen(line))
  local text = output:read "a"
  local _, _, code = output:close()
  return text, code
end

-- What the program prints, on stdout and stderr, and its exit code.
local function lunerv(words)
  local list = {}
  for i, word in ipairs(words) do list[i] = quoted(word) end
  return shell(("%s %s 2>&1"):format(quoted(program), table.concat(list, " ")))
end

-- Runs a script in `folder`; what it printed on stdout and on stderr, and its exit code.
local function run_script(folder, name, arguments)
  local list = { quoted(name) }
  for i, word in ipairs(arguments) do list[i + 1] = quoted(word) end
  local text, code = shell(("cd %s && %s run %s 2>.stderr"):format(quoted(folder), quoted(program),
    table.concat(list, " ")))
  return text, assert(lv.read_file(folder .. "/.stderr")), code
end

-- Runs a script in `folder`; raises where it fails, or prints other than the document says.
-- `stand_for` has the words that stand for an argument.
function documents.run(block, folder, stand_for)
  local name, arguments = documents.named(block.text)
  assert(lv.write_file(folder .. "/" .. name, block.text))
  if block.info == "no-run" then
    if not block.text:find "%-%- not run: %S" then
      error "a script that is not run says why, in a comment that begins with 'not run:'"
    end
    return
  end
  if block.info ~= "" then error(("unknown info '%s'"):format(block.info)) end
  for i, word in ipairs(arguments) do arguments[i] = stand_for and stand_for[word] or word end
  local printed, problem, code = run_script(folder, name, arguments)
  if code ~= 0 then error(problem, 0) end
  if not block.output then return printed end
  local alike, difference = documents.alike(printed, block.output)
  if not alike then error(difference, 0) end
  return printed
end

-- Command lines -------------------------------------------------------------------------------

-- The commands of a shell text as lists of words, with their lines: continued lines are joined,
-- comments left out, and "$name", where `name="…"` stands before it, is what it stands for.
function documents.command_lines(text)
  local list, variables, number, joined, start = {}, {}, 0, "", nil
  for line in text:gmatch "(.-)\n" do
    start, joined, number = start or number, joined .. line, number + 1
    if joined:sub(-1) == "\\" then
      joined = joined:sub(1, -2)
    else
      local name, value = joined:match '^(%w+)="(.*)"$'
      if name then
        variables[name], joined = value, ""
      end
      joined = joined:gsub("^%$(%w+)", variables):gsub("%f[^%s]#.*$", "")
      for command in (joined:gsub("&&", "\n")):gmatch "[^\n|>]+" do
        local words = {}
        for word in command:gmatch "%S+" do
          words[#words + 1] = word:gsub("^['\"](.*)['\"]$", "%1")
        end
        if #words > 0 then list[#list + 1] = { words = words, line = start } end
      end
      start, joined = nil, ""
    end
  end
  return list
end

local parsed <const> = {} -- raised instead of what a command would do

-- Calls `body`, which begins by reading its command line, without what comes after that.
local function read_only(body, ...)
  local options <const> = lv.options
  local parse <const> = options.parse
  options.parse = function(words, spec)
    local own = {}
    for i, word in ipairs(words) do
      -- A user's own recipe does not exist here.
      own[i] = words[i - 1] == "--recipe" and word:find "[./]" and "fast" or word
    end
    parse(own, spec)
    error(parsed)
  end
  local ok, problem = pcall(body, ...)
  options.parse = parse
  if not ok and problem ~= parsed then error(errors.reason(problem), 0) end
end

local subcommands

local function known_subcommands()
  if subcommands then return subcommands end
  subcommands = {}
  local help = lunerv { "help" }:match "Commands:\n(.-)\n\n" or ""
  for name in ("\n" .. help):gmatch "\n  (%l[%w-]*)%f[%s]" do subcommands[name] = true end
  return subcommands
end

-- Raises unless the words of a command line, "lunerv" first, are what the program takes. Scripts
-- are those of the repository at `root`, or in `folder`.
function documents.check(words, root, folder)
  local name <const> = words[2] or error "which command?"
  if name == "--help" or name == "--version" then return end
  if not known_subcommands()[name] and name ~= "help" then
    error(("lunerv has no command '%s'"):format(name), 0)
  end
  local rest = table.move(words, 3, #words, 1, {})
  for _, word in ipairs(rest) do
    if word == "--help" then return end
  end
  if name == "help" and rest[1] then
    local printed, code = lunerv { "help", rest[1] }
    if code ~= 0 then error(printed, 0) end
  elseif commands[name] and rest[1] then
    read_only(commands[name], rest)
  elseif name ~= "run" and name ~= "help" then
    local help = lunerv { name, "--help", "--all" } .. " "
    for _, word in ipairs(rest) do
      local option = word:match "^%-%-[%w-]+"
      if option and not help:find(option:gsub("%-", "%%-") .. "%f[^%w-]") then
        error(("lunerv %s has no option '%s'"):format(name, option), 0)
      end
    end
  end
  if name ~= "run" then return end
  local script
  repeat script = table.remove(rest, 1) until not script or not script:match "^%-"
  if not script then return end -- what -e or -i runs
  local text = lv.read_file(root .. "/" .. script) or lv.read_file(folder .. "/" .. script)
  if not text then error(("there is no script '%s'"):format(script), 0) end
  if not text:find("options.parse(", 1, true) then return end
  read_only(harness.run, text, script, table.unpack(rest))
end

return documents
