#pragma once

#include "CLuaBridge.h"

/// What `require "lunerv"` calls in a plain Lua 5.4.
int luaopen_lunerv(lua_State *_Nonnull L);
