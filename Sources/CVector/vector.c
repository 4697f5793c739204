#include "CVector.h"

#include <unistd.h>

static _Thread_local void *session;

void *lunerv_thread_session(void) { return session; }
void lunerv_set_thread_session(void *pointer) { session = pointer; }

// A build for x86-64-v3 or v4 would die of an illegal instruction on an older processor, before any
// Swift function could report it. This check runs first, and is itself compiled for the base
// instruction set.
#if defined(__x86_64__) && defined(__AVX2__)
#pragma clang attribute push(__attribute__((target("arch=x86-64"))), apply_to = function)

#ifdef __AVX512F__
static const char message[] =
    "lunerv: this build needs a processor with AVX-512 (x86-64-v4); "
    "LUNERV_MARCH=x86-64-v3 builds one that does not\n";
#else
static const char message[] =
    "lunerv: this build needs a processor with AVX2, FMA and BMI2 (x86-64-v3); "
    "LUNERV_MARCH=baseline builds one that does not\n";
#endif

__attribute__((constructor)) static void check_processor(void) {
  __builtin_cpu_init();
  int enough = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("bmi2");
#ifdef __AVX512F__
  enough = enough && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#endif
  if (enough) return;
  if (write(2, message, sizeof message - 1) < 0) _exit(1);
  _exit(1);
}

#pragma clang attribute pop
#endif
