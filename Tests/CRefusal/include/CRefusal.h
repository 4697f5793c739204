#pragma once

#include <stdbool.h>

// System calls that fail, as on kernels and in containers that lack them.

enum refused_call {
  refused_seccomp,
  refused_close_range,
  refused_prctl,
  refused_prlimit,
};

/// From now on the thread that calls this, and what it starts, finds that the system call fails with
/// this error. Returns whether it does.
bool refuse_call(enum refused_call call, int error);
