#pragma once

// The only place in the project that may raise a Lua error. Swift returns a status; the C function
// that called it raises once no Swift frame is left on the stack.

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a Swift function returns instead of its number of results. The values named here are on top
// of the Lua stack.
static const int LUNERV_RAISE = -1;         // error object; its place is added
static const int LUNERV_BAD_ARGUMENT = -2;  // name, parameter, detail; `argument` is its index
static const int LUNERV_TOO_MANY = -3;      // name; `argument` is the largest number allowed
static const int LUNERV_RERAISE = -4;       // an error value, raised unchanged
static const int LUNERV_INTERRUPT = -5;     // nothing
static const int LUNERV_AGAIN = -6;         // the arguments: collect garbage and call again

static const int LUNERV_REGISTRY = LUA_REGISTRYINDEX;
static const int64_t LUNERV_GLOBALS = LUA_RIDX_GLOBALS;

/// A chunk whose name starts with this belongs to the stdlib: errors are never placed there.
#define LUNERV_STDLIB_PREFIX "@lunerv:"

typedef struct lunerv_callbacks {
  /// Runs a registered function; returns the number of results pushed or a status above.
  int (*_Nullable call)(void *_Nonnull function, lua_State *_Nonnull L);
  /// Releases the one reference that a userdata holds.
  void (*_Nullable release)(void *_Nonnull object);
} lunerv_callbacks;

/// Records the object of a block outside of Lua's memory: when the state ends, this finds objects
/// that have no finalizer.
typedef struct lunerv_holding {
  void *_Nonnull object;
  struct lunerv_holding *_Nullable previous, *_Nullable next;
} lunerv_holding;

/// Asks one state to stop, from any thread (stop.c).
typedef struct lunerv_stop lunerv_stop;
/// A state that is not ours: its allocator, and the blocks that it refused (attach.c).
typedef struct lunerv_attachment lunerv_attachment;

/// The thread that resumed a coroutine, then the one that resumed that, and so on.
typedef struct lunerv_resumer {
  lua_State *_Nonnull thread;
  struct lunerv_resumer *_Nullable outer;
} lunerv_resumer;

/// The bridge's data for one Lua state; found from any of its threads.
typedef struct lunerv_bridge {
  lua_State *_Nullable main;
  /// The coroutine that is running: the one that a signal must hook.
  lua_State *_Nullable volatile running;
  lunerv_resumer *_Nullable resumers;
  void *_Nullable host;
  lunerv_callbacks callbacks;

  size_t used;
  size_t limit;  // 0: none
  /// Set while Swift is above the innermost Lua frame. A failed allocation would jump across it, so
  /// the allocator exceeds the limit instead, and the trampoline raises afterwards.
  bool swift_on_stack;
  /// A value exceeded the limit and was refused, or the machine had no memory left for one.
  bool over_limit;
  bool collect_requested;
  bool interrupt_raised;
  bool forming_path;
  /// The metatable of error objects.
  const void *_Nullable error_class;
  int argument;
  /// How many protected calls of Lua from Swift are running.
  int entered;
  bool closing;
  bool warnings_on;
  bool warning_continues;
  /// A counter that follows control flow through coroutines (see `nested`).
  int64_t depth;
  bool depths_stored;
  /// The host's number for the place in its model where the code runs. It follows control flow too.
  /// A coroutine without its own has that of the code that resumed it.
  int64_t site;
  bool sites_stored;
  /// Memory reserved for when the machine has none left and Swift is on the stack.
  void *_Nullable reserve;
  /// Null if no other thread can ask for a stop.
  lunerv_stop *_Nullable stop;
  /// Whether it ended the last outermost call.
  bool stopped;
  /// Null for a state of our own.
  lunerv_attachment *_Nullable attachment;
  /// Objects that Lua holds in a state that is not ours, newest first.
  struct lunerv_holding *_Nullable holdings;
} lunerv_bridge;

/// A Swift object held by Lua. `object` is one retained pointer, or null once closed.
typedef struct lunerv_block {
  uint64_t magic;
  const void *_Nullable metatable;
  const void *_Nullable info;
  void *_Nullable object;
  struct lunerv_holding *_Nullable holding;
} lunerv_block;

/// Whether this code is a module of a plain Lua, where no state is ours.
extern bool lunerv_is_module;
/// The bridge of a state that is not ours. Its extra space may be in use by its program, and that
/// of older coroutines is uninitialised.
lunerv_bridge *_Nonnull lunerv_find_bridge(lua_State *_Nonnull L);
static inline lunerv_bridge *_Nonnull lunerv_bridge_of(lua_State *_Nonnull L) {
  return lunerv_is_module ? lunerv_find_bridge(L) : *(lunerv_bridge **)lua_getextraspace(L);
}

// States

/// A state with the standard libraries, or null if memory is short.
lunerv_bridge *_Nullable lunerv_open(lunerv_callbacks callbacks, void *_Nullable host);
/// "Lua 5.4.6".
static inline const char *_Nonnull lunerv_lua_release(void) { return LUA_RELEASE; }
void lunerv_close(lunerv_bridge *_Nonnull bridge);
void lunerv_collect(lua_State *_Nonnull L);

/// The body of `luaopen_lunerv`: gives the state of another program a bridge, calls `start` to make
/// a host of it, and returns the result of `require "lunerv"`. `start` either leaves an error value
/// and returns false, or sets the callbacks and returns true. Raises; no Swift frame may be below
/// it.
int lunerv_open_module(
    lua_State *_Nonnull L, bool (*_Nonnull start)(lunerv_bridge *_Nonnull bridge));
/// Hands over one reference to an object that the bridge needs. It is released when the state is
/// closed.
void lunerv_set_owner(lunerv_bridge *_Nonnull bridge, void *_Nonnull owner);

// Swift → Lua. All run protected and leave the result, or an error value, on top.

int lunerv_load_file(lua_State *_Nonnull L, const char *_Nonnull path);
int lunerv_load_buffer(
    lua_State *_Nonnull L, const void *_Nullable bytes, size_t count, const char *_Nonnull name);
/// Calls the function below `arguments` values. With `report`, the error becomes an object
/// placed in the user's file, with its traceback.
int lunerv_call(lua_State *_Nonnull L, int arguments, int results, bool report);
/// Whether the value is an error object: a table with the fields kind, message, where, module,
/// data and traceback.
bool lunerv_is_error(lua_State *_Nonnull L, int index);
/// Makes the table on top an error object.
void lunerv_class_error(lua_State *_Nonnull L);
int lunerv_prepend_path(lua_State *_Nonnull L, const char *_Nonnull folder);
/// Installs the function on top as a searcher of sources and pops it.
int lunerv_add_searcher(lua_State *_Nonnull L);
/// package.preload[name] = a loader of the value on top, which is popped.
int lunerv_preload(lua_State *_Nonnull L, const char *_Nonnull name);
void lunerv_push_bridge_module(lua_State *_Nonnull L);

/// Keeps the error value on top for a later LUNERV_RERAISE and pops it.
void lunerv_keep_error(lua_State *_Nonnull L);
/// Pushes it and drops the kept copy, since it may hold tensors.
void lunerv_take_kept_error(lua_State *_Nonnull L);

int lunerv_reference(lua_State *_Nonnull L);  // pops
void lunerv_push_reference(lua_State *_Nonnull L, int reference);
void lunerv_unreference(lua_State *_Nonnull L, int reference);

// Functions and objects

/// Pushes a Lua function that runs `function`; with `polls` it first checks for Ctrl-C.
void lunerv_push_function(lua_State *_Nonnull L, void *_Nonnull function, bool polls);
lunerv_block *_Nullable lunerv_to_block(lua_State *_Nonnull L, int index);
/// Pushes a userdata that takes over one reference to `object`, with the metatable that
/// the registry holds under `info`.
void lunerv_push_object(lua_State *_Nonnull L, void *_Nonnull object, const void *_Nonnull info);
/// With methods, getters, setters and metamethods (tables) on top: builds the metatable,
/// puts it in the registry under `info` and pops the four.
int lunerv_make_class(
    lua_State *_Nonnull L, const char *_Nonnull name, const void *_Nonnull info);

/// The bytes of a string, or null for any other value (numbers included, which Lua would convert in
/// place).
static inline const char *_Nullable lunerv_string(
    lua_State *_Nonnull L, int index, size_t *_Nonnull count) {
  return lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, count) : NULL;
}
static inline void lunerv_pop(lua_State *_Nonnull L, int count) { lua_settop(L, -count - 1); }
/// Whether a string of `count` bytes exceeds the limit, or the machine's memory.
bool lunerv_would_exceed_limit(lua_State *_Nonnull L, size_t count);

// Ctrl-C

void lunerv_interrupt_install(void);
void lunerv_interrupt_request(void);
/// The signal that asked first; SIGINT if none did.
int lunerv_interrupt_reason(void);
/// Asks for a stop if a write to standard output found no reader.
void lunerv_interrupt_unread(void);
void lunerv_interrupt_clear(void);
/// Directs signals to this thread, which runs no Lua now but waits for them.
void lunerv_interrupt_claim(void);
/// Ctrl-C is deferred while the sum of all changes is above 0.
void lunerv_shield(int change);
/// Whether work should stop now: a stop was asked for, and no shield is active.
bool lunerv_interrupt_pending(void);
/// Whether the user asked to stop, shielded or not.
bool lunerv_interrupt_requested(void);

// Stopping one state

/// A new one, with one reference.
lunerv_stop *_Nullable lunerv_stop_make(void);
void lunerv_stop_retain(lunerv_stop *_Nonnull stop);
void lunerv_stop_release(lunerv_stop *_Nonnull stop);
/// Stops the running call, from any thread; false if none is running.
bool lunerv_stop_request(lunerv_stop *_Nonnull stop);
/// Whether a call is running on another thread.
bool lunerv_stop_is_elsewhere(lunerv_stop *_Nonnull stop);
/// Lets `stop` end the calls of a state of our own; takes a reference.
void lunerv_set_stop(lunerv_bridge *_Nonnull bridge, lunerv_stop *_Nonnull stop);
