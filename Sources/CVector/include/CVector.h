#pragma once

/// Eight or sixteen floats at any address. Swift's own unaligned loads are generic functions that
/// large callers do not always inline; these always are.
typedef float lunerv_float8 __attribute__((vector_size(32)));
typedef float lunerv_float8_unaligned __attribute__((vector_size(32), aligned(4)));

static inline __attribute__((always_inline)) lunerv_float8 lunerv_load8(const float *p) {
  return *(const lunerv_float8_unaligned *)p;
}

static inline __attribute__((always_inline)) void lunerv_store8(lunerv_float8 v, float *p) {
  *(lunerv_float8_unaligned *)p = v;
}

/// Past the caches, to an address that is a multiple of 32 bytes; `lunerv_fence` before
/// another thread may read it.
static inline __attribute__((always_inline)) void lunerv_stream8(lunerv_float8 v, float *p) {
  __builtin_nontemporal_store(v, (lunerv_float8 *)p);
}

static inline __attribute__((always_inline)) void lunerv_fence(void) {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

#ifdef __AVX512F__
typedef float lunerv_float16 __attribute__((vector_size(64)));
typedef float lunerv_float16_unaligned __attribute__((vector_size(64), aligned(4)));

static inline __attribute__((always_inline)) lunerv_float16 lunerv_load16(const float *p) {
  return *(const lunerv_float16_unaligned *)p;
}

static inline __attribute__((always_inline)) void lunerv_store16(lunerv_float16 v, float *p) {
  *(lunerv_float16_unaligned *)p = v;
}
#endif
