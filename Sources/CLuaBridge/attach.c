// A bridge for a state that another program made: a plain `lua5.4`, or any host that loads lunerv
// as a module. Our allocator wraps the state's own, and the owner closes the state.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

bool lunerv_is_module;

struct lunerv_attachment {
  lua_Alloc allocate;
  void *context;
  /// The argument of `lunerv_set_owner`.
  void *owner;
  /// Whether the state is closed and only its memory remains.
  bool ended;
  /// Whether we handle Ctrl-C.
  bool is_interpreter;
  /// Fallback blocks, allocated because the state's own allocator refused them while Swift was on the stack.
  void **fallback;
  size_t fallback_count, fallback_capacity;
};

// Memory

static size_t place_of(const lunerv_attachment *a, const void *block) {
  size_t i = 0;
  while (i < a->fallback_count && a->fallback[i] != block) i++;
  return i;
}

/// Lends a block of ours where the state's allocator refused one.
static void *allocate_fallback(lunerv_bridge *b, void *block, size_t old, size_t size) {
  lunerv_attachment *a = b->attachment;
  b->over_limit = true;
  if (a->fallback_count == a->fallback_capacity) {
    size_t capacity = 2 * a->fallback_capacity + 64;
    void **fallback = realloc(a->fallback, capacity * sizeof *fallback);
    if (!fallback && lunerv_free_reserve(b)) fallback = realloc(a->fallback, capacity * sizeof *fallback);
    if (!fallback) lunerv_out_of_memory();
    a->fallback = fallback;
    a->fallback_capacity = capacity;
  }
  void *fresh = malloc(size);
  if (!fresh && lunerv_free_reserve(b)) fresh = malloc(size);
  if (!fresh) lunerv_out_of_memory();
  if (block) {
    memcpy(fresh, block, old < size ? old : size);
    a->allocate(a->context, block, old, 0);
  }
  a->fallback[a->fallback_count++] = fresh;
  return fresh;
}

/// A fallback block is resized or freed: it moves back to the state's allocator if that accepts it.
static void *settle(lunerv_bridge *b, size_t place, size_t old, size_t size) {
  lunerv_attachment *a = b->attachment;
  void *block = a->fallback[place];
  void *moved = NULL;
  if (size) {
    moved = a->allocate(a->context, NULL, 0, size);
    if (!moved) {
      moved = realloc(block, size);
      if (!moved && b->swift_on_stack && lunerv_free_reserve(b)) moved = realloc(block, size);
      if (!moved && b->swift_on_stack) lunerv_out_of_memory();
      if (moved) a->fallback[place] = moved;
      return moved;
    }
    memcpy(moved, block, old < size ? old : size);
  }
  free(block);
  a->fallback[place] = a->fallback[--a->fallback_count];
  return moved;
}

static void *allocate(void *context, void *block, size_t old_size, size_t size) {
  lunerv_bridge *b = context;
  lunerv_attachment *a = b->attachment;
  size_t old = block ? old_size : 0;  // for a new block Lua passes its type there
  size_t place = block && a->fallback_count ? place_of(a, block) : a->fallback_count;
  void *moved;
  if (place < a->fallback_count) {
    moved = settle(b, place, old, size);
  } else {
    moved = a->allocate(a->context, block, old_size, size);
    if (!moved && size && b->swift_on_stack) moved = allocate_fallback(b, block, old, size);
  }
  if (moved || !size) b->used += size - old;
  // The block of the main thread, which begins with its extra space, is freed last.
  if (!size && block && block == lua_getextraspace(b->main)) {
    free(a->fallback);
    free(b->reserve);
    free(a);
    free(b);
  }
  return moved;
}

// Opening and closing

lunerv_bridge *lunerv_find_bridge(lua_State *L) {
  // Lua guarantees one more slot than a function may push.
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_bridge);
  lunerv_bridge *b = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return b;
}

/// The finalizer of an object older than any of lunerv's, so that it runs last.
static int end(lua_State *L) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  lunerv_attachment *a = b->attachment;
  if (a->ended) return 0;
  b->closing = a->ended = true;
  lunerv_release_all(b);  // objects that finalizers have made
  b->swift_on_stack = true;
  if (a->owner && b->callbacks.release) b->callbacks.release(a->owner);
  b->swift_on_stack = false;
  b->host = a->owner = NULL;
  if (a->is_interpreter) lunerv_activate(NULL);
  return 0;
}

static lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

static lunerv_bridge *attach(lua_State *L) {
  lua_State *main = main_thread(L);
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, end);
  lua_setfield(L, -2, "__gc");
  // Makes room for the bridge first, so that whatever may raise comes before whatever could leak.
  lua_pushboolean(L, 0);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_bridge);
  lunerv_bridge *b = calloc(1, sizeof *b);
  lunerv_attachment *a = calloc(1, sizeof *a);
  if (!b || !a) {
    free(b);
    free(a);
    luaL_error(L, "not enough memory");
  }
  lua_pushlightuserdata(L, b);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_bridge);
  b->attachment = a;
  b->main = b->running = main;
  b->entered = 1;  // Lua runs, whenever Swift does
  a->allocate = lua_getallocf(L, &a->context);
  lua_setallocf(L, allocate, b);
  lunerv_keep_reserve(b);
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, a);
  lunerv_set_up(L);
  a->is_interpreter = lunerv_interrupt_adopt();
  if (a->is_interpreter) lunerv_activate(b);
  return b;
}

/// Keeps the library loaded. Closing a state unloads its modules before the last of its memory is
/// freed, and the kernels' threads keep running.
static void pin(const void *address) {
  Dl_info info;
  if (dladdr(address, &info) && info.dli_fname) dlopen(info.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

int lunerv_open_module(lua_State *L, bool (*start)(lunerv_bridge *bridge)) {
  luaL_checkversion(L);
  luaL_checkstack(L, 300, NULL);
  lunerv_is_module = true;
  lunerv_bridge *b = lunerv_find_bridge(L);
  if (!b) {
    pin((const void *)start);
    b = attach(L);
    b->running = L;
    b->swift_on_stack = true;
    bool started = start(b);
    b->swift_on_stack = false;
    b->running = b->main;
    if (!started) return lua_error(L);
  } else if (b->attachment->ended || !b->host) {
    return luaL_error(L, "lunerv: it could not be started in this Lua state");
  }
  // `require` now finds the library's own source.
  lua_getglobal(L, "require");
  lua_pushliteral(L, "lunerv");
  lua_call(L, 1, 1);
  return 1;
}

void lunerv_set_owner(lunerv_bridge *b, void *owner) { b->attachment->owner = owner; }

// Calls

lunerv_bridge *lunerv_begin_attached(lua_State *L, lunerv_bridge *b) {
  if (b->attachment->ended) luaL_error(L, "lunerv: the Lua state is being closed");
  return lunerv_activate(b);
}

void lunerv_end_attached(lunerv_bridge *previous) { lunerv_activate(previous); }
