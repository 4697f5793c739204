#pragma once

/// A pointer for each thread, null at first.
void *_Nullable lunerv_thread_session(void);
void lunerv_set_thread_session(void *_Nullable pointer);

/// Loads and stores of eight or sixteen floats at any address. Swift's own unaligned loads are
/// generic functions that are not always inlined into large callers; these always are.
typedef float lunerv_float8 __attribute__((vector_size(32)));
typedef float lunerv_float8_unaligned __attribute__((vector_size(32), aligned(4)));

static inline __attribute__((always_inline)) lunerv_float8 lunerv_load8(const float *p) {
  return *(const lunerv_float8_unaligned *)p;
}

static inline __attribute__((always_inline)) void lunerv_store8(lunerv_float8 v, float *p) {
  *(lunerv_float8_unaligned *)p = v;
}

/// A store past the caches, to an address that is a multiple of 32 bytes. Call `lunerv_fence`
/// before another thread reads it.
static inline __attribute__((always_inline)) void lunerv_stream8(lunerv_float8 v, float *p) {
  __builtin_nontemporal_store(v, (lunerv_float8 *)p);
}

static inline __attribute__((always_inline)) void lunerv_fence(void) {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

/// Eight doubles, for sums of weights.
typedef double lunerv_double8 __attribute__((vector_size(64)));
typedef double lunerv_double8_unaligned __attribute__((vector_size(64), aligned(8)));

static inline __attribute__((always_inline)) lunerv_double8 lunerv_load_double8(const double *p) {
  return *(const lunerv_double8_unaligned *)p;
}

static inline __attribute__((always_inline)) void lunerv_store_double8(lunerv_double8 v,
                                                                       double *p) {
  *(lunerv_double8_unaligned *)p = v;
}

/// v · factor + sum.
static inline __attribute__((always_inline)) lunerv_double8
lunerv_fma_double8(lunerv_double8 v, double factor, lunerv_double8 sum) {
  const lunerv_double8 zero = {0};
  return __builtin_elementwise_fma(v, zero + factor, sum);
}

static inline __attribute__((always_inline)) lunerv_float8
lunerv_narrow_double8(lunerv_double8 v) {
  return __builtin_convertvector(v, lunerv_float8);
}

// Selections. Swift's own (`replacing(with:where:)`, operators on masks) are split into lanes in
// functions that are already large.
#define LUNERV_SELECTIONS(width, bytes)                                                         \
  typedef int lunerv_int##width __attribute__((vector_size(bytes)));                            \
  static inline __attribute__((always_inline)) lunerv_float##width lunerv_select##width(        \
      lunerv_int##width mask, lunerv_float##width yes, lunerv_float##width no) {                \
    return (lunerv_float##width)(((lunerv_int##width)yes & mask) |                              \
                                 ((lunerv_int##width)no & ~mask));                              \
  }                                                                                             \
  /* yes where a < b, else no. */                                                               \
  static inline __attribute__((always_inline)) lunerv_float##width lunerv_where_less##width(    \
      lunerv_float##width a, lunerv_float##width b, lunerv_float##width yes,                    \
      lunerv_float##width no) {                                                                 \
    return lunerv_select##width(a < b, yes, no);                                                \
  }                                                                                             \
  /* yes where a <= b, else no. */                                                              \
  static inline __attribute__((always_inline)) lunerv_float##width lunerv_where_most##width(    \
      lunerv_float##width a, lunerv_float##width b, lunerv_float##width yes,                    \
      lunerv_float##width no) {                                                                 \
    return lunerv_select##width(a <= b, yes, no);                                               \
  }                                                                                             \
  /* yes where a == b, else no. */                                                              \
  static inline __attribute__((always_inline)) lunerv_float##width lunerv_where_equal##width(   \
      lunerv_float##width a, lunerv_float##width b, lunerv_float##width yes,                    \
      lunerv_float##width no) {                                                                 \
    return lunerv_select##width(a == b, yes, no);                                               \
  }

LUNERV_SELECTIONS(8, 32)

/// Swift's own calls a function for every lane.
static inline __attribute__((always_inline)) lunerv_float8 lunerv_sqrt8(lunerv_float8 v) {
  return __builtin_elementwise_sqrt(v);
}

/// Lane l of the result is lane places[l] of v; places are 0 to 7.
static inline __attribute__((always_inline)) lunerv_float8 lunerv_permute8(lunerv_float8 v,
                                                                           lunerv_int8 places) {
#ifdef __AVX2__
  return (lunerv_float8)__builtin_ia32_permvarsf256(v, places);
#else
  lunerv_float8 out;
  for (int l = 0; l < 8; l++) out[l] = v[places[l] & 7];
  return out;
#endif
}

/// Prefetches the cache line at `p` into the second-level cache.
static inline __attribute__((always_inline)) void lunerv_prefetch(const float *p) {
  __builtin_prefetch(p, 0, 2);
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

/// A store past the caches, to an address that is a multiple of 64 bytes.
static inline __attribute__((always_inline)) void lunerv_stream16(lunerv_float16 v, float *p) {
  __builtin_nontemporal_store(v, (lunerv_float16 *)p);
}

/// Stores the first eight floats, under a mask. If they are extracted instead, the compiler may
/// compute the two halves separately.
static inline __attribute__((always_inline)) void lunerv_store_first8(lunerv_float16 v, float *p) {
  __builtin_ia32_storeups512_mask(p, v, 0xff);
}

/// Eight floats and eight zeros.
static inline __attribute__((always_inline)) lunerv_float16 lunerv_widen8(lunerv_float8 v) {
  const lunerv_float8 zero = {0};
  return __builtin_shufflevector(v, zero, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/// p[0], p[1], p[0], p[1] and so on.
static inline __attribute__((always_inline)) lunerv_float16 lunerv_broadcast_pair(const float *p) {
  typedef double unaligned __attribute__((aligned(4), may_alias));
  const double pair = *(const unaligned *)p;
  return (lunerv_float16)(lunerv_double8){pair, pair, pair, pair, pair, pair, pair, pair};
}

/// The sums of adjacent floats, and eight zeros.
static inline __attribute__((always_inline)) lunerv_float16 lunerv_add_pairs(lunerv_float16 v) {
  const lunerv_float16 zero = {0};
  const lunerv_float16 sums =
      v + __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  return __builtin_shufflevector(sums, zero, 0, 2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19, 20, 21, 22,
                                 23);
}

LUNERV_SELECTIONS(16, 64)

static inline __attribute__((always_inline)) lunerv_float16 lunerv_sqrt16(lunerv_float16 v) {
  return __builtin_elementwise_sqrt(v);
}

/// Lane l of the result is lane places[l] of v; places are 0 to 15.
static inline __attribute__((always_inline)) lunerv_float16 lunerv_permute16(lunerv_float16 v,
                                                                             lunerv_int16 places) {
  return (lunerv_float16)__builtin_ia32_permvarsf512(v, places);
}
#endif

#undef LUNERV_SELECTIONS
