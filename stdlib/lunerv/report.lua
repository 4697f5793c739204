-- lv.report: one page about runs.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local options <const> = require "lunerv.options"
local sources <const> = require "lunerv.sources"

local report <const> = {}

local takes <const> = options.takes("lv.report", {
  { "output", nil, "the page to write, a path that ends in .html", type = "string" },
  { "title", nil, "what the page is called (the runs' names)", type = "string" },
})

local function write(runs, o)
  if not o.output then errors.raise "lv.report: expected option 'output', a path" end
  if not o.output:lower():match "%.html?$" then
    errors.fail("usage", "output: expected a path that ends in .html, got '%s'", o.output)
  end
  for _, path in ipairs(runs) do
    if path:match "%.lnv$" then sources.keep(o.output, path) end
  end
  -- Not before a page is wanted: runs that write one load this at their beginning.
  local page, read = require "lunerv.report.page", require "lunerv.report.read"
  local found, problem = read.all(runs)
  if not found then return nil, problem end
  local text = page.text(found, o.title)
  local ok
  ok, problem = native.write_file(o.output, text)
  if not ok then return nil, problem end
  return { path = o.output, bytes = #text, runs = #found.runs }
end

--- Writes one page about runs, to be opened in a browser.
--- It shows PSNR and loss over epochs and seconds, rate against quality, frames beside their
--- sources and how far they are off, parameters, bytes and seconds by part, the modules, and the
--- commands; several runs are compared. The page holds all it shows: it needs no network, no other
--- file and less than 5 MB. A run is a folder that `regress`, `compress`, `rd_curve` or `batch`
--- wrote, a `.lnv` file, or a folder of such; of an unfinished one it shows what there is.
---
---     assert(lv.report({ "runs/sine", "runs/gelu" }, { output = "page.html" }))
---
---@param runs string|string[]  where the runs are
---@param options lunerv.report.Options  `output`, where the page goes, and `title`
---@return table?  what was written: `path`, `bytes` and `runs`, how many it shows
---@return lunerv.Error?  why there is no page
function report.write(runs, options_given)
  if type(runs) == "string" then runs = { runs } end
  errors.check_list("lv.report", runs)
  if #runs == 0 then errors.raise "lv.report: expected at least one run, got none" end
  for i, path in ipairs(runs) do
    if type(path) ~= "string" then
      errors.raise("lv.report: run %d: expected a path, got %s", i, type(path))
    end
  end
  return write(runs, takes(options_given))
end

-- Writes the page of a run that has just ended. That it cannot be written is said; it is no reason
-- for the run to fail.
function report.beside(run, output)
  local ok, page, problem = errors.attempt(report.write, run, { output = output })
  if ok and page then return page.path end
  native.stderr(("warning: the page %s could not be written: %s\n"):format(native.printable(output),
    errors.reason(ok and problem or page)))
end

return setmetatable(report, {
  __call = function(_, runs, given) return report.write(runs, given) end,
})
