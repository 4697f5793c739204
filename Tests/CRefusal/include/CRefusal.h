#pragma once

#include <stdbool.h>

// System calls that fail, as on kernels and in containers that lack them.

enum refused_call {
  refused_seccomp,
  refused_close_range,
  refused_prctl,
  refused_prlimit,
};

/// Makes a system call fail with this error in the calling thread and in the processes that it
/// starts from now on. Returns whether that succeeded.
bool refuse_call(enum refused_call call, int error);
