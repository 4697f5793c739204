#pragma once

#include <signal.h>

#include "internal.h"

/// Sent to the thread whose Lua code shall stop. By itself it does nothing, so that one that comes
/// late does no harm.
#define LUNERV_STOP_SIGNAL SIGURG

/// What that thread does then: hooks the running coroutine.
extern void (*const lunerv_stop_handler)(int, siginfo_t *, void *);
/// Calls the handler that was there before.
void lunerv_stop_pass_on(int signal, siginfo_t *info, void *context);
