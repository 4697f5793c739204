-- Golden files: reference numbers of the published programs.
local cem <const> = require "lunerv.verify.cem"
local model <const> = require "lunerv.verify.model"

--- Prepares the content of a golden file for the comparison with our numbers.
--- Such a file holds numbers of a published model, or of published quantisers and their rate. Set
--- `report` of the result to see the comparisons, then call `check`.
---
---     local golden = lv.verify(tensors, metadata)
---     golden.report = function(...) print(...) end
---     golden:check()
---
---@param tensors table<string, lunerv.Tensor>  the tensors of the file, by name
---@param metadata table  the metadata of the file
---@return table  an object with `report` and `check`
return function(tensors, metadata)
  return cem.recognises(tensors) and cem.golden(tensors) or model(tensors, metadata)
end
