// Preloaded under ThreadSanitizer, which follows setjmp and longjmp, but not the checked longjmp of
// a fortified Lua's errors: each would leave the skipped frames on the sanitizer's own call stack,
// until that overflows.

#undef _FORTIFY_SOURCE
#include <setjmp.h>

void __longjmp_chk(jmp_buf place, int value) { longjmp(place, value); }
