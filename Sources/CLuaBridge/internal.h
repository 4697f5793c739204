#pragma once

#include "CLuaBridge.h"

// Shared by the bridge's files. Every function here may raise a Lua error.

// Registry slots are identified by addresses.
extern const char lunerv_key_path;       // the function set by set_error_path
extern const char lunerv_key_method;     // its second argument, the message for absent methods
extern const char lunerv_key_error_class;  // the metatable of error objects
extern const char lunerv_key_memory;       // the error raised when memory is short
extern const char lunerv_key_text;         // the text raised last, and the error it came from
extern const char lunerv_key_text_error;
extern const char lunerv_key_interrupt;  // the first interrupt of a run
extern const char lunerv_key_kept;    // an error value on its way through Swift
extern const char lunerv_key_depths;  // coroutine → its own share of `depth`, weak keys
extern const char lunerv_key_sites;   // coroutine → its own `site`, weak keys
extern const char lunerv_key_bridge;  // the bridge of a state that is not ours
extern const char lunerv_key_hooks;   // coroutine → { function, mask, count } of debug.sethook

/// Pushes "file:line" of the innermost frame from `level` on that is not in a stdlib chunk,
/// searching through the threads that resumed this one; otherwise that of the innermost Lua frame,
/// or "".
void lunerv_push_where(lua_State *L, int level);
/// Pushes the path given by the function passed to set_error_path, or "".
void lunerv_push_path(lua_State *L);
/// Replaces the message on top by an error object without a place.
void lunerv_make_error(lua_State *L, const char *kind);
/// Adds to the error on top, if it has none, the place of lunerv_push_where and a module path.
void lunerv_place_error(lua_State *L, int level);
/// Pushes the text of an error object.
void lunerv_push_text(lua_State *L, int index);
/// Makes the metatable of error objects, and lets the standard library accept them as text.
void lunerv_open_errors(lua_State *L);
/// Whether the value at `index` is the text that was noted last.
bool lunerv_is_noted(lua_State *L, int index);
/// Records that the text at `index` came from the error on top, and pops the error.
void lunerv_note_error(lua_State *L, int index);
/// Replaces the value on top, raised at `level` of `from`, by an error object: itself, the one that
/// its text came from, or a new one of the kind "script".
void lunerv_adopt(lua_State *L, lua_State *from, int level);
/// Raises what a Swift function left on top of the stack.
int lunerv_raise_failure(lua_State *L, lunerv_bridge *b, int status);
/// The message handler of host calls: leaves an error object with its traceback.
int lunerv_report(lua_State *L);
/// Keeps the traceback (of `from`) where the value on top was raised, for a later report.
void lunerv_note_origin(lua_State *L, lua_State *from, int level);
/// `error`, which adds a place as lunerv_push_where does.
int lunerv_error(lua_State *L);
/// `assert`, which adds a place to an error object.
int lunerv_assert(lua_State *L);

int lunerv_raise_interrupt(lua_State *L);
void lunerv_arm(lua_State *L);
/// Marks this thread as the one whose Lua code a signal must stop; returns the previous one.
lunerv_bridge *lunerv_enter(lunerv_bridge *b);
void lunerv_leave(lunerv_bridge *previous);

/// Replaces the functions of the standard library that errors, coroutines and hooks need, and sets
/// the collector's pace. Libraries that the state lacks are skipped.
void lunerv_set_up(lua_State *L);
/// Pushes a library that is a global table. Returns false and pushes nothing if there is none.
bool lunerv_push_library(lua_State *L, const char *name);

void *lunerv_allocate(void *context, void *block, size_t old_size, size_t size);
/// Collects all garbage. The limit is lifted: a finalizer that cannot allocate memory for its call
/// is lost, and with it the object that it would release.
void lunerv_collect_all(lua_State *L, lunerv_bridge *b);
/// After Swift has returned: whether memory still exceeds the limit after a full collection.
bool lunerv_beyond_limit(lua_State *L, lunerv_bridge *b);
int lunerv_raise_memory(lua_State *L);
/// Reserves memory for when the allocator must not refuse.
void lunerv_keep_reserve(lunerv_bridge *b);
/// Frees it; whether there was any.
bool lunerv_free_reserve(lunerv_bridge *b);
/// Ends the process: Swift is on the stack, and no memory is left.
_Noreturn void lunerv_out_of_memory(void);

/// Begins a call of Swift in a state that is not ours; its result is passed to the other function.
/// Raises if the state has ended.
lunerv_bridge *lunerv_begin_attached(lua_State *L, lunerv_bridge *b);
void lunerv_end_attached(lunerv_bridge *previous);
/// Makes `b` the bridge whose Lua code this thread runs; returns the previous one.
lunerv_bridge *lunerv_activate(lunerv_bridge *b);
/// Takes Ctrl-C over from the stand-alone interpreter; whether the program is that.
bool lunerv_interrupt_adopt(void);
/// Takes it over again if the interpreter has begun another call, for which earlier requests are
/// void; whether it has. With `rarely`, checks at most every 20 ms.
bool lunerv_interrupt_renew(bool rarely);
/// Releases all objects that Lua still holds, when a state that is not ours ends.
void lunerv_release_all(lunerv_bridge *b);

/// Begin and end of the outermost call; the end returns whether it was asked to stop.
void lunerv_stop_begin(lunerv_stop *stop);
bool lunerv_stop_end(lunerv_stop *stop);
bool lunerv_stop_is_wanted(const lunerv_stop *stop);

/// The one hook of every thread: checks for Ctrl-C, and calls the script's hook.
void lunerv_hook(lua_State *L, lua_Debug *event);
/// The hook that the script set by debug.sethook on this thread; whether there is one.
bool lunerv_user_hook(lua_State *L, int *mask, int *count);
/// Calls the script's hook, if it is set for this event.
void lunerv_call_user_hook(lua_State *L, lua_Debug *event);
/// Replaces debug.sethook and debug.gethook by versions that work together with Ctrl-C.
void lunerv_open_hooks(lua_State *L);
/// Pushes a new table whose keys are weak.
void lunerv_push_weak_table(lua_State *L);

/// Replaces coroutine.resume, wrap and close by versions that keep track of `running`.
void lunerv_open_coroutines(lua_State *L);

/// class_members(object): the methods and the properties of a native object's class, as two tables
/// of functions by name; nothing for other values.
int lunerv_class_members(lua_State *L);
