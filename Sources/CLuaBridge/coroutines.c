// coroutine.resume, wrap and close, which note which coroutine runs (a signal must hook
// that one), who resumed it (an error may have to be placed there), and which share of
// `depth` is its own.

#include "internal.h"

static int64_t own_depth(lua_State *L, lua_State *co) {
  if (!lunerv_bridge_of(L)->depths_stored) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_depths);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  lua_rawget(L, -2);
  int64_t depth = lua_tointeger(L, -1);
  lua_pop(L, 2);
  return depth;
}

static void store_depth(lua_State *L, lua_State *co, int64_t depth) {
  if (!lua_checkstack(co, 1)) return;
  lunerv_bridge_of(L)->depths_stored = true;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_depths);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  if (depth == 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, depth);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/// Moves `arguments` values over and resumes. Returns the number of results, moved to L,
/// or -1 with the error value moved to L.
static int resume(lua_State *L, lua_State *co, int arguments) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  if (!lua_checkstack(co, arguments + 1)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  luaL_checkstack(L, 4, NULL);
  int64_t depth = b->depth;
  int64_t own = own_depth(L, co);
  lua_xmove(L, co, arguments);

  lunerv_resumer here = {L, b->resumers};
  b->resumers = &here;
  b->depth = depth + own;
  b->running = co;
  // A signal that came before the line above has hooked L.
  if (lunerv_interrupt_requested()) lunerv_arm(co);
  int results = 0;
  int status = lua_resume(co, L, arguments, &results);
  b->running = L;
  if (lunerv_interrupt_requested()) lunerv_arm(L);
  int64_t left = status == LUA_YIELD ? b->depth - depth : 0;
  b->depth = depth;
  b->resumers = here.outer;

  if (left != own) store_depth(L, co, left);
  if (status == LUA_OK || status == LUA_YIELD) {
    if (!lua_checkstack(L, results + 1)) {
      lua_pop(co, results);
      lua_pushliteral(L, "too many results to resume");
      return -1;
    }
    lua_xmove(co, L, results);
    return results;
  }
  luaL_checkstack(L, 8, NULL);
  lua_xmove(co, L, 1);
  lunerv_note_origin(L, co, 0);
  return -1;
}

static lua_State *check_coroutine(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "coroutine");
  return co;
}

static int coroutine_resume(lua_State *L) {
  lua_State *co = check_coroutine(L);
  int results = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  if (results < 0) results = 1;
  lua_insert(L, -(results + 1));
  return results + 1;
}

static int close_coroutine(lua_State *L, lua_State *co) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  lunerv_resumer here = {L, b->resumers};
  int64_t depth = b->depth;
  b->resumers = &here;
  b->running = co;
  int status = lua_resetthread(co);  // runs its pending __close; protected
  b->running = L;
  b->resumers = here.outer;
  b->depth = depth;
  if (lunerv_interrupt_requested()) lunerv_arm(L);
  if (b->depths_stored) store_depth(L, co, 0);
  return status;
}

static int resume_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int results = resume(L, co, lua_gettop(L));
  if (results >= 0) return results;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    // A failing __close replaces the error.
    if (close_coroutine(L, co) != LUA_OK) lua_xmove(co, L, 1);
  }
  // Unlike the original, no second position: messages already carry the user's line.
  return lua_error(L);
}

static int coroutine_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, resume_wrapped, 1);
  return 1;
}

static int coroutine_close(lua_State *L) {
  lua_State *co = check_coroutine(L);
  lua_Debug frame;
  bool suspended = co != L && (lua_status(co) == LUA_YIELD ||
                               (lua_status(co) == LUA_OK && !lua_getstack(co, 0, &frame)));
  bool dead = co != L && lua_status(co) != LUA_OK && lua_status(co) != LUA_YIELD;
  if (!suspended && !dead)
    return luaL_error(
        L, "cannot close a %s coroutine", co == L ? "running" : "normal");
  int status = close_coroutine(L, co);
  lua_pushboolean(L, status == LUA_OK);
  if (status == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  return 2;
}

void lunerv_open_coroutines(lua_State *L) {
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_depths);

  lua_getglobal(L, LUA_COLIBNAME);
  lua_pushcfunction(L, coroutine_resume);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, coroutine_wrap);
  lua_setfield(L, -2, "wrap");
  lua_pushcfunction(L, coroutine_close);
  lua_setfield(L, -2, "close");
  lua_pop(L, 1);
}
