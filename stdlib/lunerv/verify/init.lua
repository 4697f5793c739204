-- lv.verify(tensors, metadata): a golden file's content, ready to be compared with ours: numbers
-- of a model (lunerv.verify.model) or of quantisers and rate (lunerv.verify.cem). Set its `report`
-- where the comparisons are to be seen, then call `check`.
local cem <const> = require "lunerv.verify.cem"
local model <const> = require "lunerv.verify.model"

return function(tensors, metadata)
  return cem.recognises(tensors) and cem.golden(tensors) or model(tensors, metadata)
end
