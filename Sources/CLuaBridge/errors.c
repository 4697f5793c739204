// How messages are formed: where in the user's script, inside which module, what happened.

#include <string.h>

#include "internal.h"

static bool is_stdlib(const lua_Debug *frame) {
  return strncmp(frame->source, LUNERV_STDLIB_PREFIX, strlen(LUNERV_STDLIB_PREFIX)) == 0;
}

void lunerv_push_where(lua_State *L, int level) {
  lua_Debug frame;
  char fallback_source[LUA_IDSIZE] = "";
  int fallback_line = -1;
  lua_State *thread = L;
  lunerv_resumer *resumer = lunerv_bridge_of(L)->resumers;
  for (;;) {
    for (; lua_getstack(thread, level, &frame); level++) {
      lua_getinfo(thread, "Sl", &frame);
      if (frame.currentline <= 0) continue;
      if (!is_stdlib(&frame)) {
        lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
        return;
      }
      if (fallback_line < 0) {
        memcpy(fallback_source, frame.short_src, sizeof fallback_source);
        fallback_line = frame.currentline;
      }
    }
    if (!resumer) break;
    thread = resumer->thread;
    resumer = resumer->outer;
    level = 0;
  }
  if (fallback_line > 0)
    lua_pushfstring(L, "%s:%d: ", fallback_source, fallback_line);
  else
    lua_pushliteral(L, "");
}

void lunerv_push_path(lua_State *L) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  luaL_checkstack(L, 4, NULL);
  if (!b->forming_path &&
      lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_path) == LUA_TFUNCTION) {
    b->forming_path = true;
    int status = lua_pcall(L, 0, 1, 0);
    b->forming_path = false;
    if (status == LUA_OK && lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) > 0) {
      lua_pushliteral(L, ": ");
      lua_concat(L, 2);
      return;
    }
  } else if (b->forming_path) {
    lua_pushnil(L);
  }
  lua_pop(L, 1);
  lua_pushliteral(L, "");
}

/// Whether the running function was called as `object:name(…)`, so that the user did not
/// count the object.
static bool called_as_method(lua_State *L) {
  lua_Debug frame;
  if (!lua_getstack(L, 0, &frame)) return false;
  lua_getinfo(L, "n", &frame);
  return strcmp(frame.namewhat, "method") == 0;
}

int lunerv_raise_failure(lua_State *L, lunerv_bridge *b, int status) {
  if (status == LUNERV_RERAISE) return lua_error(L);
  if (status == LUNERV_INTERRUPT) return lunerv_raise_interrupt(L);
  int argument = b->argument;
  luaL_checkstack(L, 8, NULL);
  if (status == LUNERV_BAD_ARGUMENT) {
    const char *name = lua_tostring(L, -2), *detail = lua_tostring(L, -1);
    if (called_as_method(L)) argument--;
    if (argument == 0)
      lua_pushfstring(L, "calling '%s' on bad self (%s)", name, detail);
    else
      lua_pushfstring(L, "bad argument #%d to '%s' (%s)", argument, name, detail);
  } else if (status == LUNERV_TOO_MANY) {
    const char *name = lua_tostring(L, -1);
    int given = lua_gettop(L) - 1;
    if (called_as_method(L)) argument--, given--;
    lua_pushfstring(
        L, "too many arguments to '%s' (at most %d argument%s, got %d)", name, argument,
        argument == 1 ? "" : "s", given);
  }
  lunerv_push_where(L, 0);
  lunerv_push_path(L);
  lua_pushvalue(L, -3);
  lua_concat(L, 3);
  lunerv_note_failure(L);
  return lua_error(L);
}

void lunerv_note_failure(lua_State *L) {
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_last);
}

bool lunerv_is_last_failure(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  bool found = false;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_last) == LUA_TSTRING)
    found = message && strstr(message, lua_tostring(L, -1)) != NULL;
  lua_pop(L, 1);
  return found;
}

int lunerv_error(lua_State *L) {
  int level = (int)luaL_optinteger(L, 2, 1);
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TSTRING || level <= 0) return lua_error(L);
  lua_Debug frame;
  if (lua_getstack(L, level, &frame)) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline > 0) {
      lunerv_push_where(L, level);
      if (is_stdlib(&frame))
        lunerv_push_path(L);
      else
        lua_pushliteral(L, "");
      lua_pushvalue(L, 1);
      lua_concat(L, 3);
    }
  }
  return lua_error(L);
}

/// The length of "file:line: " at the start of a message, or 0.
static size_t position_length(const char *message) {
  for (const char *colon = strchr(message, ':'); colon; colon = strchr(colon + 1, ':')) {
    if (strchr(message, '\n') && strchr(message, '\n') < colon) return 0;
    const char *digit = colon + 1;
    while (*digit >= '0' && *digit <= '9') digit++;
    if (digit > colon + 1 && digit[0] == ':' && digit[1] == ' ')
      return (size_t)(digit + 2 - message);
  }
  return 0;
}

/// Replaces a position in the stdlib by the user's, and adds the module path when the
/// message lacks it. Works on the string on top.
static void place_message(lua_State *L) {
  int at = lua_gettop(L);
  const char *message = lua_tostring(L, at);
  size_t position = position_length(message);
  const char *stdlib = &LUNERV_STDLIB_PREFIX[1];
  if (position && strncmp(message, stdlib, strlen(stdlib)) == 0)
    lunerv_push_where(L, 1);
  else
    lua_pushlstring(L, message, position);
  lunerv_push_path(L);
  const char *path = lua_tostring(L, -1);
  size_t length = strlen(path);
  if (length > 2) {
    lua_pushlstring(L, path, length - 2);  // without ": "
    if (strstr(message, lua_tostring(L, -1))) {
      lua_pushliteral(L, "");
      lua_replace(L, at + 2);
    }
    lua_pop(L, 1);
  }
  lua_pushlstring(L, message + position, lua_rawlen(L, at) - position);
  lua_concat(L, 3);
  lua_replace(L, at);
}

/// Turns any error value at index 1 into a string.
static void describe_error(lua_State *L) {
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TSTRING) return;
  if (lua_type(L, 1) == LUA_TNUMBER) {
    lua_tostring(L, 1);
    return;
  }
  if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) {
    lua_replace(L, 1);
    return;
  }
  lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  lua_replace(L, 1);
  lua_settop(L, 1);
}

void lunerv_note_origin(lua_State *L, lua_State *from, int level) {
  if (lua_type(L, -1) != LUA_TSTRING) return;
  // An error on its way up keeps the place where it was seen first.
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_origin);
  bool known = lua_rawequal(L, -1, -2);
  lua_pop(L, 1);
  if (known) return;
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_origin);
  luaL_traceback(L, from, NULL, level);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_origin_traceback);
}

int lunerv_report(lua_State *L) {
  describe_error(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_origin);
  bool noted = lua_rawequal(L, 1, 2);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_interrupt);
  bool interrupt = lunerv_bridge_of(L)->interrupt_raised && lua_rawequal(L, 1, 3);
  lua_settop(L, 1);
  if (!lunerv_is_last_failure(L)) place_message(L);
  if (interrupt)
    lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_interrupt_traceback);
  else if (noted)
    lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_origin_traceback);
  else
    luaL_traceback(L, L, NULL, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_traceback);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_origin);
  return 1;
}
