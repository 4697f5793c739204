-- The help of all commands and scripts: one screen, and with --all every option once, by group.
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local shell <const> = require "lunerv.shell"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test
local options <const> = lv.options

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function output(command)
  local pipe = assert(io.popen(command .. " 2>&1 </dev/null"))
  local text = pipe:read "a"
  local _, _, code = pipe:close()
  return text, code
end

local program
do
  local pipe <close> = assert(io.popen "readlink /proc/$PPID/exe")
  program = quoted(pipe:read "l")
end

-- Raises unless a text fits a terminal.
local function check_screen(name, text)
  local lines = 0
  for line in text:gmatch "([^\n]*)\n" do
    lines = lines + 1
    if utf8.len(line) > 80 then error(("%s: %d columns: %s"):format(name, utf8.len(line), line)) end
    if line:match "%s$" then error(name .. ": a line ends with a space: " .. line) end
  end
  if lines > 24 then error(("%s: %d lines"):format(name, lines)) end
end

-- The long options that begin a line of help, and the headings of the groups.
local function listed(text)
  local names, headings = {}, {}
  for line in text:gmatch "([^\n]*)\n" do
    if utf8.len(line) > 80 then error("more than 80 columns: " .. line) end
    local name = line:match "^  %-%a, %-%-([%w-]+)" or line:match "^  %-%-%[no%-%]([%w-]+)"
      or line:match "^  %-%-([%w-]+)"
    if name then names[#names + 1] = name end
    headings[#headings + 1] = line:match "^(%u[%l ]+):$"
  end
  table.sort(names)
  return names, headings
end

local function sorted(names)
  table.sort(names)
  return names
end

-- Raises unless the headings stand in the order of `known`, after those that it does not have.
local function check_order(name, headings, known)
  local last = 0
  for _, heading in ipairs(headings) do
    local place = 0
    for i, title in ipairs(known) do
      if title == heading then place = i end
    end
    if place < last or place == last and last > 0 then
      error(("%s: '%s' is out of order"):format(name, heading))
    end
    last = place
  end
end

local groups <const> = { "Input and output", "Quality and size", "Model", "Training", "Compression",
  "Segments", "Machine", "Help" }

-- The long options of the catalogue for a command, and --help.
local function of_catalogue(command)
  local names = { "help" }
  for _, option in ipairs(options.catalogue) do
    for _, name in ipairs(option.commands or {}) do
      if name == command then names[#names + 1] = (option.name:gsub("_", "-")) end
    end
  end
  return sorted(names)
end

-- The pages of a program: short and whole, the latter in both orders of the words.
local function check_pages(name, command)
  local short, code = output(command .. " --help")
  equal({ name, code }, { name, 0 })
  check_screen(name, short)
  assert(short:match "^usage: ", name)
  local all = output(command .. " --help --all")
  equal(output(command .. " --all --help"), all)
  local names, headings = listed(all)
  check_order(name, headings, groups)
  return names, short
end

test("every script has a screen of help, and every option once with --all", function()
  local scripts, with_options = { "examples/field/encode.lua" }, 0
  for _, name in ipairs(assert(native.list_dir(root .. "/scripts"))) do
    if name:match "%.lua$" then scripts[#scripts + 1] = name end
  end
  local commands = { ["examples/field/encode.lua"] = "encode_field" }
  for _, name in ipairs(scripts) do
    local command = commands[name] or name:match "^(.*)%.lua$"
    local path = quoted(root .. "/scripts/" .. name)
    local names, short = check_pages(name, program .. " run " .. path)
    local expected = of_catalogue(command)
    if name == "batch.lua" then
      -- --share and --deadline, about clips here, stand for those of compress.
      expected = { "jobs", "retries", "part", "merge" }
      for _, option in ipairs(of_catalogue "compress_file") do
        if option ~= "output" and option ~= "json" then expected[#expected + 1] = option end
      end
      table.sort(expected)
    end
    equal(names, expected)
    if #names > 1 then with_options = with_options + 1 end
    if #names > 24 then
      assert(short:find(("--help --all shows all %d options.\n"):format(#names), 1, true), short)
    end
  end
  assert(#scripts >= 12 and with_options >= 9, with_options)
end)

test("every command has a screen of help, and every option once with --all", function()
  local list = output(program .. " --help")
  check_screen("lunerv", list)
  equal(output(program .. " help"), list)
  equal(output(program), list)
  local commands = {}
  for name in list:match "Commands:\n(.-)\n\n":gmatch "\n?  (%l+) [^\n]*" do
    commands[#commands + 1] = name
  end
  equal(commands, { "run", "repl", "compress", "decompress", "info", "eval", "report", "bench",
    "doctor", "completion", "help" })
  local of = { compress = "compress_file", decompress = "decompress", info = "info", eval = "eval",
    report = "report" }
  local own = {
    run = { "code", "help", "interactive", "profile", "profile-json", "watch" },
    repl = { "help" }, doctor = { "help", "json", "timing" }, completion = { "help" },
    help = { "annotations", "help", "reference" },
    bench = { "algorithms", "compiled", "decode", "from", "head-scale", "help", "json", "kernels",
      "loss", "markdown", "minutes", "model", "no-torch", "python", "quality", "ranks", "save",
      "scripts", "size", "steps", "svg", "threads", "to", "train", "work" },
  }
  for _, name in ipairs(commands) do
    local names, short = check_pages("lunerv " .. name, program .. " " .. name)
    equal(names, of[name] and of_catalogue(of[name]) or own[name])
    assert(short:find("usage: lunerv " .. name, 1, true) == 1, short)
    equal(output(program .. " help " .. name), short)
    equal(output(program .. " help " .. name .. " --all"),
      output(program .. " " .. name .. " --help --all"))
  end
  equal(select(2, output(program .. " help nothing-of-that-name")), 2)
  equal(select(2, output(program .. " run --all")), 2)
  equal(select(2, output(program .. " compress --all")), 2)
  assert(output(program .. " --version"):match "%d+%.%d+%.%d+")
end)

test("the other scripts have a screen of help", function()
  for _, name in ipairs { "faults", "fetch-samples", "figures", "fuzz", "install",
    "pth2safetensors.py", "quickstart", "ranks", "setup", "soak", "test" } do
    local text, code = output("timeout 60 " .. quoted(root .. "/scripts/" .. name) .. " --help")
    equal({ name, code }, { name, 0 })
    check_screen(name, text)
    assert(#text > 100, text)
  end
end)

test("help goes to the script that the word follows", function()
  local folder <close> = harness.folder()
  local path = folder.path .. "/words.lua"
  assert(lv.write_file(path, "print(table.concat(arg, ' '))"))
  local run <const> = program .. " run "
  equal(output(run .. quoted(path) .. " --help --all"), "--help --all\n")
  equal(output(run .. "-e 'print(...)' -- --help"), "--help\n")
  assert(output(run .. "-e 'print(...)' --help"):match "^usage: lunerv run")
end)

-- What a script declares itself.
local spec <const> = {
  usage = "mine.lua CLIP [options]", about = "First.\nSecond,\n  name   " .. ("word "):rep(30),
  details = "More.", positional = { "clip" }, optional = { "second" },
  options = {
    { name = "tries", short = "t", type = "integer", default = 3, doc = "number of runs",
      group = "Search" },
    { name = "kind_of", type = "choice", choices = { "wide", "deep" }, doc = "shape" },
    { name = "quiet", type = "boolean", common = false, doc = "print nothing" },
    { name = "threads", type = "integer", most = 2, doc = "threads of mine", group = "Machine" },
  },
}

local function parsed(...) return options.parse({ ... }, spec) end

test("a script declares options of its own", function()
  local o, typed = parsed("a.mkv", "--tries=5", "--kind-of", "deep", "--no-quiet")
  equal({ o.clip, o.second, o.tries, o.kind_of, o.quiet, o.model },
    { "a.mkv", nil, 5, "deep", false, nil })
  equal(typed, { { name = "tries", "--tries=5" }, { name = "kind_of", "--kind-of", "deep" },
    { name = "quiet", "--no-quiet" } })
  equal({ parsed("a", "b").second, parsed("a", "-t", "9").tries, parsed("a").tries },
    { "b", 9, 3 })
  raises(function() parsed("a", "b", "c") end, "unexpected argument 'c'")
  raises(function() parsed() end, "CLIP is missing")
  raises(function() parsed("a", "--tries", "0") end, "--tries", "at least 1")
  raises(function() parsed("a", "--kind-of", "dee") end, "--kind-of", "deep, wide")
  raises(function() parsed("a", "--threads", "3") end, "--threads", "at most 2")
  raises(function() parsed("a", "--trie", "3") end, "'--trie'", "did you mean '--tries'")
  raises(function() parsed("a", "--all") end, "'--all'")
  for _, wrong in ipairs { { name = "A b", type = "string" }, { name = "a" }, { type = "string" },
    { name = "a", type = "text" } } do
    raises(function() options.parse({}, { usage = "", options = { wrong } }) end, "options.parse")
  end
end)

test("an option of a script replaces one of the catalogue, and some are left out", function()
  local with <const> = { command = "regress", usage = "x", about = "y", positional = {},
    without = { "json", "epochs" }, options = spec.options }
  local names = listed(options.help(with, true))
  local seen = {}
  for _, name in ipairs(names) do seen[name] = (seen[name] or 0) + 1 end
  equal({ seen.threads, seen.epochs, seen.tries, seen.lr }, { 1, nil, 1, 1 })
  local o = options.parse({ "--threads", "2" }, with)
  equal({ o.threads, o.epochs, o.tries, o.lr }, { 2, nil, 3, 0.003 })
  raises(function() options.parse({ "--epochs", "2" }, with) end, "'--epochs'")
end)

test("help shows groups in the order of all, and own ones first", function()
  local _, headings = listed(options.help(spec, true))
  equal(headings, { "Search", "Options", "Machine", "Help" })
  local short = options.help({ command = "compress_file", usage = "x", about = "y",
    options = spec.options })
  assert(short:find("--tries N", 1, true) and not short:find("--[no-]quiet", 1, true), short)
  assert(not short:find("Machine:", 1, true) and not short:find("--rdo", 1, true), short)
end)

test("help wraps at 80 columns, with a hanging indent", function()
  local text = options.help(spec, true)
  assert(text:find("\n\nFirst. Second,\n  name   word word", 1, true), text)
  assert(text:find("\n         word", 1, true), text)
  listed(text)
  check_screen("mine.lua", options.help(spec))
  local _, headings = listed(options.help({ command = "compress_file", usage = "x" }, true))
  equal(headings, groups)
end)

test("a man page and completion have the options that only --all shows", function()
  local names = {}
  for _, entry in ipairs(shell.catalogue_options "compress_file") do
    names[entry.names[1]] = entry
  end
  assert(names["--rdo"] and not names["--rdo"].common)
  assert(output(program .. " completion man"):find("\\fB\\-\\-rdo\\fR", 1, true))
  assert(output(program .. " completion words -- bench --alg"):match "^%-%-algorithms\t")
end)
