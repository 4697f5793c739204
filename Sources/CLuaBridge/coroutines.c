// coroutine.resume, wrap and close. They record which coroutine runs (a signal must hook that one),
// who resumed it (an error may have to be placed there), and its own share of `depth` and `site`.

#include "internal.h"

/// The number that a registry table holds for a coroutine, or 0; looked up only if `stored` says
/// that some coroutine has one.
static int64_t own(lua_State *L, lua_State *co, const void *table, bool stored) {
  if (!stored) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, table);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  lua_rawget(L, -2);
  int64_t number = lua_tointeger(L, -1);
  lua_pop(L, 2);
  return number;
}

static void store(lua_State *L, lua_State *co, const void *table, bool *stored, int64_t number) {
  if (!lua_checkstack(co, 1)) return;
  *stored = true;
  lua_rawgetp(L, LUA_REGISTRYINDEX, table);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  if (number == 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, number);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/// Moves `arguments` values to the coroutine and resumes it. Returns the number of results, moved
/// to L, or -1 with the error value moved to L.
static int resume(lua_State *L, lua_State *co, int arguments) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  if (!lua_checkstack(co, arguments + 1)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  luaL_checkstack(L, 4, NULL);
  int64_t depth = b->depth, site = b->site;
  int64_t own_depth = own(L, co, &lunerv_key_depths, b->depths_stored);
  int64_t own_site = own(L, co, &lunerv_key_sites, b->sites_stored);
  lua_xmove(L, co, arguments);

  lunerv_resumer here = {L, b->resumers};
  b->resumers = &here;
  b->depth = depth + own_depth;
  if (own_site) b->site = own_site;
  b->running = co;
  // A signal that arrived before the line above has hooked L.
  if (lunerv_interrupt_requested()) lunerv_arm(co);
  int results = 0;
  int status = lua_resume(co, L, arguments, &results);
  b->running = L;
  if (lunerv_interrupt_requested()) lunerv_arm(L);
  int64_t left = status == LUA_YIELD ? b->depth - depth : 0;
  int64_t left_site = status == LUA_YIELD && (own_site || b->site != site) ? b->site : 0;
  b->depth = depth;
  b->site = site;
  b->resumers = here.outer;

  if (left != own_depth) store(L, co, &lunerv_key_depths, &b->depths_stored, left);
  if (left_site != own_site) store(L, co, &lunerv_key_sites, &b->sites_stored, left_site);
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
  int64_t depth = b->depth, site = b->site;
  b->resumers = &here;
  b->running = co;
  int status = lua_resetthread(co);  // runs its pending __close; protected
  b->running = L;
  b->resumers = here.outer;
  b->depth = depth;
  b->site = site;
  if (lunerv_interrupt_requested()) lunerv_arm(L);
  if (b->depths_stored) store(L, co, &lunerv_key_depths, &b->depths_stored, 0);
  if (b->sites_stored) store(L, co, &lunerv_key_sites, &b->sites_stored, 0);
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
  // Unlike the original, adds no second position: messages already have the user's line.
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
  lunerv_push_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_depths);
  lunerv_push_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_sites);

  if (!lunerv_push_library(L, LUA_COLIBNAME)) return;
  lua_pushcfunction(L, coroutine_resume);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, coroutine_wrap);
  lua_setfield(L, -2, "wrap");
  lua_pushcfunction(L, coroutine_close);
  lua_setfield(L, -2, "close");
  lua_pop(L, 1);
}
