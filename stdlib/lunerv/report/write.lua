-- Writing the page of runs to a file.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local sources <const> = require "lunerv.sources"

local write <const> = {}

-- Writes the page of the runs at `paths` to o.output; o.title is what it is called. Returns
-- { path, bytes, runs }, or nil and an error.
function write.page(paths, o)
  if not o.output:lower():match "%.html?$" then
    errors.fail("usage", "output: expected a path that ends in .html, got '%s'", o.output)
  end
  for _, path in ipairs(paths) do
    if path:match "%.lnv$" then sources.keep(o.output, path) end
  end
  -- Runs that write a page load this when they begin; the rest has time until they end.
  local page, read = require "lunerv.report.page", require "lunerv.report.read"
  local found, problem = read.all(paths)
  if not found then return nil, problem end
  local text = page.text(found, o.title)
  local ok
  ok, problem = native.write_file(o.output, text)
  if not ok then return nil, problem end
  return { path = o.output, bytes = #text, runs = #found.runs }
end

-- Writes the page of a run that has just ended. That it cannot be written is said; it is no reason
-- for the run to fail.
function write.beside(run, output)
  local ok, page, problem = errors.attempt(write.page, { run }, { output = output })
  if ok and page then return page.path end
  native.stderr(("warning: the page %s could not be written: %s\n"):format(native.printable(output),
    errors.reason(ok and problem or page)))
end

return write
