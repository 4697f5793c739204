-- `lunerv run --profile[=FILE] [--profile-json FILE]`: the steps before the script and after it,
-- however it ends. A file that is not wanted is "".
local errors <const> = require "lunerv.errors"
local measuring <const> = require "lunerv.profile.measuring"
local native <const> = require "lunerv.native"
local new_report <const> = require "lunerv.profile.report"

local command <const> = {}

function command.begin(file)
  if file ~= "" and not file:match "%.svg$" and not file:match "%.json$" then
    errors.fail("usage", "--profile: expected a file that ends in .svg or .json, got '%s'", file)
  end
  measuring.begin()
end

function command.finish(file, json)
  local facts = measuring.stop()
  if not facts then return end
  local report = new_report(facts, 20)
  native.stderr(tostring(report) .. "\n")
  if file ~= "" then errors.must(report:save(file)) end
  if json ~= "" then errors.must(native.write_file(json, report:json())) end
end

return command
