#pragma once

#include <signal.h>

#include "internal.h"

/// Sent to the thread whose Lua code is to stop. It has no effect by itself, so a late one is
/// harmless.
#define LUNERV_STOP_SIGNAL SIGURG

/// The signal handler of that thread: hooks the running coroutine.
extern void (*const lunerv_stop_handler)(int, siginfo_t *, void *);
/// Calls the previous handler.
void lunerv_stop_pass_on(int signal, siginfo_t *info, void *context);
