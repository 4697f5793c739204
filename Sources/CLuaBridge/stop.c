// Stops one state from any thread, without affecting the others of the process. Native functions
// and kernels poll a flag. Lua code that calls neither is stopped by a hook, which only the thread
// that runs it may set: a signal makes it do so.

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "stop.h"

struct lunerv_stop {
  atomic_int references;
  atomic_bool wanted;
  pthread_mutex_t mutex;  // guards the fields below
  bool runs;
  pthread_t thread;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sigaction before;

static void install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = lunerv_stop_handler;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a script that waits for input must notice.
  action.sa_flags = SA_SIGINFO;
  sigaction(LUNERV_STOP_SIGNAL, &action, &before);
}

void lunerv_stop_pass_on(int signal, siginfo_t *info, void *context) {
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signal, info, context);
    return;
  }
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(signal);
}

lunerv_stop *lunerv_stop_make(void) {
  lunerv_stop *stop = calloc(1, sizeof *stop);
  if (!stop) return NULL;
  atomic_init(&stop->references, 1);
  pthread_mutex_init(&stop->mutex, NULL);
  return stop;
}

void lunerv_stop_retain(lunerv_stop *stop) { atomic_fetch_add(&stop->references, 1); }

void lunerv_stop_release(lunerv_stop *stop) {
  if (atomic_fetch_sub(&stop->references, 1) > 1) return;
  pthread_mutex_destroy(&stop->mutex);
  free(stop);
}

bool lunerv_stop_request(lunerv_stop *stop) {
  pthread_once(&once, install);
  pthread_mutex_lock(&stop->mutex);
  bool runs = stop->runs;
  if (runs) {
    atomic_store(&stop->wanted, true);
    // The thread is alive: it cannot end its call while the mutex is held.
    pthread_kill(stop->thread, LUNERV_STOP_SIGNAL);
  }
  pthread_mutex_unlock(&stop->mutex);
  return runs;
}

bool lunerv_stop_is_elsewhere(lunerv_stop *stop) {
  pthread_mutex_lock(&stop->mutex);
  bool elsewhere = stop->runs && !pthread_equal(stop->thread, pthread_self());
  pthread_mutex_unlock(&stop->mutex);
  return elsewhere;
}

void lunerv_stop_begin(lunerv_stop *stop) {
  pthread_mutex_lock(&stop->mutex);
  stop->runs = true;
  stop->thread = pthread_self();
  pthread_mutex_unlock(&stop->mutex);
}

bool lunerv_stop_end(lunerv_stop *stop) {
  pthread_mutex_lock(&stop->mutex);
  stop->runs = false;
  bool wanted = atomic_exchange(&stop->wanted, false);
  pthread_mutex_unlock(&stop->mutex);
  return wanted;
}

bool lunerv_stop_is_wanted(const lunerv_stop *stop) {
  return atomic_load_explicit(&stop->wanted, memory_order_relaxed);
}

void lunerv_set_stop(lunerv_bridge *b, lunerv_stop *stop) {
  lunerv_stop_retain(stop);
  if (b->stop) lunerv_stop_release(b->stop);
  b->stop = stop;
}
