// Error objects in Lua: a table with the fields kind, message, where, module and data that behaves
// as its text in tostring, `..`, `#`, `<`, string functions and methods, print and write.

#include <string.h>

#include "internal.h"

bool lunerv_is_error(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE || !lua_checkstack(L, 1) || !lua_getmetatable(L, index))
    return false;
  bool same = lua_topointer(L, -1) == lunerv_bridge_of(L)->error_class;
  lua_pop(L, 1);
  return same;
}

void lunerv_class_error(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_error_class);
  lua_setmetatable(L, -2);
}

/// Pushes the string in a field, or "".
static const char *push_field(lua_State *L, int index, const char *name) {
  lua_pushstring(L, name);
  if (lua_rawget(L, index) == LUA_TSTRING) return lua_tostring(L, -1);
  lua_pop(L, 1);
  return lua_pushliteral(L, "");
}

void lunerv_push_text(lua_State *L, int index) {
  static const char *const fields[] = {"where", "module", "message"};
  index = lua_absindex(L, index);
  luaL_checkstack(L, 8, NULL);
  for (int i = 0; i < 3; i++) {
    if (*push_field(L, index, fields[i]) && i < 2) {
      lua_pushliteral(L, ": ");
      lua_concat(L, 2);
    }
  }
  lua_concat(L, 3);
}

void lunerv_make_error(lua_State *L, const char *kind) {
  lua_createtable(L, 0, 5);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  lunerv_class_error(L);
}

// Behaving as text

/// Replaces an error by its text.
static void become_text(lua_State *L, int index) {
  if (!lunerv_is_error(L, index)) return;
  lunerv_push_text(L, index);
  lua_replace(L, index);
}

/// A function of the standard library that takes error arguments as their text. The original has no
/// upvalues, so it runs instead of this one.
static int with_text(lua_State *L) {
  for (int i = lua_gettop(L); i > 0; i--) become_text(L, i);
  return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/// Makes functions of the table on top accept errors as text: the one named `only`, or all.
static void accept_errors(lua_State *L, const char *only) {
  for (lua_pushnil(L); lua_next(L, -2);) {
    bool named = lua_type(L, -2) == LUA_TSTRING &&
                 (!only || strcmp(lua_tostring(L, -2), only) == 0);
    if (named && lua_iscfunction(L, -1)) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_pushcclosure(L, with_text, 1);
      lua_rawset(L, -4);
    } else {
      lua_pop(L, 1);
    }
  }
}

static int to_text(lua_State *L) {
  luaL_argexpected(L, lunerv_is_error(L, 1), 1, "error");
  lunerv_push_text(L, 1);
  return 1;
}

static int text_length(lua_State *L) {
  become_text(L, 1);
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
  return 1;
}

static int concatenate(lua_State *L) {
  lua_settop(L, 2);
  become_text(L, 1);
  become_text(L, 2);
  for (int i = 1; i <= 2; i++) {
    if (lua_type(L, i) != LUA_TSTRING && lua_type(L, i) != LUA_TNUMBER)
      return luaL_error(L, "attempt to concatenate a %s value", luaL_typename(L, i));
  }
  lua_concat(L, 2);
  return 1;
}

static int compare(lua_State *L, int operation) {
  lua_settop(L, 2);
  become_text(L, 1);
  become_text(L, 2);
  if (lua_type(L, 1) != LUA_TSTRING || lua_type(L, 2) != LUA_TSTRING)
    return luaL_error(
        L, "attempt to compare %s with %s", luaL_typename(L, 1), luaL_typename(L, 2));
  lua_pushboolean(L, lua_compare(L, 1, 2, operation));
  return 1;
}

static int less(lua_State *L) { return compare(L, LUA_OPLT); }
static int less_or_equal(lua_State *L) { return compare(L, LUA_OPLE); }

/// As the original, but also for errors; the host then knows which error the text came from.
static int traceback(lua_State *L) {
  int message = lua_isthread(L, 1) ? 2 : 1;
  lua_State *thread = message == 2 ? lua_tothread(L, 1) : L;
  int level = (int)luaL_optinteger(L, message + 1, thread == L ? 1 : 0);
  lua_settop(L, message);
  bool is_error = lunerv_is_error(L, message);
  if (!is_error && !lua_isnil(L, message) && !lua_isstring(L, message)) return 1;
  luaL_traceback(L, thread, NULL, level);
  if (lua_isnil(L, message)) return 1;
  int trace = lua_gettop(L);
  if (is_error)
    lunerv_push_text(L, message);
  else
    lua_pushvalue(L, message);
  lua_pushliteral(L, "\n");
  lua_pushvalue(L, trace);
  lua_concat(L, 3);
  lua_pushvalue(L, message);
  lunerv_adopt(L, thread, level);
  lua_pushvalue(L, trace);
  lua_setfield(L, -2, "traceback");
  lunerv_note_error(L, -2);
  return 1;
}

void lunerv_open_errors(lua_State *L) {
  static const luaL_Reg metamethods[] = {
      {"__tostring", to_text}, {"__len", text_length},    {"__concat", concatenate},
      {"__lt", less},          {"__le", less_or_equal}, {NULL, NULL},
  };
  if (lunerv_push_library(L, LUA_STRLIBNAME))
    accept_errors(L, NULL);
  else
    lua_newtable(L);
  luaL_newlib(L, metamethods);
  lua_insert(L, -2);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "error");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, false);
  lua_setfield(L, -2, "__metatable");
  lunerv_bridge_of(L)->error_class = lua_topointer(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_error_class);

  if (lunerv_push_library(L, LUA_IOLIBNAME)) {
    accept_errors(L, "write");
    luaL_getmetatable(L, LUA_FILEHANDLE);
    lua_getfield(L, -1, "__index");
    accept_errors(L, "write");
    lua_pop(L, 3);
  }
  if (lunerv_push_library(L, LUA_DBLIBNAME)) {
    lua_pushcfunction(L, traceback);
    lua_setfield(L, -2, "traceback");
    lua_pop(L, 1);
  }

  // Made in advance: when it is needed, there is no memory to make it.
  lua_pushliteral(L, "not enough memory");
  lunerv_make_error(L, "memory");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_memory);
}
