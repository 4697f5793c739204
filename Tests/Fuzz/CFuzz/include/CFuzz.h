#ifndef LUNERV_CFUZZ_H
#define LUNERV_CFUZZ_H

struct lua_State;

/// Counts the lines of the library that a Lua state runs, as libFuzzer's user counters. Only its
/// main thread is watched, and it has no other hook then.
void lunerv_fuzz_watch(struct lua_State *state);

#endif
