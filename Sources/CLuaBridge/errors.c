// Where an error is in the user's script, and inside which module; raising and reporting.

#include <string.h>

#include "internal.h"

/// Frames that are searched for a user's: finding one visits all above it, and a recursion without
/// end has hundreds of thousands.
enum { most_levels = 1000 };

static bool is_stdlib(const lua_Debug *frame) {
  return strncmp(frame->source, LUNERV_STDLIB_PREFIX, strlen(LUNERV_STDLIB_PREFIX)) == 0;
}

/// Pushes the innermost place in a user's file: of `thread`, from `level` on, or of those that
/// resumed it.
static void push_where(lua_State *L, lua_State *thread, int level) {
  lua_Debug frame;
  char fallback_source[LUA_IDSIZE] = "";
  int fallback_line = -1;
  lunerv_resumer *resumer = lunerv_bridge_of(L)->resumers;
  for (;;) {
    for (int end = level + most_levels; level < end && lua_getstack(thread, level, &frame); level++) {
      lua_getinfo(thread, "Sl", &frame);
      if (frame.currentline <= 0) continue;
      if (!is_stdlib(&frame)) {
        lua_pushfstring(L, "%s:%d", frame.short_src, frame.currentline);
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
    lua_pushfstring(L, "%s:%d", fallback_source, fallback_line);
  else
    lua_pushliteral(L, "");
}

void lunerv_push_where(lua_State *L, int level) { push_where(L, L, level); }

void lunerv_push_path(lua_State *L) {
  lunerv_bridge *b = lunerv_bridge_of(L);
  luaL_checkstack(L, 4, NULL);
  if (!b->forming_path) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_path) == LUA_TFUNCTION) {
      b->forming_path = true;
      int status = lua_pcall(L, 0, 1, 0);
      b->forming_path = false;
      if (status == LUA_OK && lua_type(L, -1) == LUA_TSTRING) return;
    }
    lua_pop(L, 1);
  }
  lua_pushliteral(L, "");
}

/// Gives the table on top a field, if it has none: the string above it, unless that is empty.
static void fill_field(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  bool absent = lua_rawget(L, -3) == LUA_TNIL && lua_rawlen(L, -2) > 0;
  lua_pop(L, 1);
  if (absent)
    lua_setfield(L, -2, name);
  else
    lua_pop(L, 1);
}

void lunerv_place_error(lua_State *L, int level) {
  luaL_checkstack(L, 8, NULL);
  lunerv_push_where(L, level);
  fill_field(L, "where");
  lunerv_push_path(L);
  fill_field(L, "module");
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
    const char *name = lua_tostring(L, -3), *label = lua_tostring(L, -2);
    const char *detail = lua_tostring(L, -1);
    if (called_as_method(L)) argument--;
    if (argument == 0)
      lua_pushfstring(L, "%s: self: %s", name, detail);
    else if (*label)
      lua_pushfstring(L, "%s: argument %d (%s): %s", name, argument, label, detail);
    else
      lua_pushfstring(L, "%s: argument %d: %s", name, argument, detail);
    lunerv_make_error(L, "argument");
  } else if (status == LUNERV_TOO_MANY) {
    const char *name = lua_tostring(L, -1);
    int given = lua_gettop(L) - 1;
    if (called_as_method(L)) argument--, given--;
    lua_pushfstring(
        L, "%s: expected at most %d argument%s, got %d", name, argument, argument == 1 ? "" : "s",
        given);
    lunerv_make_error(L, "argument");
  }
  lunerv_place_error(L, 0);
  return lua_error(L);
}

int lunerv_error(lua_State *L) {
  int level = (int)luaL_optinteger(L, 2, 1);
  lua_settop(L, 1);
  lua_Debug frame;
  bool of_stdlib = lua_getstack(L, 1, &frame) && lua_getinfo(L, "S", &frame) && is_stdlib(&frame);
  if (lua_type(L, 1) == LUA_TSTRING) {
    if (of_stdlib) {
      lunerv_make_error(L, "argument");
    } else {
      // A script's text stays a text, preceded by the place where it is raised.
      lua_pushvalue(L, 1);
      lunerv_make_error(L, "script");
      bool is_placed = level > 0 && lua_getstack(L, level, &frame) &&
                       lua_getinfo(L, "l", &frame) && frame.currentline > 0;
      if (is_placed) {
        lunerv_place_error(L, level);
        lua_getfield(L, 2, "where");
        lua_pushliteral(L, ": ");
        lua_pushvalue(L, 1);
        lua_concat(L, 3);
        lua_replace(L, 1);
      }
      lunerv_note_error(L, 1);
    }
  }
  if (of_stdlib && level > 0 && lunerv_is_error(L, 1)) lunerv_place_error(L, level);
  return lua_error(L);
}

int lunerv_assert(lua_State *L) {
  luaL_checkany(L, 1);
  if (lua_toboolean(L, 1)) return lua_gettop(L);
  if (lua_gettop(L) < 2) return luaL_error(L, "assertion failed!");
  lua_settop(L, 2);
  // An error that a function returned after nil was never raised, so it has no place yet.
  if (lunerv_is_error(L, 2)) lunerv_place_error(L, 1);
  return lua_error(L);
}

/// Whether the value at `index` is the text that was noted last.
bool lunerv_is_noted(lua_State *L, int index) {
  index = lua_absindex(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_text);
  bool noted = lua_type(L, index) == LUA_TSTRING && lua_rawequal(L, -1, index);
  lua_pop(L, 1);
  return noted;
}

void lunerv_note_error(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (lunerv_is_noted(L, index)) {
    // Raised again: keeps what was recorded when it was raised first.
    lua_pop(L, 1);
    return;
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_text_error);
  lua_pushvalue(L, index);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &lunerv_key_text);
}

/// Replaces the value on top by its text: as it is, of its __tostring, or its type's name.
static void describe(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING) return;
  if (lua_type(L, -1) == LUA_TNUMBER) {
    lua_tostring(L, -1);
    return;
  }
  if (luaL_callmeta(L, -1, "__tostring")) {
    lua_remove(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING) return;
  }
  lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, -1));
  lua_remove(L, -2);
}

/// Splits the text on top into the place that the interpreter has put in front of it, "" if there
/// is none, and the message. A place in the stdlib becomes the user's. Returns the level where it
/// was raised, or -1.
static int split_place(lua_State *L, lua_State *from, int level) {
  lua_Debug frame;
  for (int end = level + most_levels; level < end && lua_getstack(from, level, &frame); level++) {
    lua_getinfo(from, "Sl", &frame);
    if (frame.currentline <= 0) continue;
    const char *place = lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
    size_t length = strlen(place);
    if (strncmp(place, lua_tostring(L, -2), length) != 0) {
      lua_pop(L, 1);
      break;
    }
    if (is_stdlib(&frame))
      push_where(L, from, level);
    else
      lua_pushlstring(L, place, length - 2);
    lua_pushlstring(L, lua_tostring(L, -3) + length, lua_rawlen(L, -3) - length);
    lua_replace(L, -4);
    lua_replace(L, -2);
    lua_insert(L, -2);
    return level;
  }
  lua_pushliteral(L, "");
  lua_insert(L, -2);
  return -1;
}

/// Asks the function given to set_error_path about the absent method `name` of the value on top,
/// and pops the value. If it gives a message, that replaces the text below, and this returns true.
static bool ask_about_method(lua_State *L, const char *name) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_method);
  lua_insert(L, -2);
  lua_pushstring(L, name);
  bool said = lua_pcall(L, 2, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING;
  if (said)
    lua_replace(L, -2);
  else
    lua_pop(L, 1);
  return said;
}

/// If the text on top, raised at `level` of `from`, says that a method is absent, finds out whose.
/// The call has left its function, nil, and the object side by side in the frame.
static void name_methods(lua_State *L, lua_State *from, int level) {
  static const char start[] = "attempt to call a nil value (method '";
  const char *text = lua_tostring(L, -1);
  if (strncmp(text, start, sizeof start - 1) != 0) return;
  const char *end = strchr(text + sizeof start - 1, '\'');
  lua_Debug frame;
  if (!end || !lua_getstack(from, level, &frame) || !lua_checkstack(from, 2)) return;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_method) != LUA_TFUNCTION) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  const char *name = lua_pushlstring(L, text + sizeof start - 1, end - text - (sizeof start - 1));
  lua_insert(L, -2);
  int count = 0;
  for (; lua_getlocal(from, &frame, count + 1); count++) lua_pop(from, 1);
  bool was_object = false;  // whether the slot above holds a value
  for (int i = count; i > 0; i--) {
    if (!lua_getlocal(from, &frame, i)) break;
    bool is_nil = lua_isnil(from, -1);
    lua_pop(from, 1);
    if (is_nil && was_object) {
      lua_getlocal(from, &frame, i + 1);
      lua_xmove(from, L, 1);
      if (ask_about_method(L, name)) break;
    }
    was_object = !is_nil;
  }
  lua_remove(L, -2);
}

/// If the text on top says that the stack is full, adds the name of the function that was called
/// once too often at `level` of `from`.
static void name_recursion(lua_State *L, lua_State *from, int level) {
  lua_Debug frame;
  if (strcmp(lua_tostring(L, -1), "stack overflow") != 0 || !lua_getstack(from, level, &frame))
    return;
  lua_getinfo(from, "n", &frame);
  if (!frame.name) return;
  lua_pop(L, 1);
  lua_pushfstring(
      L, "stack overflow in '%s': does it call itself without an end?", frame.name);
}

/// If the interpreter raised the text on top inside the library, at `level` of `from`, puts the
/// name of the library's function that the user called in front: the text names only the library's
/// variables, which mean nothing to a user.
static void name_function(lua_State *L, lua_State *from, int level) {
  static const char *const called[] = {"field", "method", "global", "local", "upvalue"};
  const char *text = lua_tostring(L, -1);
  if (strncmp(text, "attempt to ", 11) != 0 && strncmp(text, "bad argument ", 13) != 0) return;
  lua_Debug frame, inner;
  bool is_inner = false;  // whether `inner` is a function of the library
  for (int end = level + most_levels; level < end && lua_getstack(from, level, &frame); level++) {
    lua_getinfo(from, "Sln", &frame);
    bool is_own = is_stdlib(&frame);
    if (frame.currentline > 0 && !is_own) break;
    inner = frame;
    is_inner = is_own;
  }
  if (!is_inner || !inner.name) return;
  for (size_t i = 0; i < sizeof called / sizeof *called; i++) {
    if (strcmp(inner.namewhat, called[i]) == 0) {
      lua_pushfstring(L, "%s: %s", inner.name, text);
      lua_replace(L, -2);
      return;
    }
  }
}

void lunerv_adopt(lua_State *L, lua_State *from, int level) {
  if (lunerv_is_error(L, -1)) return;
  luaL_checkstack(L, 8, NULL);
  if (lunerv_is_noted(L, -1)) {
    lua_pop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_text_error);
    return;
  }
  bool is_text = lua_type(L, -1) == LUA_TSTRING;
  describe(L);
  int raised = split_place(L, from, level);
  if (raised >= 0) {
    name_methods(L, from, raised);
    name_recursion(L, from, raised);
    name_function(L, from, raised);
  } else if (is_text) {
    // A function of Lua's own library raised it (assert, require), for the line that called that.
    push_where(L, from, level);
    if (lua_rawlen(L, -1) == 0 && from != L) {
      // A coroutine that was dead has no lines.
      lua_pop(L, 1);
      push_where(L, L, 0);
    }
    lua_replace(L, -3);
  }
  lunerv_make_error(L, "script");
  lua_insert(L, -2);
  fill_field(L, "where");
  lunerv_push_path(L);
  fill_field(L, "module");
}

static bool has_traceback(lua_State *L, int index) {
  index = lua_absindex(L, index);
  lua_pushliteral(L, "traceback");
  bool has = lua_rawget(L, index) != LUA_TNIL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lunerv_key_memory);
  has = has || lua_rawequal(L, -1, index);  // all failures share that one, so it has no place
  lua_pop(L, 2);
  return has;
}

static void add_traceback(lua_State *L, lua_State *from, int level) {
  luaL_traceback(L, from, NULL, level);
  lua_setfield(L, -2, "traceback");
}

void lunerv_note_origin(lua_State *L, lua_State *from, int level) {
  luaL_checkstack(L, 8, NULL);
  lua_pushvalue(L, -1);
  bool is_text = lua_type(L, -1) == LUA_TSTRING;
  if (!is_text && !lunerv_is_error(L, -1)) {
    lua_pop(L, 1);
    return;
  }
  lunerv_adopt(L, from, level);
  // An error on its way up keeps the place where it was seen first.
  if (!has_traceback(L, -1)) add_traceback(L, from, level);
  if (is_text)
    lunerv_note_error(L, -2);
  else
    lua_pop(L, 1);
}

int lunerv_report(lua_State *L) {
  lua_settop(L, 1);
  bool is_error = lunerv_is_error(L, 1), known = lunerv_is_noted(L, 1);
  lunerv_adopt(L, L, 1);
  // Errors raised without a position, on purpose, need none.
  lua_pushliteral(L, "where");
  bool is_placed = lua_rawget(L, 1) != LUA_TNIL;
  lua_settop(L, 1);
  if (!has_traceback(L, 1) && (is_placed || !(is_error || known))) add_traceback(L, L, 1);
  return 1;
}
