#pragma once

#include "CLuaBridge.h"

// What the bridge's own files share. Everything here may raise a Lua error.

// Registry slots are named by addresses.
extern const char lunerv_key_path;       // the function set by set_error_path
extern const char lunerv_key_last;       // the message of the last Swift failure
extern const char lunerv_key_traceback;  // the traceback of the last reported error
extern const char lunerv_key_origin;     // the message of an error noted where it arose
extern const char lunerv_key_origin_traceback;
extern const char lunerv_key_interrupt;  // the message of the first interrupt of a run
extern const char lunerv_key_interrupt_traceback;
extern const char lunerv_key_kept;    // an error value on its way through Swift
extern const char lunerv_key_depths;  // coroutine → its own share of `depth`, weak keys

/// Pushes "file:line: " of the innermost frame from `level` on that is no stdlib chunk's,
/// looking through the threads that resumed this one; or of the innermost Lua frame; or "".
void lunerv_push_where(lua_State *L, int level);
/// Pushes "path: " as told by the function given to set_error_path, or "".
void lunerv_push_path(lua_State *L);
/// Raises what a Swift function left on top of the stack.
int lunerv_raise_failure(lua_State *L, lunerv_bridge *b, int status);
/// The message handler of host calls.
int lunerv_report(lua_State *L);
/// Notes message and traceback (of `from`) where an error arose, for a later report.
void lunerv_note_origin(lua_State *L, lua_State *from, int level);
/// `error`, placed by the rule of lunerv_push_where.
int lunerv_error(lua_State *L);

int lunerv_raise_interrupt(lua_State *L);
void lunerv_arm(lua_State *L);
/// Marks this thread as the one whose Lua code a signal must stop; returns what was there.
lunerv_bridge *lunerv_enter(lunerv_bridge *b);
void lunerv_leave(lunerv_bridge *previous);
void lunerv_shield(int change);

/// Replaces coroutine.resume, wrap and close by versions that keep track of `running`.
void lunerv_open_coroutines(lua_State *L);
