-- Writing the page of runs to a file.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local sources <const> = require "lunerv.sources"

local write <const> = {}

-- Writes the page of the runs at `paths` to o.output, with the title o.title. Returns { path,
-- bytes, runs }, or nil and an error.
function write.page(paths, o)
  if not o.output:lower():match "%.html?$" then
    errors.fail("usage", "output: expected a path that ends in .html, got '%s'", o.output)
  end
  for _, path in ipairs(paths) do
    if path:match "%.lnv$" then sources.keep(o.output, path) end
  end
  -- Runs that write a page load this file at their start; it loads the rest when they end.
  local page, read = require "lunerv.report.page", require "lunerv.report.read"
  local found, problem = read.all(paths)
  if not found then return nil, problem end
  local text = page.text(found, o.title)
  local ok
  ok, problem = native.write_file(o.output, text)
  if not ok then return nil, problem end
  return { path = o.output, bytes = #text, runs = #found.runs }
end

-- Writes the page of a run that has just ended. If it cannot be written, a warning says so; the run
-- does not fail.
function write.next_to(run, output)
  local ok, page, problem = errors.attempt(write.page, { run }, { output = output })
  if ok and page then return page.path end
  native.stderr(("warning: the page %s could not be written: %s\n"):format(native.printable(output),
    errors.reason(ok and problem or page)))
end

return write
