#pragma once
#include <stddef.h>

/// One Lua module of the standard library: the name `require` knows it by, and its source, which
/// ends with a 0.
typedef struct {
  const char *name;
  const unsigned char *text;
} lunerv_stdlib_file;

/// Every module under stdlib/lunerv, by name.
extern const lunerv_stdlib_file lunerv_stdlib_files[];
extern const size_t lunerv_stdlib_count;

/// One entry of the table, for languages that do not see arrays of unknown size.
static inline lunerv_stdlib_file lunerv_stdlib_file_at(size_t index) {
  return lunerv_stdlib_files[index];
}
