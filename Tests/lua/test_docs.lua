-- The scripts and command lines of README.md and of the documents, run and checked.
local documents <const> = require "documents"
local harness <const> = require "harness"
local lv <const> = require "lunerv"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."

-- A folder in which `scripts` is the repository's, and a tiny clip for what says CLIP.
local function workplace()
  local folder = harness.folder()
  local absolute <close> = assert(io.popen(("cd '%s' && pwd"):format(root)))
  assert(os.execute(("ln -s '%s/scripts' '%s'"):format(absolute:read "l", folder.path)))
  harness.bands(folder.path .. "/bands.mkv")
  return folder
end

local stand_for <const> = { CLIP = "bands.mkv", OUT = "out" }

-- Tests of what a document shows, in the folder of its scripts.
local function check_document(path, folder)
  for _, block in ipairs(documents.blocks(assert(lv.read_file(root .. "/" .. path)))) do
    if block.language == "lua" then
      test(("%s:%d runs"):format(path, block.line), function()
        documents.run(block, folder.path, stand_for)
      end)
    elseif block.language == "sh" then
      for _, command in ipairs(documents.command_lines(block.text)) do
        local place = ("%s:%d"):format(path, block.line + command.line)
        if command.words[1] == "lunerv" then
          test(place .. " is understood", function()
            documents.check(command.words, root, folder.path)
          end)
        end
      end
    end
  end
end

-- The checks themselves -----------------------------------------------------------------------

local function one(text) return documents.blocks(text)[1] end

test("blocks are found, with their lines and what they print", function()
  local blocks = documents.blocks("a\n```lua\nprint(1)\n```\nIt prints\n\n```text\n1\n```\n"
    .. "```sh\nls\n```\n")
  equal({ #blocks, blocks[1].line, blocks[1].output, blocks[3].text }, { 3, 3, "1\n", "ls\n" })
  raises(function() documents.blocks "```lua\n" end, "has no end")
end)

test("a script is kept under the name it gives itself", function()
  local name, words = documents.named "-- lunerv run fit.lua CLIP OUT: fits\n"
  equal({ name, words }, { "fit.lua", { "CLIP", "OUT" } })
  equal((documents.named "-- wave.lua: a decoder\n"), "wave.lua")
  equal((documents.named "local a\n"), "snippet.lua")
end)

test("a script that fails, or prints something else, is reported", function()
  local folder <close> = harness.folder()
  local path = folder.path
  raises(function() documents.run(one "```lua\n\nnil_value()\n```\n", path) end, "snippet.lua:2")
  local block = one "```lua\nprint('psnr 20.10 dB')\n```\n\n```text\npsnr 20.00 dB\n```\n"
  documents.run(block, path)
  block.output = "psnr 25.00 dB\n"
  raises(function() documents.run(block, path) end, "expected 'psnr 25.00 dB'")
  raises(function() documents.run(one "```lua no-run\nprint(1)\n```\n", path) end, "says why")
end)

test("lines may be left out of what is printed", function()
  equal({ documents.alike("a\nb\nc 1\n", "a\n…\nc 1\n") }, { true })
  equal((documents.alike("a\nb\n", "a\n")), false)
  equal((documents.alike("a\n", "a\nb\n")), false)
  equal((documents.alike("1 x\n", "1 y\n")), false)
end)

test("command lines are split as a shell does", function()
  local list = documents.command_lines(
    'a="lunerv run x.lua"\n$a --y  # z\nlunerv info \\\n  f && ls\n')
  equal(#list, 3)
  equal({ list[1].words, list[1].line }, { { "lunerv", "run", "x.lua", "--y" }, 1 })
  equal({ list[2].words, list[2].line }, { { "lunerv", "info", "f" }, 2 })
end)

test("a command line with unknown words is reported", function()
  local function check(line)
    documents.check(documents.command_lines(line .. "\n")[1].words, root, "/nowhere")
  end
  check "lunerv compress clip.mp4 -o clip.lnv --bpp 0.1 --recipe ./mine.lua"
  check "lunerv run scripts/regress.lua clip.mp4 --out run --epochs 3"
  check "lunerv bench --quality clip.mp4 --head-scale 2"
  raises(function() check "lunerv comprss clip.mp4" end, "no command 'comprss'")
  raises(function() check "lunerv compress clip.mp4 -o a.lnv --bp 1" end, "unknown option '--bp'")
  raises(function() check "lunerv bench --qualty clip.mp4" end, "no option '--qualty'")
  raises(function() check "lunerv help nn.Konv" end, "nn.Konv")
  raises(function() check "lunerv compress clip.mp4" end, "--output is missing")
  raises(function() check "lunerv run scripts/regress.lua c.mp4 --out r --gop 3" end, "'--gop'")
  raises(function() check "lunerv run scripts/batch.lua clips --out r --gap=3" end, "'--gap'")
  raises(function() check "lunerv run none.lua" end, "no script 'none.lua'")
end)

-- The documents -------------------------------------------------------------------------------

local chapters <const> = { "1-first-fit", "2-your-own-block", "3-loss-schedule-recipe",
  "4-your-own-pipeline", "5-a-hundred-clips" }

do
  local folder <close> = workplace() -- a chapter uses the files of previous ones
  for _, name in ipairs(chapters) do
    check_document("stdlib/docs/tutorial/" .. name .. ".md", folder)
  end
end

do
  local folder <close> = workplace()
  check_document("stdlib/docs/cookbook.md", folder)
end

-- The port from PyTorch, with the files that scripts/bench/make_porting.py made of its Python.
do
  local folder <close> = workplace()
  for _, name in ipairs { "decoder.pth", "decoder.safetensors", "expected.safetensors" } do
    local bytes = assert(lv.read_file(("%s/Tests/lua/files/porting/%s"):format(root, name)))
    assert(lv.write_file(folder.path .. "/" .. name, bytes))
  end
  check_document("stdlib/docs/porting.md", folder)
  if os.execute "command -v python3 >/dev/null" then
    test("porting.md's checkpoint becomes the weights that its scripts load", function()
      assert(os.execute(("cd '%s' && python3 -B scripts/pth2safetensors.py decoder.pth again "
        .. "--strip-prefix module. >/dev/null 2>&1"):format(folder.path)))
      equal(lv.read_file(folder.path .. "/again"),
        lv.read_file(folder.path .. "/decoder.safetensors"))
    end)
  else
    print "skipped: the checkpoint of porting.md (no python3)"
  end
end

for _, name in ipairs { "cluster", "embedding", "experiments", "guide", "results", "security",
  "speed" } do
  local folder <close> = workplace()
  check_document("stdlib/docs/" .. name .. ".md", folder)
end

do
  local folder <close> = workplace()
  check_document("README.md", folder)
  test("the README's script resumes", function()
    local block = { text = assert(lv.read_file(folder.path .. "/fit.lua")), info = "" }
    local metrics = assert(lv.read_file(folder.path .. "/out/metrics.json"))
    local printed = documents.run(block, folder.path, stand_for)
    local psnr = tonumber(printed:match "psnr ([%d.]+) dB[^\n]*\n$")
    assert(psnr > 15 and not printed:find "epoch 1:", printed)
    harness.near(psnr, lv.json.decode(metrics).psnr, 0.01)
  end)
end

-- Links -----------------------------------------------------------------------------------------

-- The anchors of a document: its headings as GitHub names them, and explicit ones.
local function anchors_of(text)
  local found = {}
  for heading in ("\n" .. text):gmatch "\n#+ +([^\n]+)" do
    local name = heading:gsub("%[(.-)%]%b()", "%1"):lower():gsub("[^%w%s_\128-\255-]", "")
    found[(name:gsub("%s", "-"))] = true
  end
  for name in text:gmatch '<a id="([^"]+)"' do found[name] = true end
  return found
end

-- The links of a document that lead nowhere. `read` returns a file's text.
local function dead_links(path, read)
  local folder, dead = path:match "^(.*)/[^/]*$", {}
  for link in read(path):gsub("\n```.-\n```", ""):gsub("`[^`\n]*`", "")
    :gmatch "%]%(([^)%s]+)%)"
  do
    local file, anchor = link:match "^([^#]*)#?(.*)$"
    local target = file == "" and path or folder .. "/" .. file
    if not link:match "^%a+:" and (not lv.exists(target)
      or anchor ~= "" and not anchors_of(read(target))[anchor])
    then
      dead[#dead + 1] = ("%s: %s"):format(path, link)
    end
  end
  return dead
end

test("links in documents lead somewhere", function()
  local texts = {}
  local function read(path)
    texts[path] = texts[path] or assert(lv.read_file(path))
    return texts[path]
  end
  local list <close> = assert(io.popen(("find '%s' -name '.*' ! -path '%s' -prune -o "
    .. "-name '*.md' -print"):format(root, root)))
  local dead, count = {}, 0
  for path in list:lines() do
    count = count + 1
    for _, link in ipairs(dead_links(path, read)) do dead[#dead + 1] = link end
  end
  equal(dead, {})
  assert(count > 30, count)

  local folder <close> = harness.folder()
  local path = folder.path .. "/a.md"
  assert(lv.write_file(path, "# A `b`: c\n[1](#a-b-c) [2](#d) [3](none.md) [4](a.md#a-b-c)\n"))
  equal(#dead_links(path, function(name) return assert(lv.read_file(name)) end), 2)
end)
