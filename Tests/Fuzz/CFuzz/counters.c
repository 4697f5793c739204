// Coverage of Lua code. The interpreter is the system's, so the fuzzer does not see its branches; a
// hook reports them. Lines share counters by a hash that is the same in every process.
#include "CFuzz.h"

#include <lua.h>
#include <stdint.h>
#include <string.h>

enum { counter_count = 1 << 16 };

/// libFuzzer requires this name of the section.
__attribute__((used, section("__libfuzzer_extra_counters"))) static uint8_t counters[counter_count];

static void note_line(lua_State *state, lua_Debug *activation) {
  static const char library[] = "@lunerv:";
  if (!lua_getinfo(state, "S", activation)) return;
  if (strncmp(activation->source, library, sizeof library - 1) != 0) return;
  // FNV-1a.
  uint32_t hash = 2166136261u;
  for (const char *c = activation->source + sizeof library - 1; *c; c++) {
    hash = (hash ^ (uint8_t)*c) * 16777619u;
  }
  hash = (hash ^ (uint32_t)activation->currentline) * 16777619u;
  uint8_t *counter = &counters[(hash ^ hash >> 16) % counter_count];
  if (*counter < UINT8_MAX) (*counter)++;
}

void lunerv_fuzz_watch(struct lua_State *state) {
  lua_sethook(state, note_line, LUA_MASKLINE, 0);
}
