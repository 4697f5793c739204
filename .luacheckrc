std = "lua54"
max_line_length = 100
-- Methods may ignore their object, callbacks their arguments.
self = false
unused_args = false
exclude_files = { ".build*", "stdlib/meta" }
