-- The constructor of each module: module → { class, arguments (as table.pack leaves them) }. An
-- equal module can be built from it, for example in a file's decoder.
return setmetatable({}, { __mode = "k" })
