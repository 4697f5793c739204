#ifndef LUNERV_CFUZZ_H
#define LUNERV_CFUZZ_H

struct lua_State;

/// Counts the lines of the library that a Lua state runs, where libFuzzer looks for counters of its
/// user's. Its main thread alone is watched, and has no other hook then.
void lunerv_fuzz_watch(struct lua_State *state);

#endif
