// A host program that is not a Lua interpreter: several states that load lunerv, side by side and
// one after another, on two threads, and one whose allocator has a limit.
//
//   cc states.c -llua5.4 -lpthread, and then: ./a.out LIBRARY. Prints "states: N checks passed".

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *library;
static int passed;

static void check(bool holds, const char *what, const char *detail) {
  if (!holds) {
    fprintf(stderr, "FAIL %s: %s\n", what, detail ? detail : "");
    exit(1);
  }
  passed++;
}

static lua_State *open_libraries(lua_State *L) {
  luaL_openlibs(L);
  lua_getglobal(L, "package");
  lua_pushstring(L, library);
  lua_setfield(L, -2, "cpath");
  lua_settop(L, 0);
  return L;
}

/// Runs a script; its first result as text, or the error's, in a buffer of this thread.
static const char *run(lua_State *L, const char *script) {
  static _Thread_local char text[2000];
  if (luaL_loadstring(L, script) == LUA_OK) lua_pcall(L, 0, 1, 0);
  luaL_tolstring(L, -1, NULL);
  snprintf(text, sizeof text, "%s", lua_tostring(L, -1));
  lua_settop(L, 0);
  return text;
}

static void expect(lua_State *L, const char *what, const char *script, const char *expected) {
  const char *got = run(L, script);
  check(strcmp(got, expected) == 0, what, got);
}

static void next_to_each_other(void) {
  lua_State *a = open_libraries(luaL_newstate()), *b = open_libraries(luaL_newstate());
  expect(a, "first", "lv = require 'lunerv' lv.seed(1) x = lv.ones(3) x.requires_grad = true "
    "y = x * 2 return lv.stats().tape_entries", "2");
  expect(b, "second", "lv = require 'lunerv' lv.seed(2) return lv.stats().tape_entries", "0");
  expect(b, "no_grad is a state's own", "return lv.no_grad(function() "
    "return lv.is_grad_enabled() end)", "false");
  expect(a, "recording continues", "y:sum():backward() return x.grad:tolist()[1]", "2.0");
  const char *number = "return ('%.9f'):format(lv.rand(1):item())";
  char first[100];
  snprintf(first, sizeof first, "%s", run(a, number));
  check(strcmp(first, run(b, number)) != 0, "random numbers are a state's own", first);
  lua_close(a);  // while tensors live
  expect(b, "the other continues", "return lv.ones(1 << 20):sum():item()", "1048576.0");
  lua_close(b);
}

static void *work(void *result) {
  lua_State *L = open_libraries(luaL_newstate());
  const char *text = run(L, "local lv = require 'lunerv' lv.seed(7) local x = lv.randn(2, 8, 24, 24) "
    "local w = lv.randn(8, 8, 3, 3, { requires_grad = true }) "
    "for i = 1, 30 do local y = x:conv2d(w, nil, { padding = 1 }):tanh():mean() y:backward() "
    "lv.no_grad(function() w:add_(w.grad * -0.1) end) w.grad = nil end "
    "return ('%.9g'):format(w:sum():item())");
  snprintf(result, 100, "%s", text);
  lua_close(L);
  return NULL;
}

static void on_two_threads(void) {
  char alone[100], texts[2][100];
  work(alone);
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, work, texts[i]);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  check(strspn(alone, "-.0123456789") == strlen(alone), "a number", alone);
  check(strcmp(alone, texts[0]) == 0, "one of two threads", texts[0]);
  check(strcmp(alone, texts[1]) == 0, "the other", texts[1]);
}

static size_t resident(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  size_t pages = 0;
  if (!file || fscanf(file, "%*u %zu", &pages) != 1) exit(2);
  fclose(file);
  return pages * 4096;
}

static void one_after_another(void) {
  size_t before = 0;
  for (int i = 0; i < 60; i++) {
    lua_State *L = open_libraries(luaL_newstate());
    expect(L, "again", "local lv = require 'lunerv' kept = lv.ones(1 << 20) "
      "g = setmetatable({}, { __gc = function() late = kept * 2 end }) return kept:sum():item()",
      "1048576.0");
    lua_close(L);
    if (i == 20) before = resident();
  }
  char text[100];
  snprintf(text, sizeof text, "%zu bytes more", resident() - before);
  check(resident() < before + (16u << 20), "forty states leave nothing", text);
}

// An allocator with a limit, as hosts have it.

typedef struct limited { size_t used, limit; } limited;

static void *allocate(void *context, void *block, size_t old, size_t size) {
  limited *l = context;
  size_t before = block ? old : 0;
  if (size == 0) {
    free(block);
    l->used -= before;
    return NULL;
  }
  if (size > before && l->used + (size - before) > l->limit) return NULL;
  void *moved = realloc(block, size);
  if (moved) l->used += size - before;
  return moved;
}

static void within_a_limit(void) {
  limited l = { 0, 64u << 20 };
  lua_State *L = open_libraries(lua_newstate(allocate, &l));
  const char *got = run(L, "lv = require 'lunerv' x = lv.ones(1 << 18, 2) return #x");
  check(strcmp(got, "262144") == 0, "loads within a limit", got);
  l.limit = l.used + (8u << 20);
  for (int i = 0; i < 20; i++)
    expect(L, "refused while Swift is on the stack",
      "local ok, problem = pcall(function() return x:tolist() end) "
      "return tostring(ok) .. ' ' .. tostring(problem)", "false not enough memory");
  expect(L, "continues", "collectgarbage() return lv.ones(3):sum():item()", "3.0");
  expect(L, "lent blocks come back", "t = lv.ones(1000):tolist() t[1001] = 1 return #t", "1001");
  lua_close(L);
  char text[100];
  snprintf(text, sizeof text, "%zu bytes", l.used);
  check(l.used == 0, "all is given back", text);
}

static void extra_space(void) {
  lua_State *L = open_libraries(luaL_newstate());
  int own = 0;
  *(void **)lua_getextraspace(L) = &own;
  expect(L, "the extra space is the program's", "local lv = require 'lunerv' "
    "return coroutine.wrap(function() return lv.ones(3):sum():item() end)()", "3.0");
  check(*(void **)lua_getextraspace(L) == &own, "and stays as it is", NULL);
  lua_close(L);
}

static void signals(void) {
  struct sigaction action;
  sigaction(SIGINT, NULL, &action);
  check(action.sa_handler == SIG_DFL, "Ctrl-C stays the program's", NULL);
}

int main(int count, char **words) {
  if (count != 2) return 2;
  library = words[1];
  next_to_each_other();
  on_two_threads();
  one_after_another();
  within_a_limit();
  extra_space();
  signals();
  printf("states: %d checks passed\n", passed);
  return 0;
}
