-- Plain data as JSON text and back, for metrics and manifests.
local native <const> = require "lunerv.native"

local json <const> = { encode = native.json_encode, decode = native.json_decode }

--- What stands for JSON's null in plain data, since a table cannot hold nil.
---
---     if lv.json.decode(text).torch == lv.json.null then print "not measured" end
json.null = native.json_null

return json
