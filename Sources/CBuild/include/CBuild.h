#pragma once

/// What the build was told: the instruction set that it is for, and the commit ("" where nobody
/// said, see scripts/install). One small file, so that a new commit compiles nothing else.
const char *_Nonnull lunerv_build_march(void);
const char *_Nonnull lunerv_build_commit(void);
