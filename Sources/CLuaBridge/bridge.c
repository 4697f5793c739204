// States, and the trampoline between Lua and Swift.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const char lunerv_key_path, lunerv_key_method, lunerv_key_error_class, lunerv_key_memory,
    lunerv_key_text, lunerv_key_text_error, lunerv_key_interrupt, lunerv_key_kept,
    lunerv_key_depths, lunerv_key_sites, lunerv_key_hooks, lunerv_key_bridge;

// The trampoline

static int call_swift(lua_State *L) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  // Enough for data nested as deep as Swift pushes or reads it, so that the stack never overflows.
  luaL_checkstack(L, 300, "too many arguments");
  lunerv_bridge *previous = b->attachment ? lunerv_begin_attached(L, b) : NULL;
  lua_State *running = b->running;
  b->running = L;
  bool outer = b->swift_on_stack;
  b->swift_on_stack = true;
  int status = b->callbacks.call(lua_touserdata(L, lua_upvalueindex(1)), L);
  b->swift_on_stack = outer;
  if (b->attachment) {
    // A coroutine resumed other than by our functions may be gone when a signal arrives.
    b->running = running;
    lunerv_end_attached(previous);
  }
  if (b->collect_requested || status == LUNERV_AGAIN) {
    b->collect_requested = false;
    lunerv_collect_all(L, b);
  }
  if (status == LUNERV_AGAIN) return call_swift(L);
  if ((b->over_limit || (b->limit && b->used > b->limit)) && lunerv_beyond_limit(L, b))
    return lunerv_raise_memory(L);
  return status >= 0 ? status : lunerv_raise_failure(L, b, status);
}

static int call_swift_polling(lua_State *L) {
  if (lunerv_bridge_of(L)->attachment) lunerv_interrupt_renew(true);
  if (lunerv_interrupt_pending()) return lunerv_raise_interrupt(L);
  return call_swift(L);
}

void lunerv_push_function(lua_State *L, void *function, bool polls) {
  lua_pushlightuserdata(L, function);
  lua_pushcclosure(L, polls ? call_swift_polling : call_swift, 1);
}

// Swift → Lua

int lunerv_call(lua_State *L, int arguments, int results, bool report) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  int handler = 0;
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    lua_settop(L, -arguments - 2);
    lua_pushnil(L);
    return LUA_ERRRUN;
  }
  if (report) {
    handler = lua_gettop(L) - arguments;
    lua_pushcfunction(L, lunerv_report);
    lua_insert(L, handler);
  }
  bool outer = b->swift_on_stack;
  lua_State *running = b->running;
  lunerv_bridge *previous = lunerv_enter(b);
  b->swift_on_stack = false;
  b->running = L;
  bool outermost = b->entered++ == 0;
  if (outermost) {
    b->stopped = false;
    if (b->stop) lunerv_stop_begin(b->stop);
  }
  if (lunerv_interrupt_requested())
    lunerv_arm(L);
  else if (outermost)
    b->interrupt_raised = false;
  int status = lua_pcall(L, arguments, results, handler);
  if (outermost && b->stop) b->stopped = lunerv_stop_end(b->stop);
  b->entered--;
  b->running = running;
  b->swift_on_stack = outer;
  lunerv_leave(previous);
  if (report) lua_remove(L, handler);
  return status;
}

/// The loaded chunk, or the error if it cannot be loaded.
static int finish_load(lua_State *L, int status) {
  if (status == LUA_OK) return 1;
  if (status != LUA_ERRMEM) lunerv_make_error(L, status == LUA_ERRFILE ? "io" : "data");
  return lua_error(L);
}

static int load_file(lua_State *L) {
  const char *path = lua_touserdata(L, 1);
  return finish_load(L, luaL_loadfilex(L, path, "t"));
}

int lunerv_load_file(lua_State *L, const char *path) {
  lua_pushcfunction(L, load_file);
  lua_pushlightuserdata(L, (void *)path);
  return lunerv_call(L, 1, 1, false);
}

typedef struct buffer {
  const char *bytes;
  size_t count;
  const char *name;
} buffer;

static int load_buffer(lua_State *L) {
  const buffer *b = lua_touserdata(L, 1);
  return finish_load(L, luaL_loadbufferx(L, b->bytes, b->count, b->name, "t"));
}

int lunerv_load_buffer(lua_State *L, const void *bytes, size_t count, const char *name) {
  buffer b = {bytes ? bytes : "", count, name};
  lua_pushcfunction(L, load_buffer);
  lua_pushlightuserdata(L, &b);
  return lunerv_call(L, 1, 1, false);
}

void lunerv_keep_error(lua_State *L) { lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_kept); }
void lunerv_take_kept_error(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_kept);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_kept);
}

// While Swift calls these, the allocator may exceed the limit, so they cannot raise.
int lunerv_reference(lua_State *L) { return luaL_ref(L, LUA_REGISTRYINDEX); }
void lunerv_push_reference(lua_State *L, int reference) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
}
void lunerv_unreference(lua_State *L, int reference) {
  luaL_unref(L, LUA_REGISTRYINDEX, reference);
}

// Modules and sources

static int prepend_path(lua_State *L) {
  const char *folder = lua_touserdata(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "path");
  const char *path = lua_tostring(L, -1);
  lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", folder, folder, path ? path : "");
  lua_setfield(L, -3, "path");
  return 0;
}

int lunerv_prepend_path(lua_State *L, const char *folder) {
  lua_pushcfunction(L, prepend_path);
  lua_pushlightuserdata(L, (void *)folder);
  return lunerv_call(L, 1, 0, false);
}

/// A searcher: calls its upvalue, a function name → (source, chunk name) or nil.
static int search_source(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_call(L, 1, 2);
  size_t count;
  const char *bytes = lua_tolstring(L, -2, &count);
  const char *chunk = lua_tostring(L, -1);
  if (!bytes || !chunk) {
    lua_pushnil(L);
    return 1;
  }
  if (luaL_loadbufferx(L, bytes, count, chunk, "t") != LUA_OK)
    return luaL_error(
        L, "error loading module '%s':\n\t%s", name, lua_tostring(L, -1));
  lua_pushstring(L, *chunk == '@' || *chunk == '=' ? chunk + 1 : chunk);
  return 2;
}

static int add_searcher(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "searchers");
  int searchers = lua_gettop(L);
  luaL_checktype(L, searchers, LUA_TTABLE);
  // The first searcher looks into package.preload; ours is next, before any folder.
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, searchers); i >= 2; i--) {
    lua_rawgeti(L, searchers, i);
    lua_rawseti(L, searchers, i + 1);
  }
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, search_source, 1);
  lua_rawseti(L, searchers, 2);
  return 0;
}

int lunerv_add_searcher(lua_State *L) {
  lua_pushcfunction(L, add_searcher);
  lua_insert(L, -2);
  return lunerv_call(L, 1, 0, false);
}

static int load_upvalue(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

static int preload(lua_State *L) {
  const char *name = lua_touserdata(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, load_upvalue, 1);
  lua_setfield(L, -2, name);
  return 0;
}

int lunerv_preload(lua_State *L, const char *name) {
  lua_pushcfunction(L, preload);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, (void *)name);
  return lunerv_call(L, 2, 0, false);
}

// The module "lunerv.bridge": the functions of the host that the stdlib needs.

/// set_error_path(path, method): path() gives the path of the module that is computing, or nil;
/// method(object, name) gives the message for calling an absent method of an object, or nil.
static int set_error_path(lua_State *L) {
  for (int i = 1; i <= 2; i++)
    if (!lua_isnoneornil(L, i)) luaL_checktype(L, i, LUA_TFUNCTION);
  lua_settop(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_method);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_path);
  return 0;
}

static int interrupted(lua_State *L) {
  lua_pushboolean(L, lunerv_interrupt_requested());
  return 1;
}

/// Asks for a stop if standard output has lost its reader.
static int stop_if_unread(lua_State *L) {
  lunerv_interrupt_unread();
  if (lunerv_interrupt_requested()) lunerv_arm(L);
  return 0;
}

/// new_error(kind, message, data): an error object. Kinds are those of LunervError.Kind; data is a
/// table of details or nil.
static int new_error(lua_State *L) {
  const char *kind = luaL_checkstring(L, 1);
  lua_settop(L, 3);
  luaL_tolstring(L, 2, NULL);
  lunerv_make_error(L, kind);
  lua_pushvalue(L, 3);
  lua_setfield(L, -2, "data");
  return 1;
}

/// is_error(value): whether the value is an error object.
static int is_error(lua_State *L) {
  lua_pushboolean(L, lunerv_is_error(L, 1));
  return 1;
}

/// error_of(raised): the error object that a raised text came from, which may hold more; any other
/// value is returned unchanged.
static int error_of(lua_State *L) {
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TSTRING && lunerv_is_noted(L, 1)) lunerv_adopt(L, L, 1);
  return 1;
}

static int note_origin(lua_State *L) {
  lunerv_note_origin(L, L, 1);
  return 1;
}

static int finish_shield(lua_State *L, int status) {
  lunerv_shield(-1);
  if (lunerv_interrupt_requested()) lunerv_arm(L);
  return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}

/// shield(f, ...): f's results; Ctrl-C is deferred until it is done.
static int shield(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_pushcfunction(L, note_origin);
  lua_insert(L, 1);
  lunerv_shield(1);
  return finish_shield(L, lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1));
}

/// Stack: message handler, cleanup, results or error.
static int finish_on_error(lua_State *L, int status, lua_KContext context) {
  (void)context;
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 2;
  lunerv_shield(1);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_pcall(L, 1, 0, 0);  // the first error is the one that is reported
  lunerv_shield(-1);
  if (lunerv_interrupt_requested()) lunerv_arm(L);
  lua_settop(L, 3);
  return lua_error(L);
}

/// on_error(f, cleanup, ...): f's results. After an error, Ctrl-C included, cleanup(error) runs
/// shielded, and the error is raised again.
static int on_error(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushcfunction(L, note_origin);
  lua_insert(L, 1);
  lua_pushvalue(L, 3);  // cleanup
  lua_remove(L, 3);
  lua_insert(L, 2);
  int arguments = lua_gettop(L) - 3;
  return finish_on_error(L, lua_pcallk(L, arguments, LUA_MULTRET, 1, 0, finish_on_error), 0);
}

static int finish_nested(lua_State *L, int status, lua_KContext context) {
  (void)context;
  lunerv_bridge_of(L)->depth--;
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) - 1 : lua_error(L);
}

/// nested(f, ...): f's results, with `depth` one higher until it returns or fails. The increment
/// belongs to the coroutine: it is undone while f has yielded.
static int nested(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_pushcfunction(L, note_origin);
  lua_insert(L, 1);
  lunerv_bridge_of(L)->depth++;
  int arguments = lua_gettop(L) - 2;
  return finish_nested(L, lua_pcallk(L, arguments, LUA_MULTRET, 1, 0, finish_nested), 0);
}

void lunerv_push_bridge_module(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"new_error", new_error},
      {"is_error", is_error},
      {"error_of", error_of},
      {"set_error_path", set_error_path},
      {"interrupted", interrupted},
      {"stop_if_unread", stop_if_unread},
      {"shield", shield},
      {"on_error", on_error},
      {"nested", nested},
      {"class_members", lunerv_class_members},
      {NULL, NULL},
  };
  lua_createtable(L, 0, 11);
  for (const luaL_Reg *f = functions; f->name; f++) {
    lua_pushstring(L, f->name);
    lua_pushcfunction(L, f->func);
    lua_rawset(L, -3);
  }
}

// Opening and closing

bool lunerv_push_library(lua_State *L, const char *name) {
  if (lua_getglobal(L, name) == LUA_TTABLE) return true;
  lua_pop(L, 1);
  return false;
}

void lunerv_set_up(lua_State *L) {
  lunerv_open_coroutines(L);
  lunerv_open_hooks(L);
  lunerv_open_errors(L);
  lua_pushcfunction(L, lunerv_error);
  lua_setglobal(L, "error");
  lua_pushcfunction(L, lunerv_assert);
  lua_setglobal(L, "assert");
  // Incremental: the generational mode of 5.4.4 is immature. At the default pace (200, 100)
  // userdata are made faster than they are collected, because a finalized object is freed only one
  // cycle later: after two million of them 48 MB were in use and rising. At this pace it is 0.1 MB
  // in the same time.
  lua_gc(L, LUA_GCINC, 150, 400, 0);
}

static int set_up(lua_State *L) {
  luaL_openlibs(L);
  lunerv_set_up(L);
  return 0;
}

/// `warn`: off until `warn("@on")`, as in the stand-alone interpreter.
static void warn(void *context, const char *message, int continues) {
  lunerv_bridge *b = context;
  if (!b->warning_continues && !continues && *message == '@') {
    if (strcmp(message, "@on") == 0) b->warnings_on = true;
    if (strcmp(message, "@off") == 0) b->warnings_on = false;
    return;
  }
  if (b->warnings_on)
    fprintf(
        stderr, "%s%s%s", b->warning_continues ? "" : "Lua warning: ", message,
        continues ? "" : "\n");
  b->warning_continues = continues;
}

lunerv_bridge *lunerv_open(lunerv_callbacks callbacks, void *host) {
  lunerv_bridge *b = calloc(1, sizeof *b);
  if (!b) return NULL;
  b->callbacks = callbacks;
  b->host = host;
  lua_State *L = lua_newstate(lunerv_allocate, b);
  if (!L) {
    free(b);
    return NULL;
  }
  b->main = b->running = L;
  *(lunerv_bridge **)lua_getextraspace(L) = b;
  lua_setwarnf(L, warn, b);
  lua_pushcfunction(L, set_up);
  if (lunerv_call(L, 0, 0, false) != LUA_OK) {
    lunerv_close(b);
    return NULL;
  }
  lunerv_keep_reserve(b);
  b->swift_on_stack = true;  // from here on Swift is the outermost frame
  return b;
}

void lunerv_close(lunerv_bridge *b) {
  b->limit = 0;
  b->closing = true;
  lua_close(b->main);
  if (b->stop) lunerv_stop_release(b->stop);
  free(b->reserve);
  free(b);
}
