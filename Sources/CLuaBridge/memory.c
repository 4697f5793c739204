// The heap of a state of our own: its limit, and what happens when memory runs out.
//
// A refusal would raise an error across Swift frames. So the allocator exceeds the limit while
// Swift is on the stack, and the trampoline raises when Swift has returned.

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

enum { reserve_size = 1 << 20, probed_size = 1 << 16 };

void lunerv_keep_reserve(lunerv_bridge *b) {
  if (!b->reserve) b->reserve = malloc(reserve_size);
}

bool lunerv_free_reserve(lunerv_bridge *b) {
  bool had = b->reserve != NULL;
  free(b->reserve);
  b->reserve = NULL;
  return had;
}

_Noreturn void lunerv_out_of_memory(void) {
  // Ending the process is better than a jump across Swift frames.
  fputs("lunerv: out of memory\n", stderr);
  abort();
}

void *lunerv_allocate(void *context, void *block, size_t old_size, size_t size) {
  lunerv_bridge *b = context;
  size_t old = block ? old_size : 0;  // for a new block Lua passes its type there
  if (size == 0) {
    free(block);
    b->used -= old;
    return NULL;
  }
  if (size > old && b->limit && !b->swift_on_stack && b->used + (size - old) > b->limit)
    return NULL;
  void *moved = realloc(block, size);
  if (!moved) {
    // The machine itself has no memory left.
    if (!b->swift_on_stack) return NULL;
    b->over_limit = true;
    if (lunerv_free_reserve(b)) moved = realloc(block, size);
    if (!moved) lunerv_out_of_memory();
  }
  b->used += size - old;
  return moved;
}

/// Collects all garbage. The limit is lifted: a finalizer that cannot allocate memory for its call
/// is lost, and with it the object that it would release.
void lunerv_collect_all(lua_State *L, lunerv_bridge *b) {
  size_t limit = b->limit;
  b->limit = 0;
  lua_gc(L, LUA_GCCOLLECT);
  b->limit = limit;
}

/// After Swift has returned: whether memory still exceeds the limit after a full collection.
bool lunerv_beyond_limit(lua_State *L, lunerv_bridge *b) {
  bool refused = b->over_limit;
  b->over_limit = false;
  if (refused) return true;
  if (!b->limit || b->used <= b->limit) return false;
  lunerv_collect_all(L, b);
  return b->used > b->limit;
}

int lunerv_raise_memory(lua_State *L) {
  lua_settop(L, 0);
  lunerv_collect_all(L, lunerv_bridge_of(L));  // the values that Swift pushed are garbage now
  lunerv_keep_reserve(lunerv_bridge_of(L));
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_memory);
  return lua_error(L);
}

void lunerv_collect(lua_State *L) { lunerv_collect_all(L, lunerv_bridge_of(L)); }

bool lunerv_would_exceed_limit(lua_State *L, size_t count) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  if (b->limit && (b->used > 2 * b->limit || count > 2 * b->limit - b->used)) return true;
  if (count < probed_size) return false;
  // Large sizes are tried, since the reserve would not suffice. Volatile, or the compiler would
  // remove the trial.
  void *volatile probe = malloc(count + probed_size);
  bool found = probe != NULL;
  free(probe);
  return !found;
}
