-- lv.report: one page about runs.
local errors <const> = require "lunerv.errors"
local options <const> = require "lunerv.options"
local write <const> = require "lunerv.report.write"

local takes <const> = options.takes("report", {
  { "output", nil, "the page to write, a path that ends in .html", type = "string" },
  { "title", nil, "what the page is called (the runs' names)", type = "string" },
})

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
---@param given lunerv.report.Options  where the page goes, and what it is called
---@return table?  what was written: `path`, `bytes` and `runs`, how many it shows
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
