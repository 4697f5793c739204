// Userdata that own one reference to a Swift object each.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define BLOCK_MAGIC UINT64_C(0x6c756e6572766f62)

/// The block of any userdata of ours, closed or not, whatever its metatable.
static lunerv_block *any_block(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) != sizeof(lunerv_block))
    return NULL;
  lunerv_block *block = lua_touserdata(L, index);
  return block->magic == BLOCK_MAGIC ? block : NULL;
}

lunerv_block *lunerv_to_block(lua_State *L, int index) {
  lunerv_block *block = any_block(L, index);
  if (!block || !lua_checkstack(L, 1) || !lua_getmetatable(L, index)) return NULL;
  bool same = lua_topointer(L, -1) == block->metatable;
  lua_pop(L, 1);
  return same ? block : NULL;
}

static void release_object(lunerv_bridge *b, void *object) {
  bool outer = b->swift_on_stack;
  b->swift_on_stack = true;
  b->callbacks.release(object);
  b->swift_on_stack = outer;
}

static void drop(lunerv_bridge *b, lunerv_holding *holding) {
  if (b->holdings == holding) b->holdings = holding->next;
  if (holding->previous) holding->previous->next = holding->next;
  if (holding->next) holding->next->previous = holding->previous;
  free(holding);
}

static void note(lunerv_bridge *b, lunerv_block *block) {
  lunerv_holding *holding = calloc(1, sizeof *holding);
  if (!holding) return;
  holding->object = block->object;
  holding->next = b->holdings;
  if (b->holdings) b->holdings->previous = holding;
  b->holdings = block->holding = holding;
}

static void release(lua_State *L, lunerv_block *block) {
  void *object = block->object;
  block->object = NULL;
  if (!object) return;
  lunerv_bridge *b = lunerv_bridge_of(L);
  if (b->attachment && b->closing) return;  // already released at the state's end
  if (block->holding) drop(b, block->holding);
  block->holding = NULL;
  release_object(b, object);
}

void lunerv_release_all(lunerv_bridge *b) {
  while (b->holdings) {
    void *object = b->holdings->object;
    drop(b, b->holdings);
    release_object(b, object);
  }
}

void lunerv_push_object(lua_State *L, void *object, const void *info) {
  lunerv_block *block = lua_newuserdatauv(L, sizeof *block, 0);
  memset(block, 0, sizeof *block);
  lua_rawgetp(L, LUA_REGISTRYINDEX, info);
  block->magic = BLOCK_MAGIC;
  block->metatable = lua_topointer(L, -1);
  block->info = info;
  block->object = object;
  lua_setmetatable(L, -2);
  lunerv_bridge *b = lunerv_bridge_of(L);
  // An object made by a finalizer would itself have none: it is closed from the start.
  if (b->closing) {
    block->object = NULL;
    release_object(b, object);
  } else if (b->attachment) {
    note(b, block);
  }
}

/// Users may call this with any value: it only ever closes blocks of ours.
static int collect_object(lua_State *L) {
  lunerv_block *block = any_block(L, 1);
  if (block) release(L, block);
  return 0;
}

/// __close with the class's own function as upvalue (or nil): runs that once, with the error that
/// ends the scope or nil, then releases the object whatever the outcome.
static int close_object(lua_State *L) {
  lunerv_block *block = any_block(L, 1);
  if (!block || !block->object) return 0;
  int status = LUA_OK;
  lua_settop(L, 2);
  if (!lua_isnil(L, lua_upvalueindex(1))) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    status = lua_pcall(L, 2, 0, 0);
  }
  release(L, block);
  return status == LUA_OK ? 0 : lua_error(L);
}

static int equal_objects(lua_State *L) {
  lunerv_block *a = any_block(L, 1), *b = any_block(L, 2);
  lua_pushboolean(L, a && b && a->object && a->object == b->object);
  return 1;
}

static int describe_object(lua_State *L) {
  lunerv_block *block = any_block(L, 1);
  const char *name = lua_tostring(L, lua_upvalueindex(1));
  if (block && block->object)
    lua_pushfstring(L, "%s: %p", name, block->object);
  else
    lua_pushfstring(L, "%s (closed)", name);
  return 1;
}

/// Upvalues: methods, getters, the class's own __index or nil.
static int index_object(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) {
      lua_pushvalue(L, 1);
      lua_call(L, 1, 1);
      return 1;
    }
  }
  if (lua_isnil(L, lua_upvalueindex(3))) return 0;
  lua_pushvalue(L, lua_upvalueindex(3));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 1);
  return 1;
}

static int fail(lua_State *L, const char *format, const char *a, const char *b) {
  lua_pushfstring(L, format, a, b);
  lunerv_make_error(L, "argument");
  lunerv_place_error(L, 0);
  return lua_error(L);
}

/// Upvalues: setters, getters, the class's own __newindex or nil, class name.
static int assign_object(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
      lua_pushvalue(L, 1);
      lua_pushvalue(L, 3);
      lua_call(L, 2, 0);
      return 0;
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
      return fail(
          L, "'%s' of a %s cannot be assigned", lua_tostring(L, 2),
          lua_tostring(L, lua_upvalueindex(4)));
  }
  if (!lua_isnil(L, lua_upvalueindex(3))) {
    lua_settop(L, 3);
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_insert(L, 1);
    lua_call(L, 3, 0);
    return 0;
  }
  const char *name = lua_tostring(L, lua_upvalueindex(4));
  return fail(
      L, strchr("aeiou", *name) ? "an %s has no field '%s'" : "a %s has no field '%s'", name,
      luaL_tolstring(L, 2, NULL));
}

/// Pushes a copy of the table that is an upvalue of the function on top, or an empty one.
static void copy_upvalue(lua_State *L, int upvalue) {
  int function = lua_gettop(L);
  lua_newtable(L);
  int copy = lua_gettop(L);
  if (!lua_getupvalue(L, function, upvalue)) return;
  if (lua_istable(L, -1)) {
    for (lua_pushnil(L); lua_next(L, -2);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, copy);
    }
  }
  lua_settop(L, copy);
}

int lunerv_class_members(lua_State *L) {
  lua_settop(L, 1);
  if (!lunerv_to_block(L, 1) || !lua_getmetatable(L, 1)) return 0;
  lua_pushliteral(L, "__index");
  if (lua_rawget(L, -2) != LUA_TFUNCTION || lua_tocfunction(L, -1) != index_object) return 0;
  copy_upvalue(L, 1);
  lua_pushvalue(L, 3);
  copy_upvalue(L, 2);
  lua_remove(L, -2);
  return 2;
}

/// Arguments: methods, getters, setters, metamethods, name and info (light userdata).
static int make_class(lua_State *L) {
  const char *name = lua_touserdata(L, 5);
  const void *info = lua_touserdata(L, 6);
  const int methods = 1, getters = 2, setters = 3, meta = 4;

  lua_pushvalue(L, methods);
  lua_pushvalue(L, getters);
  lua_getfield(L, meta, "__index");
  lua_pushcclosure(L, index_object, 3);
  lua_setfield(L, meta, "__index");

  lua_pushvalue(L, setters);
  lua_pushvalue(L, getters);
  lua_getfield(L, meta, "__newindex");
  lua_pushstring(L, name);
  lua_pushcclosure(L, assign_object, 4);
  lua_setfield(L, meta, "__newindex");

  lua_getfield(L, meta, "__close");
  lua_pushcclosure(L, close_object, 1);
  lua_setfield(L, meta, "__close");

  if (lua_getfield(L, meta, "__eq") == LUA_TNIL) {
    lua_pushcfunction(L, equal_objects);
    lua_setfield(L, meta, "__eq");
  }
  if (lua_getfield(L, meta, "__tostring") == LUA_TNIL) {
    lua_pushstring(L, name);
    lua_pushcclosure(L, describe_object, 1);
    lua_setfield(L, meta, "__tostring");
  }
  lua_pushcfunction(L, collect_object);
  lua_setfield(L, meta, "__gc");
  lua_pushstring(L, name);
  lua_setfield(L, meta, "__name");
  lua_pushboolean(L, false);
  lua_setfield(L, meta, "__metatable");

  lua_pushvalue(L, meta);
  lua_rawsetp(L, LUA_REGISTRYINDEX, info);
  return 0;
}

int lunerv_make_class(lua_State *L, const char *name, const void *info) {
  lua_pushcfunction(L, make_class);
  lua_insert(L, -5);
  lua_pushlightuserdata(L, (void *)name);
  lua_pushlightuserdata(L, (void *)info);
  return lunerv_call(L, 6, 0, false);
}
