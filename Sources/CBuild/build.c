#include "CBuild.h"

#ifndef LUNERV_MARCH
#define LUNERV_MARCH ""
#endif
#ifndef LUNERV_COMMIT
#define LUNERV_COMMIT ""
#endif

const char *lunerv_build_march(void) { return LUNERV_MARCH; }
const char *lunerv_build_commit(void) { return LUNERV_COMMIT; }
