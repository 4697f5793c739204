-- Plain data as JSON text and back, for metrics and manifests.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"

local json <const> = { encode = native.json_encode }

--- The plain data of JSON text.
--- JSON's null is lv.json.null, since a table cannot hold nil.
---
---     local data = lv.json.decode '{"psnr": 31.5}'
---
---@param text string  text that is JSON as a whole; other text is an error
---@return any  a table, number, string, boolean or lv.json.null
function json.decode(text)
  return errors.on_behalf("json.decode", nil, native.json_decode, text)
end

--- The value for JSON's null in plain data, since a table cannot hold nil.
---
---     if lv.json.decode(text).torch == lv.json.null then print "not measured" end
json.null = native.json_null

return errors.refuse_unknown(json, "lv.json")
