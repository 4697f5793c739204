// The entry point of liblunerv-lua.so. It is not written in Swift because it may raise.

#include "CLunervModule.h"

/// Makes a host of the state; written in Swift (LunervModule).
extern bool lunerv_module_start(lunerv_bridge *bridge);

int luaopen_lunerv(lua_State *L) { return lunerv_open_module(L, lunerv_module_start); }
