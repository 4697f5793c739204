#pragma once

#include "CLuaBridge.h"

/// Called by `require "lunerv"` in a plain Lua 5.4.
int luaopen_lunerv(lua_State *_Nonnull L);
