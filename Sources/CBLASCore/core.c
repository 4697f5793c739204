#include "CBLASCore.h"

#include <stdlib.h>
#include <strings.h>

extern char *openblas_get_corename(void);

const char *lunerv_blas_core(void) { return openblas_get_corename(); }

#if defined(__x86_64__)

// A library built for a single type of processor has none of these symbols; others lack some types.
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern char gotoblas_SKYLAKEX __attribute__((weak));
extern char gotoblas_HASWELL __attribute__((weak));

// The best type for this processor; NULL for an older one.
static const char *best_core(void) {
  if (&gotoblas_SKYLAKEX && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return "SkylakeX";
  }
  if (&gotoblas_HASWELL && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return "Haswell";
  }
  return NULL;
}

// A constructor, because no thread may use OpenBLAS meanwhile.
__attribute__((constructor)) static void choose(void) {
  if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit || getenv("OPENBLAS_CORETYPE") ||
      strcasecmp(openblas_get_corename(), "Prescott") != 0) {
    return;
  }
  __builtin_cpu_init();
  const char *core = best_core();
  // Only this call should see the variable, not the programs that this one starts.
  if (!core || setenv("OPENBLAS_CORETYPE", core, 1) != 0) return;
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  unsetenv("OPENBLAS_CORETYPE");
}

#endif
