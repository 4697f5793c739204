#pragma once

/// Eight floats at any address. Swift's own unaligned loads are generic functions that
/// large callers do not always inline; these always are.
typedef float lunerv_float8 __attribute__((vector_size(32)));
typedef float lunerv_float8_unaligned __attribute__((vector_size(32), aligned(4)));

static inline __attribute__((always_inline)) lunerv_float8 lunerv_load8(const float *p) {
  return *(const lunerv_float8_unaligned *)p;
}

static inline __attribute__((always_inline)) void lunerv_store8(lunerv_float8 v, float *p) {
  *(lunerv_float8_unaligned *)p = v;
}
