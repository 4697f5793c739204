// debug.sethook and debug.gethook, for debuggers and profilers written in Lua. A thread has one
// hook, which Ctrl-C needs as well (interrupt.c). A script's hook is kept here, so that it survives
// an interrupt that was armed and has ended. The bridge's one hook calls it.

#include <string.h>

#include "internal.h"

void lunerv_push_weak_table(lua_State *L) {
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

/// Pushes the hook set for `co`: { function, mask, count }, or nil.
static void push_entry(lua_State *L, lua_State *co) {
  luaL_checkstack(L, 4, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_hooks);
  if (co == L) {
    lua_pushthread(L);
  } else {
    // An error of `co`, which need not be running, would not arrive here.
    if (!lua_checkstack(co, 1)) luaL_error(L, "stack overflow");
    lua_pushthread(co);
    lua_xmove(co, L, 1);
  }
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

static int integer_in(lua_State *L, int index) {
  lua_rawgeti(L, -1, index);
  int value = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

bool lunerv_user_hook(lua_State *L, int *mask, int *count) {
  push_entry(L, L);
  bool known = lua_istable(L, -1);
  if (known) {
    *mask = integer_in(L, 2);
    *count = integer_in(L, 3);
  }
  lua_pop(L, 1);
  return known;
}

static bool wants(int mask, int event) {
  switch (event) {
    case LUA_HOOKCALL:
    case LUA_HOOKTAILCALL: return mask & LUA_MASKCALL;
    case LUA_HOOKRET: return mask & LUA_MASKRET;
    case LUA_HOOKLINE: return mask & LUA_MASKLINE;
    default: return mask & LUA_MASKCOUNT;
  }
}

void lunerv_call_user_hook(lua_State *L, lua_Debug *event) {
  static const char *const names[] = {"call", "return", "line", "count", "tail call"};
  push_entry(L, L);
  if (!lua_istable(L, -1) || !wants(integer_in(L, 2), event->event)) {
    lua_pop(L, 1);
    return;
  }
  lua_rawgeti(L, -1, 1);
  lua_remove(L, -2);
  lua_pushstring(L, names[event->event]);
  if (event->currentline >= 0)
    lua_pushinteger(L, event->currentline);
  else
    lua_pushnil(L);
  lua_call(L, 2, 0);
}

/// The thread given as the first argument, and the index of the next argument.
static lua_State *thread_of(lua_State *L, int *first) {
  *first = lua_isthread(L, 1) ? 2 : 1;
  return *first == 2 ? lua_tothread(L, 1) : L;
}

/// sethook([thread,] hook, mask [, count]); without a hook, removes it.
static int debug_sethook(lua_State *L) {
  int first;
  lua_State *co = thread_of(L, &first);
  int mask = 0, count = 0;
  if (!lua_isnoneornil(L, first)) {
    luaL_checktype(L, first, LUA_TFUNCTION);
    const char *letters = luaL_checkstring(L, first + 1);
    count = (int)luaL_optinteger(L, first + 2, 0);
    if (strchr(letters, 'c')) mask |= LUA_MASKCALL;
    if (strchr(letters, 'r')) mask |= LUA_MASKRET;
    if (strchr(letters, 'l')) mask |= LUA_MASKLINE;
    if (count > 0) mask |= LUA_MASKCOUNT;
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_hooks);
  if (co == L) {
    lua_pushthread(L);
  } else {
    lua_pushvalue(L, 1);
  }
  if (mask) {
    lua_createtable(L, 3, 0);
    lua_pushvalue(L, first);
    lua_rawseti(L, -2, 1);
    lua_pushinteger(L, mask);
    lua_rawseti(L, -2, 2);
    lua_pushinteger(L, count);
    lua_rawseti(L, -2, 3);
  } else {
    lua_pushnil(L);
  }
  lua_rawset(L, -3);
  lua_sethook(co, mask ? lunerv_hook : NULL, mask, count);
  if (lunerv_interrupt_requested()) lunerv_arm(co);
  return 0;
}

/// gethook([thread]): function, mask, count as they were set; nil if none is.
static int debug_gethook(lua_State *L) {
  int first;
  push_entry(L, thread_of(L, &first));
  if (!lua_istable(L, -1)) {
    luaL_pushfail(L);
    return 1;
  }
  int mask = integer_in(L, 2), count = integer_in(L, 3);
  lua_rawgeti(L, -1, 1);
  char letters[4];
  int length = 0;
  if (mask & LUA_MASKCALL) letters[length++] = 'c';
  if (mask & LUA_MASKRET) letters[length++] = 'r';
  if (mask & LUA_MASKLINE) letters[length++] = 'l';
  lua_pushlstring(L, letters, (size_t)length);
  lua_pushinteger(L, count);
  return 3;
}

void lunerv_open_hooks(lua_State *L) {
  lunerv_push_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_hooks);
  if (!lunerv_push_library(L, LUA_DBLIBNAME)) return;
  lua_pushcfunction(L, debug_sethook);
  lua_setfield(L, -2, "sethook");
  lua_pushcfunction(L, debug_gethook);
  lua_setfield(L, -2, "gethook");
  lua_pop(L, 1);
}
