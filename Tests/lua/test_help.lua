-- Every public name is described, in one place; help, annotations and pages are made from that.
local annotations <const> = require "lunerv.help.annotations"
local api <const> = require "lunerv.help.api"
local comments <const> = require "lunerv.help.comments"
local harness <const> = require "harness"
local lv <const> = require "lunerv"
local native <const> = require "lunerv.native"
local pages <const> = require "lunerv.help.pages"

local equal <const>, raises <const>, test <const> = harness.equal, harness.raises, harness.test

-- Fails with all that `problem(entry)` says, so that one run shows what is missing.
local function all_entries(problem)
  local found = {}
  for _, entry in ipairs(api.entries()) do
    local text = problem(entry)
    if text then found[#found + 1] = ("  lv.%s: %s"):format(entry.path, text) end
  end
  if #found > 0 then error(("%d entries:\n%s"):format(#found, table.concat(found, "\n")), 2) end
end

test("every public name is described", function()
  assert(#api.entries() > 300)
  all_entries(function(entry) return entry.missing and "has no description" end)
end)

test("a method is found by what people call its object", function()
  local help = lv.help.text
  assert(help "clip:part":find("video.Clip:part(first, last)", 1, true) == 1)
  assert(help "optimiser:state":find("Optimiser:state()", 1, true) == 1)
  for _, name in ipairs { "Tensor", "Module", "Optimiser", "Clip", "video.Clip", "Events" } do
    local last = name:match "%w+$"
    assert(help(name):find(last .. "[.:]%l"), name)
  end
  -- A field with its own comment is documented by it.
  assert(help "nn.List":find("lv.nn.List(modules?)", 1, true) == 1)
  local _, problem = help "clip:prat"
  equal(tostring(problem), "help: unknown name 'clip:prat': did you mean 'part'?")
end)

test("a name without a description is found", function()
  lv.optim.Nameless = function() end
  api.forget()
  local entry = api.find "optim.Nameless"
  lv.optim.Nameless = nil
  api.forget()
  equal(entry.missing, true)
  equal(api.find "optim.Nameless", nil)
end)

test("every option of every function has a type and a sentence", function()
  all_entries(function(entry)
    for _, option in ipairs(entry.options or {}) do
      if option.doc == "" or not option.doc then
        return ("option '%s' has no description"):format(option.name)
      end
      if not option.type or option.type == "nil" then
        return ("option '%s' has no type"):format(option.name)
      end
    end
  end)
end)

test("comments about parameters match the functions", function()
  all_entries(function(entry)
    if entry.native or not entry.line or entry.kind == "class" then return end
    local lines = comments.lines_of(entry.chunk)
    local header = table.concat(lines, " ", entry.line, math.min(entry.line + 3, #lines))
    local names = header:match "%((.-)%)" or ""
    for _, parameter in ipairs(entry.parameters) do
      local name = parameter.name:match "^[%w_]+" or "..."
      if parameter.doc ~= "" and not (", " .. names .. ","):find(", " .. name .. ",", 1, true)
        and not names:find("...", 1, true)
      then
        return ("describes '%s', takes (%s)"):format(parameter.name, names)
      end
    end
  end)
end)

-- What annotations declare: functions by name, { names, types by name, optional by name }.
local function parsed(text)
  local declared, parameters = {}, {}
  for line in text:gmatch "[^\n]+" do
    local name, optional, kind = line:match "^%-%-%-@param ([%w_%.]+)(%??) (.-)  "
    local path, arguments = line:match "^function ([%w_%.:]+)%((.*)%) end$"
    if name then
      parameters[#parameters + 1] = { name = name, optional = optional == "?", type = kind }
    elseif path then
      declared[path] = { arguments = arguments, parameters = parameters }
      parameters = {}
    elseif not line:match "^%-%-%-" then
      parameters = {}
    end
  end
  return declared
end

test("annotations declare what is registered", function()
  local text = annotations.files()["lunerv.lua"]
  assert(load(text))
  local declared = parsed(text)
  local compared = 0
  local public = {}
  for _, name in ipairs(native.public_functions) do public[name] = true end
  for _, signature in ipairs(native.signatures("lunerv.native").functions) do
    if public[signature.name] then
      local found = declared["lv." .. signature.name]
        or error("no annotation of lv." .. signature.name)
      for i, parameter in ipairs(signature.parameters) do
        local documented = found.parameters[i]
        if documented and documented.name ~= "..." then
          equal(documented.name, parameter.name)
          equal(documented.optional, parameter.optional)
          if parameter.type == "tensor" then equal(documented.type, "lunerv.Tensor") end
          if parameter.type == "integer" then equal(documented.type, "integer") end
          compared = compared + 1
        elseif not documented then
          error(("%s: no annotation of '%s'"):format(signature.name, parameter.name))
        end
      end
    end
  end
  assert(compared > 100)
  for _, method in ipairs(native.signatures("tensor").functions) do
    assert(declared["Tensor:" .. method.name], method.name)
  end
end)

test("the pages of the reference are what the code says now", function()
  local tests = arg[0]:match "^(.*)/[^/]*$" or "."
  local folder = (os.getenv "LUNERV_STDLIB" or tests .. "/../../stdlib") .. "/docs/reference/"
  local files, stale = pages.files(), {}
  for name, text in pairs(files) do
    local file = io.open(folder .. name)
    local found = file and file:read "a"
    if file then file:close() end
    if found ~= text then stale[#stale + 1] = name end
  end
  for _, entry in ipairs(assert(native.list_dir(folder))) do
    local name = type(entry) == "table" and entry.name or entry
    if not files[name] then stale[#stale + 1] = name end
  end
  table.sort(stale)
  if #stale > 0 then
    error("stale: " .. table.concat(stale, ", ")
      .. " (lunerv help --reference stdlib/docs/reference)", 0)
  end
end)

test("help finds names, values and what was meant", function()
  assert(lv.help.text("conv2d"):find("lv.conv2d(", 1, true))
  equal(lv.help.text(lv.conv2d), lv.help.text "conv2d")
  assert(lv.help.text(lv.nn.Conv2d):find("nn.Conv2d", 1, true))
  assert(lv.help.text(lv.nn.Conv2d(1, 1, { kernel = 1 })):find("nn.Conv2d", 1, true))
  assert(lv.help.text(lv.optim):find("Muon", 1, true))
  assert(lv.help.text(lv.zeros(1)):find("tensor", 1, true))
  local text, problem = lv.help.text "convd2"
  equal(text, nil)
  assert(tostring(problem):find("did you mean", 1, true))
  equal(table.concat(lv.help.options_of(lv.conv2d), " ", 1, 2), "stride padding")
end)

test("a custom block is described by the comment above it", function()
  local folder <close> = harness.folder()
  assert(native.write_file(folder.path .. "/own_block.lua", [[
local nn = require("lunerv").nn
-- Doubles what it gets. Nothing else.
local Twice = nn.class "Twice"
function Twice:init(width, options) self.width, self.options = width, options end
function Twice:forward(x) return x * 2 end
return Twice
]]))
  package.path = folder.path .. "/?.lua;" .. package.path
  local Twice = require "own_block"
  equal(lv.help.text(Twice):match "^[^\n]+\n[^\n]+",
    "Twice(width, options) → Twice\n  Doubles what it gets.")
  assert(lv.help.text(Twice()):find("Doubles what it gets.", 1, true))
end)

test("lv answers for what it has", function()
  equal(lv.has "conv2d", true)
  equal(lv.has "nn", true)
  equal(lv.has "lnv_pack", false)
  raises(function() return lv.conv2 end, "lv has no 'conv2': did you mean 'conv2d' or 'conv3d'?")
  raises(function() return lv.optim.Adma end, "lv.optim has no 'Adma': did you mean 'Ad")
end)

test("comments: summary, sentences, example, tags", function()
  local entry = comments.parse { "Adds, e.g. two. And more", "of it.", "", "    f(1)", "",
    "    f(2)", "", "@param x lunerv.Tensor|number  the first", "@param o? table",
    "@return integer  the sum" }
  equal(entry.summary, "Adds, e.g. two.")
  equal(entry.text, "And more of it.")
  equal(entry.example, "f(1)\n\nf(2)")
  equal(entry.parameters[1].type, "lunerv.Tensor|number")
  equal(entry.parameters[1].doc, "the first")
  equal(entry.parameters[2].optional, true)
  equal(entry.results[1].doc, "the sum")
end)
