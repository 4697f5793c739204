-- Every file of the standard library must be in the C file that embeds it.
local harness <const> = require "harness"
local native <const> = require "lunerv.native"

local root <const> = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/../.."

local function modules(folder, prefix, found)
  for _, name in ipairs(native.list_dir(root .. "/" .. folder)) do
    local stem = name:match "^(.+)%.lua$"
    if stem then
      found[folder .. "/" .. name] = stem == "init" and prefix or prefix .. "." .. stem
    else
      modules(folder .. "/" .. name, prefix .. "." .. name, found)
    end
  end
  return found
end

harness.test("the embedded library is complete", function()
  local source = assert(native.read_file(root .. "/Sources/CStdlib/stdlib.c"))
  local found = modules("stdlib/lunerv", "lunerv", {})
  local count = 0
  for path, module in pairs(found) do
    local entry = ('MODULE("%s")\n#embed "../../%s"\nEND\n'):format(module, path)
    assert(source:find(entry, 1, true),
      "Sources/CStdlib/stdlib.c lacks this entry, by its name:\n" .. entry)
    count = count + 1
  end
  local _, embedded = source:gsub("#embed \"", "")
  harness.equal(embedded, count)
end)
