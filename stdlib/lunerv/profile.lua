-- lv.profile: where time, arithmetic and memory go, by module and by operator.
local bridge <const> = require "lunerv.bridge"
local errors <const> = require "lunerv.errors"
local measuring <const> = require "lunerv.profile.measuring"
local new_report <const> = require "lunerv.profile.report"
local options <const> = require "lunerv.options"

local takes <const> = options.takes("profile", {
  { "rows", 20, "rows of each table of the printed report", type = "integer" },
})

--- Measures where time, arithmetic and memory go while a function runs.
--- Operators are lazy: they are evaluated when a result is read. Their time, and that of their
--- gradients, is charged to the module that called the operator, wherever the result is read. A
--- chain of pointwise operators is charged where its last one was called. The report prints as two
--- tables and has fields: `seconds`; `lua_seconds`, those of Lua's own code; `modules` and
--- `operators`, lists sorted by time of { path or operator, seconds, forward, backward, flops,
--- gflops, calls, bytes }, where `bytes` is the peak size of the results made there; `records`,
--- both at once; `peak_bytes` of all tensors and `peak_path`, the module that allocated the last of
--- them. `report:save(file)` draws a flame graph (.svg) or writes all figures (.json). A profile
--- within another is an error.
---
---     local report = lv.profile(function() model(frame):mean():backward() end)
---     print(report)
---     assert(report:save "flame.svg")
---
---@param body fun(): any  the function to measure
---@param options? lunerv.profile.Options
---@return table  the report; the results of the function follow it
local function measure(_, body, given)
  if type(body) ~= "function" then
    errors.raise("profile: expected a function, got %s", type(body))
  end
  local o = takes(given)
  if o.rows < 1 then errors.raise("profile: option 'rows': expected at least 1, got %d", o.rows) end
  measuring.begin()
  local results = table.pack(bridge.on_error(body, measuring.stop))
  return new_report(measuring.stop(), o.rows), table.unpack(results, 1, results.n)
end

return setmetatable({}, { __call = measure })
