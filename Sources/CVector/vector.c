#include "CVector.h"

#include <unistd.h>

// A build for x86-64-v3 would end in an illegal instruction on an older processor, before
// any Swift function could say so: this runs first, and is itself compiled without.
#if defined(__x86_64__) && defined(__AVX2__)
#pragma clang attribute push(__attribute__((target("arch=x86-64"))), apply_to = function)

static const char message[] =
    "lunerv: this build needs a processor with AVX2, FMA and BMI2 (x86-64-v3); "
    "LUNERV_MARCH=baseline builds one that does not\n";

__attribute__((constructor)) static void check_processor(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    return;
  if (write(2, message, sizeof message - 1) < 0) _exit(1);
  _exit(1);
}

#pragma clang attribute pop
#endif
