// Preloaded under ThreadSanitizer, which follows setjmp and longjmp, but not the checked longjmp that
// a fortified Lua raises errors by: each would leave the frames it jumped over on the sanitizer's own
// stack of calls, until that overflows.

#undef _FORTIFY_SOURCE
#include <setjmp.h>

void __longjmp_chk(jmp_buf place, int value) { longjmp(place, value); }
