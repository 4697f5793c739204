-- lunerv run Tests/lua/pin.lua FILE.lnv NAME "FORM": adds a file to those of every form, which
-- later versions have to decode as this one does. FORM says in a few words what is new about it.
--
-- Run it once for each form, with the program that first writes it (test_versions.lua lists forms
-- without a file). Existing files are never rewritten; a fourth word names another program that
-- wrote the file.
package.path = (arg[0]:match "^(.*)/[^/]*$" or ".") .. "/?.lua;" .. package.path
local lv <const> = require "lunerv"
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local pinned <const> = require "pinned"

local from <const>, name <const>, form <const>, by <const> = table.unpack(arg)
if not (from and name and form) then
  errors.fail("usage", 'pin: expected FILE.lnv NAME "FORM"')
end
if not name:find "^[%w_-]+$" then
  errors.fail("usage", "pin: expected a name of letters, digits, '_' and '-', got '%s'", name)
end
local most <const> = 20000

local bytes <const> = assert(lv.read_file(from))
if #bytes > most then
  errors.fail("data", "%s: expected at most %d bytes, got %d", from, most, #bytes)
end
lv.make_dirs(pinned.folder)
local list <const> = lv.exists(pinned.folder .. "/manifest.json") and pinned.manifest()
  or { files = {}, refused = {} }
for _, entry in ipairs(list.files) do
  if entry.name == name then errors.fail("usage", "pin: there is a file '%s' already", name) end
end

assert(lv.write_file(pinned.path(name, "lnv"), bytes))
local done, found = errors.attempt(function()
  return table.pack(pinned.entry(name, form, by or native.versions().lunerv))
end)
if not done then
  os.remove(pinned.path(name, "lnv"))
  error(found, 0)
end
local entry <const>, frames <const> = table.unpack(found)
assert(lv.image.write(pinned.path(name, "png"), frames))
list.files[#list.files + 1] = entry
table.sort(list.files, function(a, b) return a.name < b.name end)

-- A line for each file, in an order of its own, so that a change shows.
local lines <const> = {}
for i, file in ipairs(list.files) do lines[i] = lv.json.encode(file) end
local refused <const> = {}
for i, file in ipairs(list.refused) do refused[i] = lv.json.encode(file) end
local text <const> = ('{"files": [\n%s\n], "refused": [\n%s\n]}\n'):format(
  table.concat(lines, ",\n"), table.concat(refused, ",\n"))
assert(lv.write_file(pinned.folder .. "/manifest.json", text))
print(("%s: level %d, %d bytes, %d frames"):format(name, entry.level, #bytes, entry.size[1]))
