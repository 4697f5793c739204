#pragma once
#include <stddef.h>

/// One Lua module of the standard library: the name `require` knows it by, and its source.
typedef struct {
  const char *name;
  const unsigned char *bytes;
  size_t count;
} lunerv_stdlib_file;

/// Every module under stdlib/lunerv, by name.
extern const lunerv_stdlib_file lunerv_stdlib_files[];
extern const size_t lunerv_stdlib_count;
