-- The prompt's parts: what values look like, what Tab adds, locals that stay, reloading.
local completion <const> = require "lunerv.repl.completion"
local globalised <const> = require "lunerv.repl.locals"
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local show <const> = require "lunerv.repl.show"

local equal <const>, test <const> = harness.equal, harness.test

local function shown(value) return show.text(value, { width = 80 }) end

test("values are shown as Lua writes them", function()
  equal(shown "a\"b\n\27[0m\xFFé", '"a\\"b\\n\\x1B[0m\\xFFé"')
  equal(shown(2.0), "2.0")
  equal(shown(0 / 0), "nan")
  equal(shown { 1, { b = true, a = "x" }, z = 3, [10] = false, ["not a name"] = {} },
    '{ 1, { a = "x", b = true }, [10] = false, ["not a name"] = {}, z = 3 }')
  local loop = { name = "loop" }
  loop.self = loop
  equal(shown(loop), '{ name = "loop", self = { … itself } }')
  local long = {}
  for i = 1, 100 do long[i] = i end
  assert(shown(long):find("… 60 more", 1, true))
  assert(shown(("x"):rep(5000)):find "%(5000 bytes%)$")
end)

test("tensors are rows with a line about them", function()
  equal(shown(lv.tensor { { 1, 2 }, { 3, 4.5 } }),
    "1.0000  2.0000\n3.0000  4.5000\nf32 (2, 2)  min 1  max 4.5  mean 2.625")
  equal(shown(lv.tensor { 1, 2, 3 }), "1  2  3\nf32 (3)  min 1  max 3  mean 2")
  local large = shown(lv.zeros(2, 5, 100, 200))
  assert(large:find("(1, 3, :, :)", 1, true) and large:find("… 7 more", 1, true), large)
  for line in large:gmatch "[^\n]+" do assert(#line <= 90, line) end
  equal(shown(lv.zeros(0, 3)), "no elements\nf32 (0, 3)")
  assert(shown(lv.tensor { 1 / 0, 0 / 0 }):find "inf  nan")
  local narrow = show.text(lv.zeros(3, 50) + 1e7, { width = 40 })
  for line in narrow:gmatch "[^\n]+" do
    assert(utf8.len(line) <= 40 or line:find "mean", narrow)
  end
end)

test("modules are trees", function()
  local model = lv.nn.Sequential { lv.nn.Linear(2, 3), lv.nn.Linear(3, 1) }
  equal(shown(model), table.concat({
    "Sequential         13",
    "  [1] Linear        9",
    "    weight (3, 2)   6",
    "    bias (3)        3",
    "  [2] Linear        4",
    "    weight (1, 3)   3",
    "    bias (1)        1",
    "13 parameters" }, "\n"))
end)

local function candidates(typed) return (completion.candidates(typed)) end

test("Tab knows names, methods, options and files", function()
  rawset(_G, "lv", lv) -- as at the prompt
  equal(candidates "lv.conv2", { "conv2d" })
  equal(candidates "local y = lv.ne", { "ne", "neg" })
  equal(candidates "lv.sched", { "schedule" })
  equal(candidates "lv.nn.Sequ", { "Sequential" })
  equal(candidates "('x'):upp", { "upper" })
  equal(candidates "lv.conv2d(x, w, nil, { pad", { "padding = " })
  equal(candidates "lv.conv2d(x, lv.ones(2), nil, { stride = 2, gr", { "groups = " })
  assert(#candidates "whi" == 1 and candidates "whi"[1] == "while")
  rawset(_G, "tab_test", { x = lv.ones(2), list = { { deep = 1 } }, f = function() end })
  equal(candidates "tab_test.x:nume", { "numel" })
  equal(candidates "tab_test.x.dty", { "dtype" })
  equal(candidates "tab_test.x:dty", {}) -- a property is not called
  equal(candidates "tab_test.list[1].de", { "deep" })
  equal(candidates "tab_test['list'][1].de", { "deep" })
  equal(candidates "tab_test:", { "f" })
  rawset(_G, "tab_test", lv.nn.Linear(2, 3))
  equal(candidates "tab_test:parameter_c", { "parameter_count" })
  equal(candidates "tab_test.wei", { "weight" })
  rawset(_G, "tab_test", nil)
  rawset(_G, "lv", nil)
  equal(candidates "nothing.at.all", {})

  local folder <close> = harness.folder()
  lv.write_file(folder.path .. "/clip one.mkv", "")
  equal(candidates(("lv.video.open('%s/cl"):format(folder.path)), { "clip one.mkv" })
end)

test("locals outside of blocks become globals", function()
  equal(globalised "local x = 1", "      x = 1")
  equal(globalised "local x <const>, y <close> = 1, 2", "      x        , y         = 1, 2")
  equal(globalised "local x, y", "      x, y = nil")
  equal(globalised "local function f() local y = 1 end local z",
    "      function f() local y = 1 end       z = nil")
  equal(globalised "x = 'local y' -- local z\nlocal w = [[local v]]",
    "x = 'local y' -- local z\n      w = [[local v]]")
  equal(globalised "for i = 1, 2 do local x = i end", "for i = 1, 2 do local x = i end")
  equal(globalised "repeat local x = 1 until x local y = 2",
    "repeat local x = 1 until x       y = 2")
end)

local block <const> = [[
local nn = require("lunerv").nn
local Block = nn.class "Block"
function Block:init() self.weight = nn.parameter(require("lunerv").ones(2)) end
function Block:forward(x) return x * self.weight end
function Block:again() return Block.forward end
function Block:gone() end
return Block
]]

-- Runs body(write) with a module "reload_block" whose text write() replaces.
local function with_module(body)
  local folder <close> = harness.folder()
  local path, searched = folder.path .. "/reload_block.lua", package.path
  package.path = folder.path .. "/?.lua;" .. searched
  local function write(text) assert(lv.write_file(path, text)) end
  local ok, problem = pcall(body, write)
  package.path, package.loaded.reload_block = searched, nil
  if not ok then error(problem, 0) end
end

test("reload gives objects in use the new methods, and keeps their parameters", function()
  with_module(function(write)
    write(block)
    local Block = require "reload_block"
    local object = Block()
    lv.no_grad(function() object.weight:fill_(3) end)
    write((block:gsub("x %* self.weight", "x + self.weight * 10")
      :gsub("function Block:gone%(%) end", "function Block:new() return Block end")))
    assert(rawequal(lv.reload "reload_block", Block))
    equal(object(lv.ones(2)):tolist(), { 31.0, 31.0 })
    equal(object.gone, nil)
    -- Inside the new file the class is the one in use.
    assert(rawequal(object:new(), Block) and object:again() == Block.forward)
    assert(rawequal(require "reload_block", Block))
    equal(Block()(lv.ones(2)):tolist(), { 11.0, 11.0 })
  end)
end)

test("a file with an error leaves the old module", function()
  with_module(function(write)
    write(block)
    local Block = require "reload_block"
    local object = Block()
    for _, wrong in ipairs { "return = 1", block .. " ", "error 'while loading'" } do
      write(wrong:gsub("return Block\n $", "undefined.x = 1"))
      harness.raises(function() lv.reload "reload_block" end, "reload_block")
      assert(rawequal(require "reload_block", Block))
      equal(object(lv.ones(2)):tolist(), { 1.0, 1.0 })
    end
  end)
  harness.raises(function() lv.reload(3) end, "reload: expected the name of a module, got number")
end)

test("tables of functions and classes are reloaded in place", function()
  with_module(function(write)
    write "return { limit = 1, f = function() return 'old' end, sub = { g = function() end } }"
    local module = require "reload_block"
    local sub = module.sub
    write "return { limit = 2, f = function() return 'new' end, sub = { h = function() end } }"
    lv.reload "reload_block"
    equal(module.f(), "new")
    equal(module.limit, 2)
    assert(rawequal(module.sub, sub) and sub.h and not sub.g)
  end)
end)
