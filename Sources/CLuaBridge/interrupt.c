// Ctrl-C and other requests to stop: a flag that trampolines and kernels poll, and a hook on the
// running coroutine for Lua code that calls neither. A script's own hook is in hooks.c.

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stop.h"

// Signals that ask for a stop: Ctrl-C, the end of a job or container, a closed terminal, a closed
// reader of standard output.
static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
enum { stop_count = sizeof stops / sizeof *stops };

static atomic_bool requested;
static atomic_int reason;
static atomic_int shields;
// Writes to a standard output that has lost its reader. The first few request a stop only at the
// end of a training step, so that its work is kept. Any more request it immediately: a program
// prints less before it starts work.
static atomic_int lost_writes;
enum { lost_writes_allowed = 8 };
static struct sigaction before[stop_count];
static bool handled[stop_count];
static bool installed;

// The state whose Lua code this thread runs. A hook may be set only from that thread, so a handler
// that runs on another thread passes the signal on.
static _Thread_local lunerv_bridge *volatile active;
static atomic_bool owner_known;
static _Atomic pthread_t owner;
// Threads of a pool may block SIGINT; while one runs Lua it must be unblocked.
static _Thread_local sigset_t outer_mask;
static _Thread_local bool unblocked;

bool lunerv_interrupt_requested(void) {
  if (atomic_load_explicit(&requested, memory_order_relaxed)) return true;
  const lunerv_bridge *b = active;
  return b && b->stop && lunerv_stop_is_wanted(b->stop);
}
bool lunerv_interrupt_pending(void) {
  return lunerv_interrupt_requested() &&
         atomic_load_explicit(&shields, memory_order_relaxed) == 0;
}
void lunerv_interrupt_request(void) { atomic_store(&requested, true); }
void lunerv_interrupt_unread(void) {
  if (atomic_load(&lost_writes) == 0) return;
  int none = 0;
  atomic_compare_exchange_strong(&reason, &none, SIGPIPE);
  lunerv_interrupt_request();
}
int lunerv_interrupt_reason(void) {
  int signal = atomic_load(&reason);
  return signal ? signal : SIGINT;
}
void lunerv_shield(int change) { atomic_fetch_add(&shields, change); }

lunerv_bridge *lunerv_enter(lunerv_bridge *b) {
  lunerv_bridge *previous = active;
  active = b;
  if (!previous) {
    owner = pthread_self();
    atomic_store(&owner_known, true);
    if (installed || b->stop) {
      sigset_t mask;
      sigemptyset(&mask);
      sigaddset(&mask, LUNERV_STOP_SIGNAL);
      for (int i = 0; installed && i < stop_count; i++) sigaddset(&mask, stops[i]);
      unblocked = pthread_sigmask(SIG_UNBLOCK, &mask, &outer_mask) == 0;
    }
  }
  return previous;
}

lunerv_bridge *lunerv_activate(lunerv_bridge *b) {
  lunerv_bridge *previous = active;
  active = b;
  return previous;
}

void lunerv_interrupt_claim(void) {
  owner = pthread_self();
  atomic_store(&owner_known, true);
}

void lunerv_leave(lunerv_bridge *previous) {
  active = previous;
  if (!previous && unblocked) {
    pthread_sigmask(SIG_SETMASK, &outer_mask, NULL);
    unblocked = false;
  }
  if (!previous && atomic_load(&owner_known) && pthread_equal(owner, pthread_self()))
    atomic_store(&owner_known, false);
}

void lunerv_hook(lua_State *L, lua_Debug *event) {
  if (lunerv_interrupt_pending() && lunerv_bridge_of(L)->attachment) lunerv_interrupt_renew(false);
  if (lunerv_interrupt_pending()) {
    lunerv_raise_interrupt(L);
    return;
  }
  // The request was withdrawn, or a shield is active: the script's own hook runs again. While
  // shielded, check again, but rarely.
  bool shielded = lunerv_interrupt_requested();
  int mask = 0, count = 0;
  lunerv_user_hook(L, &mask, &count);
  if (shielded && !(mask & LUA_MASKCOUNT)) {
    mask |= LUA_MASKCOUNT;
    count = 1000;
  }
  bool armed = lua_gethookmask(L) != mask || lua_gethookcount(L) != count;
  if (armed) {
    lua_sethook(L, mask ? lunerv_hook : NULL, mask, count);
    // A signal may have arrived in between, and its hook been overwritten.
    if (!shielded && lunerv_interrupt_requested()) lunerv_arm(L);
    if (event->event == LUA_HOOKCOUNT) return;
  }
  lunerv_call_user_hook(L, event);
}

/// From the next instruction on, every instruction of a Lua function raises. So a `pcall` that
/// caught the error cannot continue, and a loop around it ends too. C functions still run, among
/// them the `__close` and `__gc` of objects.
void lunerv_arm(lua_State *L) { lua_sethook(L, lunerv_hook, LUA_MASKCOUNT, 1); }

/// Raised repeatedly while the stack unwinds, for example in a `__close`. The message gives the
/// place where the script was the first time.
int lunerv_raise_interrupt(lua_State *L) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  lunerv_arm(L);
  luaL_checkstack(L, 8, NULL);
  if (!b->interrupt_raised) {
    b->interrupt_raised = true;
    lua_pushliteral(L, "interrupted");
    lunerv_make_error(L, "interrupted");
    lunerv_place_error(L, 0);
    luaL_traceback(L, L, NULL, 0);
    lua_setfield(L, -2, "traceback");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_interrupt);
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_interrupt);
  return lua_error(L);
}

static bool is_output_closed(void) {
  struct pollfd output = {.fd = 1, .events = POLLOUT};
  return poll(&output, 1, 0) > 0 && output.revents & (POLLERR | POLLNVAL);
}

static void handle(int signal) {
  int error = errno;
  // Another pipe may have lost its reader; its writer learns that from the write.
  if (signal == SIGPIPE && !is_output_closed()) {
    errno = error;
    return;
  }
  if (signal == SIGPIPE && atomic_fetch_add(&lost_writes, 1) < lost_writes_allowed) {
    errno = error;
    return;
  }
  int none = 0;
  atomic_compare_exchange_strong(&reason, &none, signal);
  atomic_store(&requested, true);
  lunerv_bridge *b = active;
  if (!b && atomic_load(&owner_known) && !pthread_equal(owner, pthread_self())) {
    pthread_kill(owner, signal);
    errno = error;
    return;
  }
  // From here on, only functions that POSIX and Lua allow in a handler. The second Ctrl-C kills.
  // Other signals are often sent twice, and must not interrupt the saving that the first one
  // started.
  if (signal == SIGINT) {
    struct sigaction standard;
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, NULL);
  }
  if (b && b->running) lunerv_arm(b->running);
  // A coroutine of a state that is not ours may be running without our knowledge.
  if (b && b->attachment && b->main != b->running) lunerv_arm(b->main);
  errno = error;
}

static void handle_stop(int signal, siginfo_t *info, void *context) {
  int error = errno;
  lunerv_bridge *b = active;
  if (b && b->stop && lunerv_stop_is_wanted(b->stop) && b->running) lunerv_arm(b->running);
  lunerv_stop_pass_on(signal, info, context);
  errno = error;
}

void (*const lunerv_stop_handler)(int, siginfo_t *, void *) = handle_stop;

// The stand-alone interpreter sets its own handler before each of its calls, such as each line at
// its prompt, and restores the default afterwards. Its handler would stop neither kernels nor
// coroutines.

static void (*interpreter)(int);

static bool is_interpreter(void) {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = 0;
  const char *slash = strrchr(path, '/');
  return strncmp(slash ? slash + 1 : path, "lua", 3) == 0;
}

static void take_over(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
}

bool lunerv_interrupt_adopt(void) {
  struct sigaction now;
  if (installed || !is_interpreter() || sigaction(SIGINT, NULL, &now) != 0) return false;
  if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) return false;
  if (now.sa_handler != handle) interpreter = now.sa_handler;
  owner = pthread_self();
  atomic_store(&owner_known, true);
  take_over();
  return true;
}

bool lunerv_interrupt_renew(bool rarely) {
  static _Atomic int64_t looked;
  if (!interpreter) return false;
  if (rarely) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t milliseconds = now.tv_sec * (int64_t)1000 + now.tv_nsec / 1000000;
    if (milliseconds - atomic_load_explicit(&looked, memory_order_relaxed) < 20) return false;
    atomic_store_explicit(&looked, milliseconds, memory_order_relaxed);
  }
  struct sigaction now;
  if (sigaction(SIGINT, NULL, &now) != 0 || now.sa_handler != interpreter) return false;
  atomic_store(&requested, false);
  atomic_store(&reason, 0);
  if (active) active->interrupt_raised = false;
  take_over();
  return true;
}

void lunerv_interrupt_install(void) {
  // A second call first restores the previous handlers.
  for (int i = 0; i < stop_count; i++)
    if (handled[i]) sigaction(stops[i], &before[i], NULL);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a script that waits for input must notice.
  for (int i = 0; i < stop_count; i++) {
    handled[i] = sigaction(stops[i], &action, &before[i]) == 0;
    // A process started by nohup is meant to continue. SIGINT is ignored in background jobs of
    // scripts, and SIGPIPE below programs that passed that on unintentionally.
    bool is_meant = stops[i] == SIGHUP || stops[i] == SIGTERM;
    if (handled[i] && is_meant && before[i].sa_handler == SIG_IGN) {
      sigaction(stops[i], &before[i], NULL);
      handled[i] = false;
    }
  }
  installed = true;
}

void lunerv_interrupt_clear(void) {
  atomic_store(&requested, false);
  atomic_store(&reason, 0);
  atomic_store(&lost_writes, 0);
  if (installed) lunerv_interrupt_install();
}
