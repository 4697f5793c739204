-- The key under which a module keeps the names of its fields, in order of assignment. A table, so
-- that no name of a user's can be the same.
return {}
