-- What each module was built by: module → { class, arguments (as table.pack leaves them) }. From
-- that an equal one can be built, in a file's decoder for one.
return setmetatable({}, { __mode = "k" })
