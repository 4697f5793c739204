-- lv.report: one page about runs.
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local write <const> = require "lunerv.report.write"

local takes <const> = options.takes("report", {
  { "output", nil, "the page to write, a path that ends in .html", type = "string" },
  { "title", nil, "the page's title (by default the runs' names)", type = "string" },
})

--- Writes one HTML page about one or several runs.
--- It shows PSNR and loss over epochs and seconds, rate against quality, decoded frames next to
--- their sources with error maps, parameters, bytes and seconds by part, the modules, and the
--- commands. Several runs are compared. The page is self-contained: it needs no network and no
--- other file, and is smaller than 5 MB. A run is a folder that `regress`, `compress`, `rd_curve`
--- or `batch` wrote, a `.lnv` file, or a folder of such runs. Of an unfinished run, the page shows
--- what there is.
---
---     assert(lv.report({ "runs/sine", "runs/gelu" }, { output = "page.html" }))
---
---@param runs string|string[]  paths of the runs
---@param given lunerv.report.Options  the output path and the title
---@return table?  `path`, `bytes` and `runs`, the number of runs shown
---@return lunerv.Error?  why there is no page
return function(runs, given)
  if type(runs) == "string" then runs = { runs } end
  errors.check_list("report", runs)
  if #runs == 0 then errors.raise "report: expected at least one run, got none" end
  for i, path in ipairs(runs) do
    if type(path) ~= "string" then
      errors.raise("report: run %d: expected a path, got %s", i, type(path))
    end
  end
  local o = takes(given)
  if not o.output then errors.raise "report: expected the option 'output', a path" end
  return write.page(runs, o)
end
